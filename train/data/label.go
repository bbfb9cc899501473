package data

import (
	"cmp"
	"fmt"
	"math"
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
}

func (e *UnknownLabelError) Error() string {
	hint := ""
	if _, err := strconv.Atoi(e.Label); err == nil {
		hint = fmt.Sprintf(" (or their numbers from 0 to %d)", len(e.Known)-1)
	}
	return fmt.Sprintf("data: %s:%d: unknown label %q; known: %s%s", e.Path, e.Row, e.Label, strings.Join(e.Known, ", "), hint)
}

// NewLabels makes classes of names, which must be two at least, none empty or twice.
func NewLabels(names []string) (*Labels, error) {
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
	if len(names) < 2 {
		return nil, fmt.Errorf("data: labels %q: a classifier needs two classes at least", names)
	}
	return l, nil
}

// InferLabels makes classes of the labels that set's examples have, sorted: by value
// where all are integers, else by name.
func InferLabels(set *Set) (*Labels, error) {
	seen := map[string]bool{}
	for _, ex := range set.Examples {
		seen[ex.Label] = true
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
	l, err := NewLabels(names)
	if err != nil {
		return nil, fmt.Errorf("data: %s: column %q holds %q only: %w", set.Path, set.LabelColumn, names, err)
	}
	return l, nil
}

// Names are the classes in order.
func (l *Labels) Names() []string { return slices.Clone(l.names) }

// Len is the number of classes.
func (l *Labels) Len() int { return len(l.names) }

// ID returns the class of a label: by its name or, where no class has that name, by its
// number from 0.
func (l *Labels) ID(label string) (int64, bool) {
	if i, ok := l.index[label]; ok {
		return int64(i), true
	}
	if i, err := strconv.Atoi(label); err == nil && 0 <= i && i < len(l.names) && !l.integers() {
		return int64(i), true
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
		id, ok := l.ID(ex.Label)
		if !ok {
			return nil, &UnknownLabelError{Path: set.Path, Row: ex.Row, Label: ex.Label, Known: l.Names()}
		}
		ids[i] = id
	}
	return ids, nil
}

// Scores returns each example's label as a finite number: the targets of a regression.
func (s *Set) Scores() ([]float32, error) {
	scores := make([]float32, len(s.Examples))
	for i, ex := range s.Examples {
		v, err := strconv.ParseFloat(ex.Label, 32)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("data: %s:%d: the label %q is no finite number, as a regression's must be", s.Path, ex.Row, ex.Label)
		}
		scores[i] = float32(v)
	}
	return scores, nil
}
