package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/optim"
	"github.com/peftgraph/peftgraph/train/task"
)

func optimizerUsage() string { return "one of " + strings.Join(optim.Names(), ", ") }

func scheduleUsage() string {
	return "how the learning rate falls after the warm-up: " + strings.Join(optim.ScheduleNames(), ", ")
}

// injectedModel loads the model that a run was trained on, or the one at path when it isn't empty, and injects what the
// run's plan says when the file is the base: at its start, or without values ([inject.Options]). Another base is refused.
func injectedModel(run *train.Run, path string, unset bool) (*graph.Graph, error) {
	var err error
	if path == "" {
		if path, err = run.ModelPath(); err != nil {
			return nil, err
		}
	}
	g, plan, err := loadModel(path)
	if err != nil {
		return nil, err
	}
	same := plan.Same
	if plan == nil {
		if plan, err = reinject(g, run.Plan, path, unset); err != nil {
			return nil, err
		}
		same = func(p *inject.Plan) bool { return sameEffect(plan, p) }
	}
	if !same(run.Plan) {
		return nil, hintedError{fmt.Errorf("%s: its plan is not the one that %s was trained with", path, run.Dir),
			"name the model it was trained on with --model, or use the version of peftgraph that trained it"}
	}
	return g, nil
}

// sameEffect compares what two injections did to the same base. How settings are written may differ: a newer program has
// more of them.
func sameEffect(a, b *inject.Plan) bool {
	x, y := *a, *b
	x.Methods, y.Methods = nil, nil
	x.Encoder, y.Encoder = models.Info{}, models.Info{}
	return x.Same(&y)
}

// reinject repeats the injection of a plan: with the same base, settings and seed it gives the same plan.
func reinject(g *graph.Graph, p *inject.Plan, path string, unset bool) (*inject.Plan, error) {
	fingerprint, err := onnxfile.Fingerprint(g)
	if err != nil {
		return nil, err
	}
	if fingerprint != p.Base {
		return nil, hintedError{fmt.Errorf("%s: another model than the one the adapter was trained on (fingerprint %.12s, want %.12s)", path, fingerprint, p.Base),
			"name the model it was trained on with --model"}
	}
	enc, err := recognise(path, g)
	if err != nil {
		return nil, err
	}
	var ms []inject.Method
	for _, a := range p.Methods {
		m, err := p.Method(a.Name)
		if err != nil {
			return nil, err
		}
		ms = append(ms, m)
	}
	return inject.Inject(enc, ms, inject.Options{Task: p.Task, Head: p.Head.Kind, HeadDrop: p.Head.Dropout, Seed: p.Seed, Base: p.Base, Unset: unset})
}

// trainedModel is injectedModel with the run's trained values in it.
func trainedModel(run *train.Run, path string) (*graph.Graph, error) {
	g, err := injectedModel(run, path, true)
	if err != nil {
		return nil, err
	}
	values, err := run.Adapter()
	if err != nil {
		return nil, hintedError{err, "if the adapter is damaged or lost, restore it from a copy or train again into another folder"}
	}
	return g, run.Plan.SetValues(g, values)
}

// columns returns the reader's options that a run was trained with.
func columns(run *train.Run) data.Options {
	var schema *data.Schema
	if t, err := task.Of(run.Plan.Task); err == nil {
		schema = t.Schema()
	}
	return data.Options{Schema: schema, Format: run.Data.Format, TextColumn: run.Data.Text, PairColumn: run.Data.Pair, LabelColumn: run.Data.Label, LabelBase: run.Data.Base, NoHeader: !run.Data.Header}
}

// metricsText is ", accuracy 0.9123, f1 0.9001".
func metricsText(m map[string]float64) string {
	var sb strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&sb, ", %s %.4f", k, m[k])
	}
	return sb.String()
}
