package task

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// IsZero reports whether every class counts 1, which isn't written down.
func (w ClassWeights) IsZero() bool { return !w.Balanced && len(w.ByName) == 0 }

// String is the inverse of ParseSetting.
func (w ClassWeights) String() string {
	if w.Balanced {
		return "balanced"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(w.ByName)) {
		parts = append(parts, fmt.Sprintf("%s=%g", name, w.ByName[name]))
	}
	return strings.Join(parts, ",")
}

// MarshalJSON writes the command line's form.
func (w ClassWeights) MarshalJSON() ([]byte, error) { return json.Marshal(w.String()) }

// UnmarshalJSON reads it.
func (w *ClassWeights) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	return w.ParseSetting(s)
}

// of returns the classes' weights, nil where all are 1. Balanced is n / (classes · n_class), as scikit-learn has it.
func (w ClassWeights) of(labels []string, ids []int64) ([]float32, error) {
	if w.IsZero() {
		return nil, nil
	}
	out := slices.Repeat([]float32{1}, len(labels))
	if w.Balanced {
		counts := make([]int, len(labels))
		for _, id := range ids {
			counts[id]++
		}
		for i, n := range counts {
			if n > 0 {
				out[i] = float32(float64(len(ids)) / float64(len(labels)*n))
			}
		}
		return out, nil
	}
	return out, w.named(labels, out)
}

// ofPositives returns what a yes counts for each label, hot being [examples][labels], nil where all are 1. Balanced is a label's
// no by its yes, as PyTorch's documentation of pos_weight proposes; 1 for a label that no example has, or each.
func (w ClassWeights) ofPositives(labels []string, hot [][]float32) ([]float32, error) {
	if w.IsZero() {
		return nil, nil
	}
	out := slices.Repeat([]float32{1}, len(labels))
	if !w.Balanced {
		return out, w.named(labels, out)
	}
	for k := range out {
		if yes := positives(hot, k); yes > 0 && yes < float64(len(hot)) {
			out[k] = float32((float64(len(hot)) - yes) / yes)
		}
	}
	return out, nil
}

// named puts the weights given into the labels'.
func (w ClassWeights) named(labels []string, to []float32) error {
	for _, name := range slices.Sorted(maps.Keys(w.ByName)) {
		i := slices.Index(labels, name)
		if i < 0 {
			return fmt.Errorf("task: --class-weights: %q is none of the labels %s", name, strings.Join(labels, ", "))
		}
		to[i] = float32(w.ByName[name])
	}
	return nil
}
