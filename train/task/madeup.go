package task

import (
	"math/rand/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/train/data"
)

// Grouped is a task that compares texts with each other: a unit is a group of encodings.
type Grouped interface{ Group() int }

// MakeUp returns random texts of several lengths up to the given one, with random targets: for checks that need no data. units
// is their number.
func MakeUp(t Task, labels []string, vocab, length, units int, seed uint64) *data.Dataset {
	rng := rand.New(rand.NewPCG(seed, 2))
	d := &data.Dataset{Group: 1}
	if g, ok := t.(Grouped); ok {
		d.Group = g.Group()
	}
	for i := range units * d.Group {
		n := max(2, length*(i+1)/(units*d.Group))
		e := data.Encoding{IDs: make([]int64, n), TypeIDs: make([]int64, n)}
		for k := range e.IDs {
			e.IDs[k] = rng.Int64N(int64(vocab))
		}
		d.Encodings = append(d.Encodings, e)
	}
	lengths := d.Lengths()
	for _, spec := range t.Targets(labels) {
		target := data.Target{TargetSpec: spec}
		for _, tokens := range lengths {
			n := max(1, spec.Width)
			if spec.PerToken {
				n = tokens
			}
			ints, floats := make([]int64, n), make([]float32, n)
			for k := range n {
				ints[k], floats[k] = rng.Int64N(int64(min(max(spec.Classes, 1), vocab))), float32(rng.IntN(2))
				if spec.Classes == 0 {
					ints[k] = rng.Int64N(int64(tokens))
				}
			}
			if spec.DType == graph.Int64 {
				target.Ints = append(target.Ints, ints)
			} else {
				target.Floats = append(target.Floats, floats)
			}
		}
		d.Targets = append(d.Targets, target)
	}
	if _, d.Sparse = t.(Sparse); d.Sparse {
		for _, tokens := range lengths {
			weights := make([]float32, tokens)
			for k := range weights {
				weights[k] = float32(rng.IntN(2))
			}
			weights[rng.IntN(tokens)] = 1
			d.Weights = append(d.Weights, weights)
		}
	}
	return d
}
