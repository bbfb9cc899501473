package task

import (
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/train/data"
)

// What is no use is said, and nothing else.
func TestWarnings(t *testing.T) {
	classes := func(ids []int64, rows ...[]float32) *Results {
		return &Results{Data: &data.Dataset{Targets: []data.Target{data.Scalars("label", ids)}}, Rows: rows, Width: 2, Labels: []string{"neg", "pos"}}
	}
	numbers := func(y []float32, rows ...[]float32) *Results {
		return &Results{Data: &data.Dataset{Targets: []data.Target{data.Scores("score", y)}}, Rows: rows, Width: 1}
	}
	neg, pos := []float32{1, 0}, []float32{0, 1}
	for _, c := range []struct {
		name string
		task Warner
		r    *Results
		want []string
	}{
		{"one class", &Classification{}, classes([]int64{0, 1, 1}, pos, pos, pos), []string{`all 3 answers are "pos", which 2 of the examples are`}},
		{"one class that is right", &Classification{}, classes([]int64{1, 1}, pos, pos), nil},
		{"two classes", &Classification{}, classes([]int64{0, 0}, pos, neg), nil},
		{"one number", &Regression{}, numbers([]float32{1, 2}, []float32{1.5}, []float32{1.5}), []string{"all 2 answers are 1.5000, whatever the text"}},
		{"numbers", &Regression{}, numbers([]float32{1, 2}, []float32{1.5}, []float32{1.6}), nil},
		{"one number that is right", &Regression{}, numbers([]float32{2, 2}, []float32{1.5}, []float32{1.5}), nil},
		{"labels", &MultiLabel{}, labelled([][]float64{{0.9, 0.9, 0.2}, {0.2, 0.7, 0.1}}, [][]float32{{1, 0, 0}, {0, 1, 1}}),
			[]string{"no text is given 1 of 3 labels (c), which some have", "every text is given 1 of 3 labels (b), which some haven't"}},
		{"labels that are right", &MultiLabel{}, labelled([][]float64{{0.9, 0.9, 0.2}, {0.2, 0.7, 0.1}}, [][]float32{{1, 1, 0}, {0, 1, 0}}), nil},
	} {
		if got := c.task.Warn(c.r); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := some([]string{"a", "b", "c", "d", "e", "f"}, 9); got != "6 of 9 labels (a, b, c, d, e, …)" {
		t.Error(got)
	}
}
