package peftgraph

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/crosscheck"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/folder"
)

// CompareOptions say what two models are compared on.
type CompareOptions struct {
	Engine
	Data        string       // text; "" is random tokens
	DataOptions data.Options // how it is read
	Tokenizer   string       // tokenizer.json or vocab.txt, or the folder of one; "" is the first model's folder
	MaxLength   int          // tokens after which a text is cut; 0 is [DefaultMaxLength]
	BatchSize   int          // 0 is that of train.DefaultSettings
}

// Compared is what [Compare] found out about two models.
type Compared struct {
	Comparison
	Crosscheck []Reading `json:"crosscheck"` // of both files
}

// Compare runs two models, each a file or a deployed folder, on the same inputs and compares the outputs that both have; and it has onnx-go, an independent
// reader, read both files. Whether the difference is too large, [Comparison.Check] says.
func Compare(ctx context.Context, a, b string, opt CompareOptions) (*Compared, error) {
	e, err := opt.open(ctx)
	if err != nil {
		return nil, err
	}
	var sides []side
	var models, folders []string
	for _, path := range []string{a, b} {
		dir, model, err := folder.Locate(path)
		if err != nil {
			return nil, err
		}
		models, folders = append(models, model), append(folders, dir)
		s, done, err := e.side(ctx, path, model)
		if err != nil {
			return nil, err
		}
		defer done()
		sides = append(sides, s)
	}
	d, err := opt.read(sides[0].info, folders[0])
	if err != nil {
		return nil, err
	}
	pairs, err := e.compare(ctx, d, cmp.Or(opt.BatchSize, train.DefaultSettings().EvalBatch), sides...)
	if err != nil {
		return nil, err
	}
	res := &Compared{Comparison: pairs[0]}
	for i, path := range models {
		r, err := crossRead(path, sides[i].graph)
		if err != nil {
			return nil, err
		}
		res.Crosscheck = append(res.Crosscheck, r)
	}
	return res, nil
}

// read reads the text, or makes tokens up.
func (opt CompareOptions) read(info models.Info, dir string) (*data.Dataset, error) {
	if opt.Data == "" {
		return madeUp(info.Vocab, min(cmp.Or(opt.MaxLength, DefaultMaxLength), info.Positions)), nil
	}
	opt.DataOptions.NoLabel = true
	set, err := data.Read(opt.Data, opt.DataOptions)
	if err != nil {
		return nil, err
	}
	r, err := newReader(cmp.Or(opt.Tokenizer, dir), opt.MaxLength, info)
	if err != nil {
		return nil, err
	}
	d := data.NewDataset(r.tokenizer, set.Examples, r.maxLength)
	d.OneLength = r.oneLength
	return d, nil
}

// A Comparison is what running two models on the same inputs showed.
type Comparison struct {
	Examples int           `json:"examples"`
	Outputs  []OutputDelta `json:"outputs"`
}

// OutputDelta is the difference of one output over all examples.
type OutputDelta struct {
	Name   string  `json:"name"`
	MaxAbs float64 `json:"max_abs"`
	// Flips are rows that are another answer, which the start and the end of one are together; −1 for outputs that aren't known
	// to be answers.
	Flips int `json:"label_flips"`
}

// Worst returns the largest difference.
func (c Comparison) Worst() float64 {
	worst := 0.0
	for _, o := range c.Outputs {
		worst = math.Max(worst, o.MaxAbs)
		if math.IsNaN(o.MaxAbs) {
			return o.MaxAbs
		}
	}
	return worst
}

// Check fails with a [*DiffersError] when a difference is past the threshold; a NaN on either side is.
func (c Comparison) Check(threshold float64) error {
	if worst := c.Worst(); !(worst <= threshold) {
		return &DiffersError{fmt.Sprintf("the outputs differ by up to %.3g; the threshold is %.3g", worst, threshold)}
	}
	return nil
}

// compare runs the models on every batch and compares each with each behind it: of three, the first with the second, the
// first with the third, the second with the third. The outputs compared are those that all have.
func (e *engine) compare(ctx context.Context, d *data.Dataset, batch int, sides ...side) ([]Comparison, error) {
	names := slices.Clone(sides[0].outputs)
	for _, s := range sides[1:] {
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(s.outputs, n) })
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the models have no output of the same name: nothing to compare")
	}
	var out []Comparison
	for range len(sides) * (len(sides) - 1) / 2 {
		c := Comparison{Examples: len(d.Encodings)}
		for _, n := range names {
			c.Outputs = append(c.Outputs, OutputDelta{Name: n, Flips: -1})
		}
		out = append(out, c)
	}
	progress := e.step("comparing")
	done := 0
	for _, indices := range d.EvalOrder(batch) {
		if err := compareBatch(ctx, out, d, d.Batch(indices), names, sides); err != nil {
			return nil, err
		}
		done += len(indices)
		progress(done, len(d.Encodings))
	}
	return out, nil
}

// compareBatch adds one batch to the comparisons of all pairs.
func compareBatch(ctx context.Context, out []Comparison, d *data.Dataset, b *data.Batch, names []string, sides []side) error {
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
	judges := make([]judge, len(names))
	for k := range names {
		var err error
		if judges[k], err = newJudge(names, k, sides, d, b); err != nil {
			return err
		}
	}
	pair := 0
	for i, x := range results {
		for _, y := range results[i+1:] {
			for k := range names {
				if err := out[pair].Outputs[k].add(x, y, k, judges[k]); err != nil {
					return err
				}
			}
			pair++
		}
	}
	return nil
}

// add compares the output k of one batch's, by a judge that may look at the others too.
func (o *OutputDelta) add(x, y []*graph.Tensor, k int, j judge) error {
	if fmt.Sprint(x[k].Dims) != fmt.Sprint(y[k].Dims) {
		return fmt.Errorf("output %q is %v in one model and %v in the other", o.Name, x[k].Dims, y[k].Dims)
	}
	p, err := x[k].Float64s()
	if err != nil {
		return err
	}
	q, err := y[k].Float64s()
	if err != nil {
		return err
	}
	o.differ(p, q)
	n, err := j.flips(x, y)
	if n >= 0 && err == nil {
		o.Flips = max(o.Flips, 0) + n
	}
	return err
}

// differ takes in elements; a NaN on either side stays.
func (o *OutputDelta) differ(a, b []float64) {
	for i := range a {
		if d := math.Abs(a[i] - b[i]); d > o.MaxAbs || math.IsNaN(d) {
			o.MaxAbs = d
		}
	}
}

// A Reading is what onnx-go, an independent reader, found equal in a file.
type Reading struct {
	Path         string   `json:"file"`
	Nodes        int      `json:"nodes"`
	Initializers int      `json:"initializers"`
	All          int      `json:"all_initializers"`
	Skipped      []string `json:"not_compared"`
}

// crossRead compares our reading of a file with onnx-go's.
func crossRead(path string, g *graph.Graph) (Reading, error) {
	r, err := crosscheck.Compare(path, g)
	if err != nil {
		return Reading{}, err
	}
	return Reading{path, r.Nodes, r.Initializers, len(g.Initializers()), append([]string{}, r.Skipped...)}, nil
}
