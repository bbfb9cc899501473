package peftgraph

import (
	"context"
	"errors"
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/crosscheck"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/folder"
	"github.com/peftgraph/peftgraph/train/task"
)

// prove reads the written files back, runs them beside the trained model, and has onnx-go read them too.
func (x *export) prove(ctx context.Context, e *engine, d *data.Dataset) (*Exported, error) {
	trained, done, err := x.trained(ctx, e)
	if err != nil {
		return nil, err
	}
	defer done()
	written := make([]side, len(x.targets))
	for i, t := range x.targets {
		var done func()
		if written[i], done, err = e.side(ctx, t.path, t.staged.Path); err != nil {
			return nil, fmt.Errorf("%s: %w", t.path, err)
		}
		defer done()
	}
	pairs, err := e.compare(ctx, d, x.opt.BatchSize, append([]side{trained}, written...)...)
	if err != nil {
		return nil, err
	}
	limit, err := x.limit()
	if err != nil {
		return nil, err
	}
	res := x.results(pairs)
	for i, t := range x.targets {
		if err := res.Forms[i].Comparison.Check(limit); err != nil {
			return nil, fmt.Errorf("%s: %w", t.path, err)
		}
		if res.Forms[i].Crosscheck, err = t.crossRead(written[i].graph); err != nil {
			return nil, err
		}
	}
	times, err := e.measure(ctx, d, x.opt.BatchSize, written...)
	for i := range times {
		res.Forms[i].Latency = times[i]
	}
	return res, err
}

// limit is the threshold for the outputs as they are exported: dividing logits by a temperature divides their errors too.
func (x *export) limit() (float64, error) {
	of, err := task.Of(x.run.Plan.Task)
	if t, ok := of.(task.Tempered); ok && err == nil && !x.opt.KeepOutputs {
		by, _ := t.Temper()
		return x.opt.Threshold / max(1, by), nil
	}
	return x.opt.Threshold, err
}

// trained gives the trained model to onnxruntime as it is before any form, with the outputs that the forms have.
func (x *export) trained(ctx context.Context, e *engine) (side, func(), error) {
	g, plan := x.run.graph.Clone(), x.run.Plan
	inject.Deploy(g)
	s := side{graph: g, info: plan.Encoder, tasks: []multitask.Task{multitask.TaskOf("", plan)}}
	if x.opt.KeepOutputs {
		g.SetOutputs(g.Value(plan.Logits))
	} else {
		g.SetOutputs(plan.Outputs(g)...)
	}
	g.Prune()
	if !x.opt.KeepOutputs {
		info, of, err := folder.Standard(g, plan.Encoder, plan.Task, plan.Logits)
		if err != nil {
			return s, nil, err
		}
		s.info, s.tasks = info, answering(info, of)
	}
	s.setOutputs()
	session, err := e.session(ctx, x.run.Dir, g)
	if err != nil {
		return s, nil, err
	}
	s.exec = session
	return s, func() { _ = session.Close() }, nil
}

// crossRead has onnx-go read the staged file, and calls it by the name that it is to have.
func (t *target) crossRead(g *graph.Graph) (Reading, error) {
	r, err := crossRead(t.staged.Path, g)
	var differs *crosscheck.DifferenceError
	if errors.As(err, &differs) {
		differs.Path = t.path
	}
	r.Path = t.path
	return r, err
}

// results starts what is to be told from the comparisons: of the trained model with each form, then of each two forms.
func (x *export) results(pairs []Comparison) *Exported {
	res := &Exported{Pairs: []FormPair{}}
	for i, t := range x.targets {
		res.Forms = append(res.Forms, ExportedForm{Form: t.form.name, Output: t.path, Bytes: t.staged.Bytes, WeightsIn: t.staged.Refers,
			Merged: t.merged, Unmerged: t.unmerged, Adapter: t.adapter, Comparison: pairs[i]})
	}
	between := pairs[len(x.targets):]
	for i, a := range x.targets {
		for _, b := range x.targets[i+1:] {
			res.Pairs = append(res.Pairs, FormPair{[2]Form{a.form.name, b.form.name}, between[0]})
			between = between[1:]
		}
	}
	return res
}
