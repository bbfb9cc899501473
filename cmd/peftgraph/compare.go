package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

// defaultThreshold is the largest difference of an output that counts as rounding.
const defaultThreshold = 1e-4

// A comparison is what running two models on the same inputs showed.
type comparison struct {
	Examples int           `json:"examples"`
	Outputs  []outputDelta `json:"outputs"`
	Notes    []string      `json:"notes,omitempty"`
}

// outputDelta is the difference of one output over all examples.
type outputDelta struct {
	Name   string  `json:"name"`
	MaxAbs float64 `json:"max_abs"`
	Flips  int     `json:"label_flips"` // rows whose largest element is another; −1 for outputs that are no logits
}

// worst returns the largest difference.
func (c comparison) worst() float64 {
	worst := 0.0
	for _, o := range c.Outputs {
		worst = math.Max(worst, o.MaxAbs)
		if math.IsNaN(o.MaxAbs) {
			return o.MaxAbs
		}
	}
	return worst
}

func (c comparison) print(w io.Writer) {
	for _, o := range c.Outputs {
		fmt.Fprintf(w, "%s: max |Δ| %.2g", o.Name, o.MaxAbs)
		if o.Flips >= 0 {
			fmt.Fprintf(w, ", %d label flips", o.Flips)
		}
		fmt.Fprintf(w, ", %d examples\n", c.Examples)
	}
	for _, n := range c.Notes {
		fmt.Fprintln(w, n)
	}
}

// check fails when the difference is past the threshold; a NaN on either side is.
func (c comparison) check(threshold float64) error {
	if worst := c.worst(); !(worst <= threshold) {
		return differsError{fmt.Sprintf("the outputs differ by up to %.3g; the threshold is %.3g", worst, threshold)}
	}
	return nil
}

// A side is one of the two models of a comparison.
type side struct {
	exec    train.Executor
	graph   *graph.Graph
	info    models.Info
	outputs []string
}

// compare runs both models on every batch. The outputs compared are those that both have.
func compare(ctx context.Context, o *console, a, b side, d *data.Dataset, batch int) (comparison, error) {
	var names []string
	for _, n := range a.outputs {
		if slices.Contains(b.outputs, n) {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return comparison{}, fmt.Errorf("the two models have no output of the same name: nothing to compare")
	}
	c := comparison{Examples: len(d.Encodings)}
	for _, n := range names {
		c.Outputs = append(c.Outputs, outputDelta{Name: n, Flips: -1})
	}
	bar := o.bar("comparing", false)
	defer bar.end()
	done := 0
	for _, indices := range data.EvalOrder(d.Lengths(), batch) {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		inputs := d.Batch(indices)
		x, err := a.run(ctx, inputs, names)
		if err != nil {
			return c, err
		}
		y, err := b.run(ctx, inputs, names)
		if err != nil {
			return c, err
		}
		for i := range names {
			if err := c.Outputs[i].add(x[i], y[i]); err != nil {
				return c, err
			}
		}
		done += len(indices)
		bar.at(int64(done), int64(len(d.Encodings)), "")
	}
	return c, nil
}

func (s side) run(ctx context.Context, b *data.Batch, names []string) ([]*graph.Tensor, error) {
	feeds, err := train.TokenFeeds(s.graph, s.info, b)
	if err != nil {
		return nil, err
	}
	return s.exec.Run(ctx, feeds, names)
}

// add compares one batch's output.
func (o *outputDelta) add(x, y *graph.Tensor) error {
	if fmt.Sprint(x.Dims) != fmt.Sprint(y.Dims) {
		return fmt.Errorf("output %q is %v in one model and %v in the other", o.Name, x.Dims, y.Dims)
	}
	p, err := x.Float64s()
	if err != nil {
		return err
	}
	q, err := y.Float64s()
	if err != nil {
		return err
	}
	for i := range p {
		if d := math.Abs(p[i] - q[i]); d > o.MaxAbs || math.IsNaN(d) {
			o.MaxAbs = d
		}
	}
	if o.Name == inject.LogitsName && len(x.Dims) == 2 && x.Dims[1] > 1 {
		o.Flips = max(o.Flips, 0)
		n := int(x.Dims[1])
		for i := 0; i+n <= len(p); i += n {
			if largest(p[i:i+n]) != largest(q[i:i+n]) {
				o.Flips++
			}
		}
	}
	return nil
}

func largest(x []float64) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// madeUp is a data set of random tokens with texts of several lengths, for comparing without data.
func madeUp(vocab, length int) *data.Dataset {
	const examples = 16
	rng := rand.New(rand.NewPCG(1, 2))
	d := &data.Dataset{}
	for i := range examples {
		n := max(2, length*(i+1)/examples)
		e := data.Encoding{IDs: make([]int64, n), TypeIDs: make([]int64, n)}
		for k := range e.IDs {
			e.IDs[k] = rng.Int64N(int64(vocab))
		}
		d.Encodings = append(d.Encodings, e)
	}
	return d
}
