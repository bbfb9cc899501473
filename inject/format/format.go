// Package format moves adapters in and out of the layouts that other libraries read and write.
package format

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
)

// A Format is a layout of adapter files.
type Format struct {
	Name, Summary string
	// Ext is the file name's extension of a format that is one file; "" for a folder.
	Ext string
	// Methods says which of our methods the format holds, each with the format's own name for it.
	Methods func() map[string]string
	// Save writes the values of a plan's trainables into a folder, which exists, or to the file. The function [Save] also
	// writes the plan.
	Save func(path string, p *inject.Plan, values map[string]*graph.Tensor) error
	// Load reads what Save or the format's own library wrote.
	Load func(path string) (*Adapter, error)
	// Detect reports whether path looks like this format.
	Detect func(path string) bool
}

// An Adapter is a loaded adapter: what to inject, and the tensors to put there.
type Adapter struct {
	Path    string
	Format  string // the format's registered name
	Methods []inject.Method
	Task    inject.Task
	Head    inject.HeadKind
	Base    string                   // fingerprint of the base that it was trained on; "" where nothing says
	Plan    *inject.Plan             // the plan that it was trained with, where it lies beside it and nothing contradicts it
	Tensors map[string]*graph.Tensor // by the format's own keys
	// Unknown are the settings that this program knows nothing of, and that ask for something: the library's newer versions'.
	Unknown []string
	// Key returns the format's key for a trainable.
	Key func(p *inject.Plan, t inject.Trainable) string
	// Part returns a trainable's value from the tensor under its key; nil for a format that stores values as they are.
	Part func(p *inject.Plan, t inject.Trainable, x *graph.Tensor) (*graph.Tensor, error)
}

var formats = map[string]Format{}

func register(f Format) {
	if _, dup := formats[f.Name]; dup {
		panic("format: " + f.Name + " registered twice")
	}
	formats[f.Name] = f
}

// Names returns the registered formats, sorted.
func Names() []string { return slices.Sorted(maps.Keys(formats)) }

// New returns a format by name.
func New(name string) (Format, error) {
	f, ok := formats[name]
	if !ok {
		return Format{}, fmt.Errorf("format: %q: unknown; the formats are %s", name, strings.Join(Names(), ", "))
	}
	return f, nil
}

// Load reads an adapter in whichever format path looks like.
func Load(path string) (*Adapter, error) {
	for _, n := range Names() {
		if f := formats[n]; f.Load != nil && f.Detect(path) {
			a, err := f.Load(path)
			if err != nil {
				return nil, err
			}
			a.Format = n
			return a, cmp.Or(a.readPlan(), a.plausible())
		}
	}
	return nil, fmt.Errorf("format: %s holds no adapter in a known format (%s)", path, strings.Join(Names(), ", "))
}

// Bind returns the adapter's tensors by trainable name. Every trainable needs a tensor of its shape and every tensor a
// trainable: nothing is dropped or left random silently.
func (a *Adapter) Bind(p *inject.Plan) (map[string]*graph.Tensor, error) {
	out := map[string]*graph.Tensor{}
	used := map[string]bool{}
	for _, t := range p.Tensors() {
		key := a.Key(p, t)
		x := a.Tensors[key]
		if x == nil {
			return nil, fmt.Errorf("format: %s: tensor %q is missing: %s of %q would stay random", a.Path, key, t.Role, t.Target)
		}
		x, err := single(x)
		if err != nil {
			return nil, fmt.Errorf("format: %s: tensor %q: %w", a.Path, key, err)
		}
		if a.Part != nil {
			if x, err = a.Part(p, t, x); err != nil {
				return nil, fmt.Errorf("format: %s: tensor %q: %w", a.Path, key, err)
			}
		}
		if !slices.Equal(x.Dims, t.Shape) {
			return nil, fmt.Errorf("format: %s: tensor %q is %v, and %q needs %v: it belongs to another model", a.Path, key, x.Dims, t.Target, t.Shape)
		}
		used[key] = true
		out[t.Name] = x
	}
	for _, key := range slices.Sorted(maps.Keys(a.Tensors)) {
		if !used[key] {
			return nil, fmt.Errorf("format: %s: tensor %q fits no parameter of this model: it can't be represented", a.Path, key)
		}
	}
	return out, nil
}

// single returns a tensor as float32, in which trainables are: adapters of models in half precision are widened. It fails for
// NaN and infinite elements.
func single(t *graph.Tensor) (*graph.Tensor, error) {
	if t.DType == graph.Float16 || t.DType == graph.BFloat16 {
		wide, err := t.Float64s()
		if err != nil {
			return nil, err
		}
		t = graph.FloatTensor(graph.Float, t.Dims, wide)
	}
	data, err := graph.Data[float32](t)
	if err != nil {
		return nil, err
	}
	for i, v := range data {
		if v-v != 0 {
			return nil, fmt.Errorf("element %d is %v: the adapter is damaged or its training diverged", i, v)
		}
	}
	return t, nil
}

// everyMethod is for formats that hold trainables by our own names.
func everyMethod() map[string]string {
	out := map[string]string{}
	for _, n := range inject.Names() {
		out[n] = n
	}
	return out
}

// For returns the format in which a run keeps a plan's adapter: the one that most programs read, where it gives back every
// tensor as it was. PEFT folds the MLP of a prompt or prefix away and stores PiSSA as its difference from the start.
func For(p *inject.Plan) (Format, error) {
	m, err := hfFor(p)
	if err != nil {
		return New(Native)
	}
	keys := map[string]bool{}
	for _, t := range p.Tensors() {
		key := hfKey(m)(p, t)
		if keys[key] {
			return New(Native)
		}
		keys[key] = true
	}
	return New(HFPEFT)
}
