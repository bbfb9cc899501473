package peftgraph

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/folder"
)

// A Form is one way to deploy a trained model.
type Form string

// The forms.
const (
	Merged        Form = "merged"         // what weights can take in is folded into them; the rest are constants
	Unmerged      Form = "unmerged"       // the adapter stays beside the weights, as constants
	AdapterInputs Form = "adapter-inputs" // its tensors are inputs too, with their values as defaults; a fitted temperature stays in the graph
)

// Forms lists the forms.
func Forms() []Form { return []Form{Merged, Unmerged, AdapterInputs} }

// File is the form's file in a folder of all forms.
func (f Form) File() string { return string(f) + ".onnx" }

type form struct {
	name Form
	// change turns an injected graph into the form, and names the methods that stay beside the base's weights.
	change func(g *graph.Graph, p *inject.Plan) (unmerged []string, err error)
}

var (
	constant = form{Unmerged, func(g *graph.Graph, p *inject.Plan) ([]string, error) {
		inject.Deploy(g)
		return methodNames(p), inject.Fold(g)
	}}
	forms = []form{{Merged, inject.Merge}, constant, {AdapterInputs, func(g *graph.Graph, p *inject.Plan) ([]string, error) {
		inject.Deploy(g)
		return methodNames(p), inject.Overridable(g, p)
	}}}
)

func formOf(name Form) (form, error) {
	for _, f := range forms {
		if f.name == name {
			return f, nil
		}
	}
	return form{}, settingf("Form", "%q: unknown; the forms are %s", name, fmt.Sprint(Forms()))
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
	adapter          string      // the .onnx_adapter file to write with it, or ""
	info             models.Info // as the model has it
	task             inject.Task
	merged, unmerged []string
	staged           *onnxfile.Staged
	undo             func() // takes away the folders that were made
}

// An export writes models that are put into their places once all are proven.
type export struct {
	run     *Run
	opt     ExportOptions
	targets []*target
	beside  *folder.Contents // what goes beside the only model; nil for nothing
}

// stage writes every target where it can be tried.
func (x *export) stage() error {
	g := x.run.graph
	if x.opt.Reference {
		g = g.Clone()
		if err := detach(g, x.run.Plan); err != nil {
			return err
		}
	}
	for _, t := range x.targets {
		out, err := t.deployable(g.Clone(), x.run.Plan, x.opt.KeepOutputs)
		if err != nil {
			return err
		}
		if err := t.stage(out, SaveOptions{SelfContained: !x.opt.Reference}.weights()); err != nil {
			return err
		}
	}
	return x.chooseBeside()
}

// stage writes the model into the folder it is for, which is made where there is none.
func (t *target) stage(g *graph.Graph, opt onnxfile.Options) (err error) {
	if t.undo, err = makeFolder(filepath.Dir(t.path)); err != nil {
		return err
	}
	t.staged, err = onnxfile.Stage(g, t.path, opt)
	var outside *onnxfile.OutsideError
	if errors.As(err, &outside) {
		return hinted(err, "write the output into the base's folder, or leave setting Reference away for one whole file")
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

// commit puts the models into their places, and writes the adapter's file where one is wanted. What goes beside the model comes
// last, so that nothing there tells of a model that isn't.
func (x *export) commit(res *Exported) error {
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
	return x.writeBeside(&res.Forms[0])
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
	values, err := x.run.Plan.Values(x.run.graph)
	if err != nil {
		return err
	}
	return format.Save(f, path, x.run.Plan, values)
}

// deployable turns a trained graph into the target's form, with the names that other programs expect. With the base's own
// outputs it keeps their names.
func (t *target) deployable(g *graph.Graph, plan *inject.Plan, keepOutputs bool) (*graph.Graph, error) {
	if !keepOutputs {
		g.SetOutputs(plan.Outputs(g)...)
	}
	unmerged, err := t.form.change(g, plan)
	if err != nil {
		return nil, err
	}
	t.unmerged = append([]string{}, unmerged...)
	t.merged = slices.DeleteFunc(methodNames(plan), func(name string) bool { return slices.Contains(unmerged, name) })
	g.RemoveMeta(inject.MetadataKey)
	if keepOutputs {
		err = plan.Encoder.Store(g)
	} else {
		t.info, t.task, err = folder.Standard(g, plan.Encoder, plan.Task, plan.Logits)
	}
	if err != nil {
		return nil, err
	}
	return g, storeLabels(g, plan.Task)
}
