package data

import (
	"fmt"
	"slices"
	"strings"
)

// Compare says in one line each what makes a training set and the set that it is judged on, nil for none, a bad pair, or the
// one doubtful: labels that only one of them has, missing values taken for labels, texts that are in both, and texts that have
// several different labels. labels are the task's, nil for a task whose targets have no names.
func Compare(train, eval *Set, labels []string) []string {
	var out []string
	note := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	trained := train.index(labels)
	sets := []*Set{train}
	if eval != nil {
		sets = append(sets, eval)
	}
	for _, set := range sets {
		set.missing(note)
	}
	for _, name := range labels {
		if train.LabelColumn != "" && trained.label[name] == nil {
			note("no row of %s has the label %q: nothing can be learned of it", train.Path, name)
		}
	}
	train.contradictions(trained, note)
	if eval == nil {
		return out
	}
	judged := eval.index(labels)
	for _, name := range judged.names {
		if rows := judged.label[name]; labels != nil && trained.label[name] == nil {
			note("the label %q, of %s in %s, is of none in %s", name, rowsText(rows), eval.Path, train.Path)
		}
	}
	var both []int
	for i := range eval.Examples {
		if ex := &eval.Examples[i]; trained.text[ex.key()] != nil {
			both = append(both, ex.Row)
		}
	}
	if both != nil && train.Path == eval.Path {
		note("%s is trained on and judged on: what is measured says little about other texts", train.Path)
	} else if both != nil {
		note("%s: %d of %d texts are also in %s, %s: what is measured on them says little about other texts",
			eval.Path, len(both), len(eval.Examples), train.Path, rowsText(both))
	}
	return out
}

// An index finds a set's examples.
type index struct {
	text  map[string][]*Example
	label map[string][]int // the rows that have a label
	names []string         // the labels, in the order in which they come
}

// index lists the set's texts and labels; numbers in place of the names given are counted as those.
func (s *Set) index(names []string) *index {
	x := &index{text: map[string][]*Example{}, label: map[string][]int{}}
	known, err := NewListed(names)
	if err != nil {
		known = &Labels{} // no task has such labels
	}
	for i := range s.Examples {
		ex := &s.Examples[i]
		x.text[ex.key()] = append(x.text[ex.key()], ex)
		for _, label := range ex.labels() {
			if s.LabelColumn == "" {
				continue
			}
			if id, ok := known.of(s, label); ok {
				label = names[id]
			}
			if x.label[label] == nil {
				x.names = append(x.names, label)
			}
			if rows := x.label[label]; !slices.Contains(rows[max(0, len(rows)-1):], ex.Row) {
				x.label[label] = append(rows, ex.Row)
			}
		}
	}
	return x
}

// key is the same for examples of the same texts.
func (ex *Example) key() string {
	return strings.Join(ex.Words, "\x00") + "\x01" + strings.TrimSpace(ex.Text) + "\x02" + strings.TrimSpace(ex.Pair)
}

// missing notes labels that are what other programs write for a missing value.
func (s *Set) missing(note func(string, ...any)) {
	rows := map[string][]int{}
	for _, ex := range s.Examples {
		if slices.Contains([]string{"nan", "<na>", "n/a", "null"}, strings.ToLower(ex.Label)) {
			rows[ex.Label] = append(rows[ex.Label], ex.Row)
		}
	}
	for _, label := range sortedKeys(rows) {
		note("%s: the label %q, in %s, is how a missing value is written", s.Path, label, rowsText(rows[label]))
	}
}

// contradictions notes equal texts with other labels.
func (s *Set) contradictions(x *index, note func(string, ...any)) {
	var rows []int
	for i := range s.Examples {
		ex := &s.Examples[i]
		if first := x.text[ex.key()][0]; s.LabelColumn != "" && len(ex.Fields) == 0 && !slices.Equal(sorted(first.labels()), sorted(ex.labels())) {
			rows = append(rows, ex.Row)
		}
	}
	if rows != nil {
		note("%s: a text that an earlier row has with another label: %s", s.Path, rowsText(rows))
	}
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

func sortedKeys(m map[string][]int) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return sorted(out)
}

// rowsText is "row 7", "2 rows (7, 9)" or "40 rows (the first are 7, 9, 12)".
func rowsText(rows []int) string {
	const most = 3
	text := strings.Trim(strings.ReplaceAll(fmt.Sprint(rows[:min(most, len(rows))]), " ", ", "), "[]")
	switch {
	case len(rows) == 1:
		return "row " + text
	case len(rows) > most:
		return fmt.Sprintf("%d rows (the first are %s)", len(rows), text)
	}
	return fmt.Sprintf("%d rows (%s)", len(rows), text)
}
