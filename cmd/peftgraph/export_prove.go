package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/crosscheck"
	"github.com/peftgraph/peftgraph/train/data"
)

// proofData is the text that the export is proven on: --data, else what the run was judged or trained on, else made up.
func (l *loadedRun) proofData(c *cli.Context, o *console) (*data.Dataset, error) {
	path, opt := c.String("data"), readAs(c, l.run)
	if path == "" {
		for _, p := range []string{l.run.EvalFile, l.run.TrainFile} {
			if _, err := os.Stat(p); err == nil && path == "" {
				path = p
			}
		}
	}
	if path == "" {
		o.note("neither the run's data nor --data is there: proving on random tokens")
		return madeUp(l.run.Plan.Encoder.Vocab, l.reader.maxLength), nil
	}
	opt.NoLabel, opt.LabelColumn = true, ""
	set, err := data.Read(path, opt)
	if err != nil {
		return nil, err
	}
	if n := c.Int("examples"); n > 0 && n < len(set.Examples) {
		set.Examples = set.Examples[:n]
	}
	return data.NewDataset(l.reader.tokenizer, set.Examples, l.reader.maxLength), nil
}

// prove reads the written files back, runs them beside the trained model, and has onnx-go read them too.
func (x *export) prove(c *cli.Context, o *console, d *data.Dataset) (*exportedAll, error) {
	e, err := openEngine(c.Context, c, o)
	if err != nil {
		return nil, err
	}
	written := make([]side, len(x.targets))
	for i, t := range x.targets {
		var done func()
		if written[i], done, err = e.side(c.Context, t.path, t.staged.Path); err != nil {
			return nil, fmt.Errorf("%s: %w", t.path, err)
		}
		defer done()
	}
	trained := side{exec: x.predictor.Exec, graph: x.predictor.Graph, info: x.run.Plan.Encoder, outputs: []string{x.run.Plan.Logits}}
	batch := c.Int("eval-batch-size")
	pairs, err := compare(c.Context, o, d, batch, append([]side{trained}, written...)...)
	if err != nil {
		return nil, err
	}
	res := x.results(pairs)
	for i, t := range x.targets {
		if err := res.Forms[i].Comparison.check(c.Float64("threshold")); err != nil {
			return nil, fmt.Errorf("%s: %w", t.path, err)
		}
		if res.Forms[i].Crosscheck, err = t.crossRead(written[i].graph); err != nil {
			return nil, err
		}
	}
	times, err := e.measure(c.Context, o, d, batch, written...)
	for i := range times {
		res.Forms[i].Latency = times[i]
	}
	return res, err
}

// crossRead has onnx-go read the staged file, and calls it by the name that it is to have.
func (t *target) crossRead(g *graph.Graph) (reading, error) {
	r, err := crossRead(t.staged.Path, g)
	var differs *crosscheck.DifferenceError
	if errors.As(err, &differs) {
		differs.Path = t.path
	}
	r.Path = t.path
	return r, err
}

// results starts what is to be told from the comparisons: of the trained model with each form, then of each two forms.
func (x *export) results(pairs []comparison) *exportedAll {
	res := &exportedAll{Pairs: []formPair{}}
	for i, t := range x.targets {
		res.Forms = append(res.Forms, exported{Form: t.form.name, Output: t.path, Bytes: t.staged.Bytes, WeightsIn: t.staged.Refers,
			Merged: t.merged, Unmerged: t.unmerged, Adapter: t.adapter, Comparison: pairs[i]})
	}
	between := pairs[len(x.targets):]
	for i, a := range x.targets {
		for _, b := range x.targets[i+1:] {
			res.Pairs = append(res.Pairs, formPair{[2]string{a.form.name, b.form.name}, between[0]})
			between = between[1:]
		}
	}
	return res
}
