package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
)

// A form is one way to deploy a trained model.
type form struct {
	name string
	// change turns an injected graph into the form, and names the methods that stay beside the base's weights.
	change func(g *graph.Graph, p *inject.Plan) (unmerged []string, err error)
}

var (
	merging  = form{"merged", inject.Merge}
	constant = form{"unmerged", func(g *graph.Graph, p *inject.Plan) ([]string, error) {
		inject.Deploy(g)
		return methodNames(p), inject.Fold(g)
	}}
	adapterInputs = form{"adapter-inputs", func(g *graph.Graph, p *inject.Plan) ([]string, error) {
		inject.Deploy(g)
		return methodNames(p), inject.Overridable(g, p)
	}}
	forms = []form{merging, constant, adapterInputs}
)

func (f form) file() string { return f.name + ".onnx" }

func formFiles() string {
	var files []string
	for _, f := range forms {
		files = append(files, f.file())
	}
	return strings.Join(files, ", ")
}

// chosenForm is the one that the flags ask for without --all.
func chosenForm(c *cli.Context) form {
	switch {
	case c.Bool("merge"):
		return merging
	case c.Bool("adapter-inputs"):
		return adapterInputs
	}
	return constant
}

func methodNames(p *inject.Plan) []string {
	names := []string{}
	for _, m := range p.Methods {
		names = append(names, m.Name)
	}
	return names
}

// A target is one model to export.
type target struct {
	form             form
	path             string
	adapter          string // the .onnx_adapter file to write with it, or ""
	merged, unmerged []string
	staged           *onnxfile.Staged
	undo             func() // takes away the folders that were made
}

func newTarget(c *cli.Context, f form, path string) *target {
	t := &target{form: f, path: path}
	if f.name == adapterInputs.name {
		t.adapter = c.String("onnx-adapter")
	}
	return t
}

// An export writes models that are put into their places once all are proven.
type export struct {
	*loadedRun
	targets []*target
}

// stage writes every target where it can be tried.
func (x *export) stage(c *cli.Context) error {
	opt := weightsOption(c)
	if opt.Weights == onnxfile.Reference {
		if err := detach(x.graph, x.run.Plan); err != nil {
			return err
		}
	}
	for _, t := range x.targets {
		g, err := x.deployable(t, c.Bool("keep-outputs"))
		if err != nil {
			return err
		}
		if err := t.stage(g, opt); err != nil {
			return err
		}
	}
	return nil
}

// stage writes the model into the folder it is for, which is made where there is none.
func (t *target) stage(g *graph.Graph, opt onnxfile.Options) (err error) {
	if t.undo, err = makeFolder(filepath.Dir(t.path)); err != nil {
		return err
	}
	t.staged, err = onnxfile.Stage(g, t.path, opt)
	var outside *onnxfile.OutsideError
	if errors.As(err, &outside) {
		return hintedError{err, "write the output into the base's folder, or leave --reference away for one whole file"}
	}
	return err
}

// discard takes away what was written and isn't in its place.
func (t *target) discard() {
	if t.staged != nil {
		t.staged.Discard()
	}
	if t.undo != nil {
		t.undo()
	}
}

// detach takes the trained values out of the run's files, so that a model which refers to files refers to none of them: a run
// may be trained on, moved or deleted.
func detach(g *graph.Graph, p *inject.Plan) error {
	values, err := p.Values(g)
	if err != nil {
		return err
	}
	for name, t := range values {
		data, err := t.Bytes()
		if err != nil {
			return err
		}
		if values[name], err = graph.NewTensor(t.DType, t.Dims, data); err != nil {
			return err
		}
	}
	return p.SetValues(g, values)
}

// commit puts the models into their places, and writes the adapter's file where one is wanted.
func (x *export) commit() error {
	for _, t := range x.targets {
		if t.adapter == "" {
			continue
		}
		if err := x.saveONNXAdapter(t.adapter); err != nil {
			return err
		}
	}
	for _, t := range x.targets {
		if err := t.staged.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// discard takes away what isn't in its place, the folder that the first model made last.
func (x *export) discard() {
	for _, t := range slices.Backward(x.targets) {
		t.discard()
	}
}

// saveONNXAdapter writes the values that the exported model takes as inputs.
func (x *export) saveONNXAdapter(path string) error {
	f, err := format.New(format.ONNXAdapter)
	if err != nil {
		return err
	}
	values, err := x.run.Plan.Values(x.graph)
	if err != nil {
		return err
	}
	return format.Save(f, path, x.run.Plan, values)
}

// deployable returns the trained graph in a target's form.
func (x *export) deployable(t *target, keepOutputs bool) (*graph.Graph, error) {
	g, plan := x.graph.Clone(), x.run.Plan
	if !keepOutputs {
		g.SetOutputs(g.Value(plan.Logits))
	}
	unmerged, err := t.form.change(g, plan)
	if err != nil {
		return nil, err
	}
	t.unmerged = append([]string{}, unmerged...)
	t.merged = slices.DeleteFunc(methodNames(plan), func(name string) bool { return slices.Contains(unmerged, name) })
	g.RemoveMeta(inject.MetadataKey)
	if err := plan.Encoder.Store(g); err != nil {
		return nil, err
	}
	if labels := plan.Task.Labels; len(labels) > 0 {
		byID := map[string]string{}
		for i, name := range labels {
			byID[strconv.Itoa(i)] = name
		}
		text, err := json.Marshal(byID)
		if err != nil {
			return nil, err
		}
		g.SetMeta("id2label", string(text))
	}
	return g, nil
}
