package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
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
		fmt.Fprintf(w, "%s: max |Δ| %.2g%s, %d examples\n", o.Name, o.MaxAbs, o.flips(), c.Examples)
	}
}

// flips is ", 3 label flips", or nothing for an output without labels.
func (o outputDelta) flips() string {
	switch {
	case o.Flips < 0:
		return ""
	case o.Flips == 1:
		return ", 1 label flip"
	}
	return fmt.Sprintf(", %d label flips", o.Flips)
}

// check fails when the difference is past the threshold; a NaN on either side is.
func (c comparison) check(threshold float64) error {
	if worst := c.worst(); !(worst <= threshold) {
		return differsError{fmt.Sprintf("the outputs differ by up to %.3g; the threshold is %.3g", worst, threshold)}
	}
	return nil
}

// A side is one of the models of a comparison.
type side struct {
	exec     train.Executor
	graph    *graph.Graph
	info     models.Info
	outputs  []string
	provider string // that a session from a file came to run on
	tasks    int    // of a model for several, else 0
}

// feeds are a model's inputs for a batch, its rows dealt to the tasks where there are several.
func (s side) feeds(b *data.Batch) (map[string]*graph.Tensor, error) {
	feeds, err := train.TokenFeeds(s.graph, s.info, b, multitask.TaskInput)
	if err != nil || s.tasks == 0 {
		return feeds, err
	}
	ids := make([]int64, b.Size)
	for row := range ids {
		ids[row] = int64(row % s.tasks)
	}
	feeds[multitask.TaskInput] = graph.TensorOf(nil, ids)
	return feeds, nil
}

// compare runs the models on every batch and compares each with each behind it: of three, the first with the second, the
// first with the third, the second with the third. The outputs compared are those that all have.
func compare(ctx context.Context, o *console, d *data.Dataset, batch int, sides ...side) ([]comparison, error) {
	names := slices.Clone(sides[0].outputs)
	for _, s := range sides[1:] {
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(s.outputs, n) })
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the models have no output of the same name: nothing to compare")
	}
	var out []comparison
	for range len(sides) * (len(sides) - 1) / 2 {
		c := comparison{Examples: len(d.Encodings)}
		for _, n := range names {
			c.Outputs = append(c.Outputs, outputDelta{Name: n, Flips: -1})
		}
		out = append(out, c)
	}
	bar := o.bar("comparing", false)
	defer bar.end()
	done := 0
	for _, indices := range d.EvalOrder(batch) {
		if err := compareBatch(ctx, out, d.Batch(indices), names, sides); err != nil {
			return nil, err
		}
		done += len(indices)
		bar.at(int64(done), int64(len(d.Encodings)), "")
	}
	return out, nil
}

// compareBatch adds one batch to the comparisons of all pairs.
func compareBatch(ctx context.Context, out []comparison, b *data.Batch, names []string, sides []side) error {
	results := make([][]*graph.Tensor, len(sides))
	for i, s := range sides {
		feeds, err := s.feeds(b)
		if err != nil {
			return err
		}
		if results[i], err = s.exec.Run(ctx, feeds, names); err != nil {
			return err
		}
	}
	pair := 0
	for i, x := range results {
		for _, y := range results[i+1:] {
			for k := range names {
				if err := out[pair].Outputs[k].add(x[k], y[k]); err != nil {
					return err
				}
			}
			pair++
		}
	}
	return nil
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
	if isLogits := o.Name == inject.LogitsName || strings.HasPrefix(o.Name, multitask.OutputPrefix); isLogits && len(x.Dims) == 2 && x.Dims[1] > 1 {
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
