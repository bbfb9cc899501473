package metric

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// tolerance is how far a number may be off what a library wrote, of the larger of it and 1: both sum in float64, in different orders.
const tolerance = 1e-12

// load reads a list of cases; it must have some.
func load[T any](t *testing.T, file, list string) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	lists := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &lists); err != nil {
		t.Fatal(err)
	}
	var out []T
	if err := json.Unmarshal(lists[list], &out); err != nil {
		t.Fatalf("%s: %s: %v", file, list, err)
	}
	if len(out) == 0 {
		t.Fatalf("%s has no cases %s", file, list)
	}
	return out
}

// A number is a fixture's; null is an undefined one.
type number float64

func (n *number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*n = number(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(n))
}

// same compares with a fixture, in which null stands for what isn't finite.
func same(t *testing.T, what string, got float64, want number) {
	t.Helper()
	w := float64(want)
	switch {
	case math.IsNaN(w) && (math.IsNaN(got) || math.IsInf(got, 0)):
	case math.Abs(got-w) <= tolerance*max(1, math.Abs(w)):
	default:
		t.Errorf("%s: %v, want %v", what, got, w)
	}
}

func sameScore(t *testing.T, what string, got, want Score) {
	t.Helper()
	same(t, what+" precision", got.Precision, number(want.Precision))
	same(t, what+" recall", got.Recall, number(want.Recall))
	same(t, what+" f1", got.F1, number(want.F1))
	if got.Support != want.Support {
		t.Errorf("%s support: %d, want %d", what, got.Support, want.Support)
	}
}

func sameScores(t *testing.T, what string, got, want []Score) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d scores, want %d", what, len(got), len(want))
	}
	for i := range want {
		sameScore(t, what, got[i], want[i])
	}
}

func yes(truth [][]int) [][]bool {
	out := make([][]bool, len(truth))
	for i, row := range truth {
		out[i] = yesRow(row)
	}
	return out
}

func yesRow(truth []int) []bool {
	out := make([]bool, len(truth))
	for i, v := range truth {
		out[i] = v == 1
	}
	return out
}
