package data

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Labels are the classes of a task, in the order of the model's logits.
type Labels struct {
	names []string
	index map[string]int
}

// UnknownLabelError says that an example's label isn't one of the task's.
type UnknownLabelError struct {
	Path  string
	Row   int
	Label string
	Known []string
	Base  int // the number of the first
}

func (e *UnknownLabelError) Error() string {
	hint := ""
	if _, err := strconv.Atoi(e.Label); err == nil {
		hint = fmt.Sprintf(" (or their numbers from %d to %d)", e.Base, e.Base+len(e.Known)-1)
	}
	return fmt.Sprintf("data: %s: unknown label %q; known: %s%s", where(e.Path, e.Row), e.Label, strings.Join(e.Known, ", "), hint)
}

// NewLabels makes classes of names, which must be two at least, none empty or twice.
func NewLabels(names []string) (*Labels, error) {
	l, err := NewListed(names)
	if err == nil && len(names) < 2 {
		err = fmt.Errorf("data: labels %q: a classifier needs two classes at least", names)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// NewListed makes labels of which a text may have several, or none, of names, none of them empty or twice.
func NewListed(names []string) (*Labels, error) {
	l := &Labels{names: slices.Clone(names), index: map[string]int{}}
	for i, name := range names {
		if name == "" {
			return nil, fmt.Errorf("data: label %d of %q is empty", i+1, names)
		}
		if _, twice := l.index[name]; twice {
			return nil, fmt.Errorf("data: label %q is given twice", name)
		}
		l.index[name] = i
	}
	return l, nil
}

// ResolveLabels makes classes of the names given, in their order, or where there are none of the labels that set's examples
// have. It refuses what would be taken for something else than was meant: numbers that may count from 1 where classes have
// names, fractions, lists and tags of words.
func ResolveLabels(set *Set, names []string) (*Labels, error) {
	if names == nil {
		return InferLabels(set)
	}
	l, err := NewLabels(names)
	if err != nil {
		return nil, err
	}
	return l, l.sureBase(set)
}

// ResolveListed is ResolveLabels for lists of labels.
func ResolveListed(set *Set, names []string) (*Labels, error) {
	if names == nil {
		found, err := InferListed(set)
		if err != nil {
			return nil, err
		}
		if err := cmp.Or(notFractions(set, found), notIDs(set, found), notTags(set, found)); err != nil {
			return nil, err
		}
		names = found
	}
	l, err := NewListed(names)
	if err != nil {
		return nil, err
	}
	return l, l.sureBase(set)
}

// sureBase refuses numbers in place of names of which nothing says what they count from.
func (l *Labels) sureBase(set *Set) error {
	if set == nil || set.LabelBase != nil || l.integers() {
		return nil
	}
	least := math.MaxInt
	for _, ex := range set.Examples {
		for _, label := range ex.labels() {
			if _, named := l.index[label]; named {
				continue
			}
			if n, err := strconv.Atoi(label); err == nil {
				least = min(least, n)
			}
		}
	}
	if least == math.MaxInt || least <= 0 {
		return nil
	}
	return &LabelBaseError{set.Path, set.LabelColumn, least, l.Names()}
}

// labels are the example's label or labels.
func (ex *Example) labels() []string {
	if ex.Labels != nil {
		return ex.Labels
	}
	return []string{ex.Label}
}

// LabelBaseError says that numbers in place of label names may count from 0 or from 1.
type LabelBaseError struct {
	Path, Column string
	Least        int
	Known        []string
}

func (e *LabelBaseError) Error() string {
	return fmt.Sprintf("data: %s: column %q has numbers from %d up in place of %s, and none is 0: nothing says whether they count from 0 or from 1",
		e.Path, e.Column, e.Least, strings.Join(e.Known, ", "))
}

// Hint says what to try.
func (e *LabelBaseError) Hint() string {
	return fmt.Sprintf("--label-base 1 makes 1 %q, --label-base 0 makes it %q", e.Known[0], e.Known[min(1, len(e.Known)-1)])
}

// InferLabels makes classes of the labels that set's examples have, sorted: by value
// where all are integers, else by name.
func InferLabels(set *Set) (*Labels, error) {
	names, err := distinct(set)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(notFractions(set, names), notIDs(set, names), notLists(set, names), notTags(set, names)); err != nil {
		return nil, err
	}
	l, err := NewLabels(names)
	if err != nil {
		return nil, fmt.Errorf("data: %s: column %q holds %q only: %w", set.Path, set.LabelColumn, names, err)
	}
	return l, nil
}

// distinct returns the labels that occur, alone or in lists, in order.
func distinct(set *Set) ([]string, error) {
	seen := map[string]bool{}
	for _, ex := range set.Examples {
		for _, l := range ex.labels() {
			seen[l] = true
		}
	}
	names := make([]string, 0, len(seen))
	integers := true
	for name := range seen {
		_, err := strconv.Atoi(name)
		integers = integers && err == nil
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if integers {
			x, _ := strconv.Atoi(a)
			y, _ := strconv.Atoi(b)
			return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
		}
		return cmp.Compare(a, b)
	})
	const most = 1000
	if len(names) > most {
		return nil, fmt.Errorf("data: %s: column %q holds %d different values, so it is no label; choose another column, or train a regression",
			set.Path, set.LabelColumn, len(names))
	}
	return names, nil
}

// InferListed makes classes of the labels in the lists of set's examples, or of the columns that stand for one each; one class
// is enough.
func InferListed(set *Set) ([]string, error) {
	if set.EachLabel != nil {
		return slices.Clone(set.EachLabel), nil
	}
	names, err := distinct(set)
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("data: %s: column %q holds no label at all", set.Path, set.LabelColumn)
	}
	return names, err
}

// A MeantError says that labels look like those of another task.
type MeantError struct {
	Path, Column, What, Task string
}

func (e *MeantError) Error() string {
	return fmt.Sprintf("data: %s: column %q holds %s", e.Path, e.Column, e.What)
}

// Hint says what to try.
func (e *MeantError) Hint() string {
	return "--task " + e.Task + ", or name the classes with --labels if these are what is meant"
}

// notIDs refuses a column that numbers or names the rows.
func notIDs(set *Set, names []string) error {
	const few = 20
	if set.EachLabel != nil || len(names) < max(few, len(set.Examples)) || slices.ContainsFunc(set.Examples, func(ex Example) bool { return len(ex.labels()) != 1 }) {
		return nil
	}
	return fmt.Errorf("data: %s: column %q has another value in each of its %d rows, so it is no label; choose another (--label-column)",
		set.Path, set.LabelColumn, len(set.Examples))
}

// notFractions refuses numbers that aren't whole.
func notFractions(set *Set, names []string) error {
	example := ""
	for _, name := range names {
		x, err := strconv.ParseFloat(name, 64)
		if err != nil {
			return nil
		}
		if x != math.Trunc(x) && example == "" {
			example = name
		}
	}
	if example == "" {
		return nil
	}
	return &MeantError{set.Path, set.LabelColumn, fmt.Sprintf("%d different numbers such as %s, which are scores rather than classes", len(names), example), "regression"}
}

// notLists refuses labels that are combinations of other labels.
func notLists(set *Set, names []string) error {
	in := map[string]int{} // in how many of the names a part occurs
	for _, name := range names {
		for _, part := range partLabels(name) {
			in[part]++
		}
	}
	for _, name := range names {
		parts := partLabels(name)
		if len(parts) > 1 && !slices.ContainsFunc(parts, func(p string) bool { return in[p] < 2 }) {
			return &MeantError{set.Path, set.LabelColumn, fmt.Sprintf("lists of labels such as %q", name), "multi-label"}
		}
	}
	return nil
}

var tag = regexp.MustCompile(`^[BIESLU]-.`)

// notTags refuses the tags of words, as CoNLL's files have one a line.
func notTags(set *Set, names []string) error {
	tags := 0
	for _, name := range names {
		if tag.MatchString(name) {
			tags++
		}
	}
	if tags == 0 || tags < len(names)-1 || !slices.Contains(names, "O") {
		return nil
	}
	return &MeantError{set.Path, set.LabelColumn, fmt.Sprintf("tags of single words such as %q", names[0]), "token-classification --format conll"}
}

// Names are the classes in order.
func (l *Labels) Names() []string { return slices.Clone(l.names) }

// Len is the number of classes.
func (l *Labels) Len() int { return len(l.names) }

// ID returns the class of a label: by its name or, where no class has that name, by its
// number from base.
func (l *Labels) ID(label string, base int) (int64, bool) {
	if i, ok := l.index[label]; ok {
		return int64(i), true
	}
	if i, err := strconv.Atoi(label); err == nil && base <= i && i-base < len(l.names) && !l.integers() {
		return int64(i - base), true
	}
	return 0, false
}

// integers reports whether a class is named by an integer; then a number can't be meant
// as a position.
func (l *Labels) integers() bool {
	return slices.ContainsFunc(l.names, func(name string) bool { _, err := strconv.Atoi(name); return err == nil })
}

// IDs returns the class of each example of set, an *UnknownLabelError for the first that
// has none.
func (l *Labels) IDs(set *Set) ([]int64, error) {
	ids := make([]int64, len(set.Examples))
	for i, ex := range set.Examples {
		var err error
		if ids[i], err = l.Of(set, ex, ex.Label); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// Hot returns for each example of set which of the labels it has: 1 or 0, [examples][labels].
func (l *Labels) Hot(set *Set) ([][]float32, error) {
	out := make([][]float32, len(set.Examples))
	for i, ex := range set.Examples {
		out[i] = make([]float32, len(l.names))
		for _, label := range ex.Labels {
			id, err := l.Of(set, ex, label)
			if err != nil {
				return nil, err
			}
			out[i][id] = 1
		}
	}
	return out, nil
}

// Of returns the class of one label of an example.
func (l *Labels) Of(set *Set, ex Example, label string) (int64, error) {
	id, ok := l.of(set, label)
	if !ok {
		return 0, &UnknownLabelError{Path: set.File(ex), Row: ex.Row, Label: label, Known: l.Names(), Base: set.base()}
	}
	return id, nil
}

func (l *Labels) of(set *Set, label string) (int64, bool) { return l.ID(label, set.base()) }

// base is the number of the first class.
func (s *Set) base() int {
	if s.LabelBase == nil {
		return 0
	}
	return *s.LabelBase
}

// Hint says what to try.
func (e *UnknownLabelError) Hint() string {
	return "correct the row, or name its label too when the model is injected, with --labels"
}

// Scores returns each example's label as a finite number: the targets of a regression.
func (s *Set) Scores() ([]float32, error) {
	scores := make([]float32, len(s.Examples))
	for i, ex := range s.Examples {
		v, err := strconv.ParseFloat(ex.Label, 32)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("data: %s: the label %q is no finite number", s.Where(ex), ex.Label)
		}
		scores[i] = float32(v)
	}
	return scores, nil
}
