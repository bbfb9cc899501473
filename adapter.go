package peftgraph

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/combine"
	"github.com/peftgraph/peftgraph/inject/format"
)

// An Adapter is a trained adapter of which is known where each of its tensors goes.
type Adapter struct {
	Path   string
	Plan   *inject.Plan
	Values map[string]*graph.Tensor // by trainable name

	graph *graph.Graph // the base with the adapter's places in it; nil when no base was asked for
}

// AdapterOptions say how an adapter is placed.
type AdapterOptions struct {
	Base   string            // the model to put it on; "" trusts the plan that lies beside the adapter
	Labels []string          // the classes, where the adapter's format has no names
	Force  bool              // put it on another base than it was trained on
	Note   func(line string) // where set, is told what of the adapter isn't known
}

// OpenAdapter loads an adapter, in any format of package format or in an injected model, and finds the place of each of its
// tensors.
func OpenAdapter(path string, opt AdapterOptions) (*Adapter, error) {
	if filepath.Ext(path) == ".onnx" {
		return adapterOf(path)
	}
	if opt.Base == "" {
		return placeAdapter(path, nil, opt)
	}
	base, err := Open(opt.Base)
	if err != nil {
		return nil, err
	}
	return placeAdapter(path, base, opt)
}

// WithAdapter returns the model with a trained adapter on it, in any format. What was injected, the adapter says itself.
func (m *Model) WithAdapter(path string, opt AdapterOptions) (*Model, error) {
	if filepath.Ext(path) == ".onnx" {
		return nil, hinted(fmt.Errorf("%s is a model", path), "take the adapter out with peftgraph adapters convert")
	}
	a, err := placeAdapter(path, m, opt)
	if err != nil {
		return nil, err
	}
	if err := a.copyValues(); err != nil {
		return nil, err
	}
	return &Model{Path: m.Path, Graph: a.graph, Info: m.Info, Plan: a.Plan}, a.Plan.SetValues(a.graph, a.Values)
}

// placeAdapter places an adapter on a base, or where its own plan says.
func placeAdapter(path string, base *Model, opt AdapterOptions) (*Adapter, error) {
	a, err := format.Load(path)
	if err != nil {
		return nil, err
	}
	if len(a.Methods) == 0 && a.Task.Type == "" {
		return nil, hinted(fmt.Errorf("%s doesn't say what it is: no plan lies beside it", path), "keep the .json file that was written with it")
	}
	if len(a.Unknown) > 0 && opt.Note != nil {
		opt.Note(fmt.Sprintf("%s has settings that this version doesn't know and reads over: %s", path, strings.Join(a.Unknown, ", ")))
	}
	if err := relabel(a, opt.Labels); err != nil {
		return nil, err
	}
	p := &Adapter{Path: path, Plan: a.Plan}
	switch {
	case base != nil:
		if err := p.onto(a, base, opt.Force); err != nil {
			return nil, err
		}
	case a.Plan == nil:
		return nil, hinted(fmt.Errorf("%s doesn't say where in a model its tensors go", path), "name the model it is for with setting Base")
	default:
		p.Plan.Task = a.Task
	}
	p.Values, err = a.Bind(p.Plan)
	return p, err
}

// adapterOf takes the adapter out of an injected model.
func adapterOf(path string) (*Adapter, error) {
	g, plan, err := loadModel(path)
	if err != nil {
		return nil, err
	}
	if plan == nil {
		return nil, fmt.Errorf("%s: %w", path, &inject.NoPlanError{})
	}
	values, err := plan.Values(g)
	return &Adapter{Path: path, Plan: plan, Values: values}, err
}

// onto injects the adapter's methods and head into the base; its values are not in it yet.
func (p *Adapter) onto(a *format.Adapter, base *Model, force bool) error {
	if base.Plan != nil {
		return hinted(fmt.Errorf("%s is injected already", base.Path), "put the adapter on the original model")
	}
	fingerprint, err := onnxfile.Fingerprint(base.Graph)
	if err != nil {
		return err
	}
	if err := a.CheckBase(fingerprint); err != nil && !force {
		return err
	}
	opt := inject.Options{Task: a.Task, Head: a.Head, Unset: true}
	if a.Plan != nil {
		opt.HeadDrop, opt.Seed = a.Plan.Head.Dropout, a.Plan.Seed
	}
	m, err := base.with(a.Methods, opt)
	if err != nil {
		return err
	}
	p.graph, p.Plan = m.Graph, m.Plan
	return nil
}

// copyValues takes the values out of the adapter's file: a model that is written would refer to the file, which is not a part
// of it as the base's is.
func (p *Adapter) copyValues() error {
	for name, x := range p.Values {
		data, err := x.Bytes()
		if err != nil {
			return err
		}
		if p.Values[name], err = graph.NewTensor(x.DType, x.Dims, bytes.Clone(data)); err != nil {
			return err
		}
	}
	return nil
}

// Save writes the adapter in a format ([format.Names]) to a folder or file where nothing is yet.
func (p *Adapter) Save(path, to string) error {
	f, err := format.New(to)
	if err != nil {
		return err
	}
	if f.Ext != "" && !strings.HasSuffix(path, f.Ext) {
		return settingf("Output", "%s: the name of a file of %s ends in %s", path, f.Name, f.Ext)
	}
	if _, missing := os.Stat(path); missing == nil {
		return hinted(fmt.Errorf("%s is there already", path), "give the output another name")
	}
	if err := format.Save(f, path, p.Plan, p.Values); err != nil {
		_ = os.RemoveAll(path) // nothing was there before
		return err
	}
	return nil
}

// Relayout puts virtual tokens into the place that another library has for them: [inject.LayoutPEFT] or
// [inject.LayoutAdapterHub]. It changes what the model computes, until it is trained on.
func (p *Adapter) Relayout(layout string) error {
	moved := *p.Plan
	moved.Methods = nil
	found := false
	for _, a := range p.Plan.Methods {
		m, err := p.Plan.Method(a.Name)
		if err != nil {
			return err
		}
		ok, err := inject.Set(m, "layout", layout)
		if err != nil {
			return err
		}
		found = found || ok
		applied, err := inject.AppliedOf(m)
		if err != nil {
			return err
		}
		moved.Methods = append(moved.Methods, applied)
	}
	if !found {
		return settingf("Layout", "the adapter has no virtual tokens")
	}
	p.Plan = &moved
	return nil
}

// CombineAdapters makes one LoRA adapter of several on one base, each with its weight; nil weighs all the same, together 1.
// The result says how far it is from their weighted sum; its Plan and Values make an [Adapter].
func CombineAdapters(adapters []*Adapter, weights []float64, opt combine.Options) (*combine.Result, error) {
	if weights != nil && len(weights) != len(adapters) {
		return nil, settingf("Weights", "%d numbers for %d adapters", len(weights), len(adapters))
	}
	var inputs []combine.Input
	for i, a := range adapters {
		in := combine.Input{Name: a.Path, Plan: a.Plan, Values: a.Values, Weight: 1 / float64(len(adapters))}
		if weights != nil {
			in.Weight = weights[i]
		}
		inputs = append(inputs, in)
	}
	return combine.LoRA(inputs, opt)
}

// DiffAdapters compares two adapters place by place: the norms of the updates and of the heads, and of their differences.
func DiffAdapters(a, b *Adapter, force bool) ([]combine.Difference, error) {
	return combine.Diff(combine.Input{Name: a.Path, Plan: a.Plan, Values: a.Values}, combine.Input{Name: b.Path, Plan: b.Plan, Values: b.Values}, force)
}

// AdapterInfo is what an adapter's files say of it. Its JSON form is what adapters show prints.
type AdapterInfo struct {
	Path       string             `json:"path"`
	Format     string             `json:"format"`
	Methods    []inject.Applied   `json:"methods"`
	Task       inject.Task        `json:"task"`
	Head       inject.HeadKind    `json:"head,omitempty"`
	Base       string             `json:"base,omitempty"`
	Unknown    []string           `json:"unknown,omitempty"` // settings that this version reads over
	Placed     bool               `json:"placed"`            // whether it says where in a model its tensors go
	Parameters int64              `json:"parameters"`
	Bytes      int64              `json:"bytes"`
	Tensors    map[string][]int64 `json:"tensors"` // their shapes
}

// InspectAdapter says what an adapter is, in any format or in an injected model, without a base to put it on.
func InspectAdapter(path string) (*AdapterInfo, error) {
	if filepath.Ext(path) == ".onnx" {
		p, err := adapterOf(path)
		if err != nil {
			return nil, err
		}
		s := &AdapterInfo{Path: path, Format: "injected model", Methods: p.Plan.Methods, Task: p.Plan.Task, Head: p.Plan.Head.Kind, Base: p.Plan.Base, Placed: true}
		s.count(p.Values)
		return s, nil
	}
	a, err := format.Load(path)
	if err != nil {
		return nil, err
	}
	s := &AdapterInfo{Path: path, Format: a.Format, Methods: []inject.Applied{}, Task: a.Task, Head: a.Head, Base: a.Base, Unknown: a.Unknown, Placed: a.Plan != nil}
	for _, m := range a.Methods {
		applied, err := inject.AppliedOf(m)
		if err != nil {
			return nil, err
		}
		s.Methods = append(s.Methods, applied)
	}
	s.count(a.Tensors)
	return s, nil
}

func (s *AdapterInfo) count(tensors map[string]*graph.Tensor) {
	s.Tensors = map[string][]int64{}
	for name, t := range tensors {
		s.Tensors[name] = t.Dims
		s.Parameters += t.Len()
		s.Bytes += t.Len() * t.DType.Size()
	}
}
