package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
)

// A placedAdapter is an adapter of which is known where each of its tensors goes.
type placedAdapter struct {
	path   string
	plan   *inject.Plan
	values map[string]*graph.Tensor // by trainable name
	graph  *graph.Graph             // the base with the adapter in it; nil when no base was asked for
}

// placement says how to place an adapter.
type placement struct {
	base   string   // the model to put it on; "" trusts the plan that lies beside the adapter
	labels []string // the classes, where the adapter's format has none
	force  bool     // put it on another base than it was trained on
	note   func(format string, args ...any)
}

// placementFlags are the flags that [placementFrom] reads.
func placementFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "base", Usage: "the model the adapters are for: needed where no " + format.PlanFile + " lies beside an adapter"},
		&cli.StringFlag{Name: "labels", Usage: "the classes, by name, in the order of the logits, for adapters whose format has no names"},
		forceFlag(),
	}
}

func forceFlag() cli.Flag {
	return &cli.BoolFlag{Name: "force", Usage: "accept an adapter of another base"}
}

func placementFrom(c *cli.Context) placement {
	return placement{c.String("base"), labelsFrom(c), c.Bool("force"), newConsole(c).note}
}

// placeAdapter loads an adapter, in any format or in an injected model, and finds the place of each of its tensors.
func placeAdapter(path string, at placement) (*placedAdapter, error) {
	if filepath.Ext(path) == ".onnx" {
		return adapterOf(path)
	}
	a, err := format.Load(path)
	if err != nil {
		return nil, err
	}
	if len(a.Methods) == 0 && a.Task.Type == "" {
		return nil, hintedError{fmt.Errorf("%s doesn't say what it is: no plan lies beside it", path), "keep the .json file that was written with it"}
	}
	if len(a.Unknown) > 0 {
		at.note("%s has settings that this version doesn't know and reads over: %s", path, strings.Join(a.Unknown, ", "))
	}
	if err := relabel(a, at.labels); err != nil {
		return nil, err
	}
	p := &placedAdapter{path: path, plan: a.Plan}
	switch {
	case at.base != "":
		if err := p.onto(a, at); err != nil {
			return nil, err
		}
	case a.Plan == nil:
		return nil, hintedError{fmt.Errorf("%s doesn't say where in a model its tensors go", path), "name the model it is for with --base"}
	default:
		p.plan.Task = a.Task
	}
	p.values, err = a.Bind(p.plan)
	return p, err
}

// adapterOf takes the adapter out of an injected model.
func adapterOf(path string) (*placedAdapter, error) {
	g, plan, err := loadModel(path)
	if err != nil {
		return nil, err
	}
	if plan == nil {
		return nil, fmt.Errorf("%s: %w", path, &inject.NoPlanError{})
	}
	values, err := plan.Values(g)
	return &placedAdapter{path: path, plan: plan, values: values}, err
}

// onto injects the adapter's methods and head into the base; its values are not in it yet.
func (p *placedAdapter) onto(a *format.Adapter, at placement) error {
	g, injected, err := loadModel(at.base)
	if err != nil {
		return err
	}
	if injected != nil {
		return hintedError{fmt.Errorf("%s is injected already", at.base), "put the adapter on the original model"}
	}
	fingerprint, err := onnxfile.Fingerprint(g)
	if err != nil {
		return err
	}
	if err := a.CheckBase(fingerprint); err != nil && !at.force {
		return err
	}
	enc, err := recognise(at.base, g)
	if err != nil {
		return err
	}
	opt := inject.Options{Task: a.Task, Head: a.Head, Base: fingerprint, Unset: true}
	if a.Plan != nil {
		opt.HeadDrop, opt.Seed = a.Plan.Head.Dropout, a.Plan.Seed
	}
	p.graph = g
	p.plan, err = inject.Inject(enc, a.Methods, opt)
	return err
}

// copyValues takes the values out of the adapter's file: a model that is written would refer to the file, which is not a part
// of it as the base's is.
func (p *placedAdapter) copyValues() error {
	for name, x := range p.values {
		data, err := x.Bytes()
		if err != nil {
			return err
		}
		if p.values[name], err = graph.NewTensor(x.DType, x.Dims, bytes.Clone(data)); err != nil {
			return err
		}
	}
	return nil
}

// relabel gives the classes the names of --labels.
func relabel(a *format.Adapter, labels []string) error {
	switch {
	case labels == nil:
		return nil
	case a.Task.Type != "classification":
		return usagef("--labels: the adapter has no classes")
	case len(labels) != a.Task.Outputs():
		return usagef("--labels: %d names for a classifier of %d classes", len(labels), a.Task.Outputs())
	}
	a.Task.Labels = labels
	return nil
}
