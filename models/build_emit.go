package models

import (
	"fmt"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

// An emitter writes one encoder. Builders remember errors; the emitter remembers those of weights.
type emitter struct {
	g       *graph.Graph
	c       Config
	f       *family
	p       *blueprint
	weights weights
	opt     BuildOptions
	prefix  string // of the encoder's parameters: a task model's differ from a bare encoder's
	failed  error

	ids, mask, types *graph.Value // the graph's inputs
	batch, sequence  *graph.Value // their sizes, int64 [1]
	flat             map[*graph.Value]*graph.Value
	shapes           map[string]*graph.Value
}

func newEmitter(c Config, w weights, opt BuildOptions) *emitter {
	e := &emitter{
		g: graph.New(c.Family), c: c, f: families[c.Family], p: blueprints[c.Family], weights: w, opt: opt,
		flat: map[*graph.Value]*graph.Value{}, shapes: map[string]*graph.Value{},
	}
	e.g.Opsets[""] = opt.Opset
	if c.Task != NoTask {
		e.prefix = e.f.prefix
	}
	return e
}

func (e *emitter) fail(err error) {
	if e.failed == nil && err != nil {
		e.failed = err
	}
}

func (e *emitter) err() error { return e.failed }

// at returns a builder whose names follow the module's path, as exporters' do: "/encoder/layer.0/attention/self/query".
func (e *emitter) at(module string) *emission {
	var scope strings.Builder
	for i, part := range strings.Split(module, ".") {
		if i > 0 && (part[0] < '0' || part[0] > '9') {
			scope.WriteByte('/')
		} else if i > 0 {
			scope.WriteByte('.')
		}
		scope.WriteString(part)
	}
	return &emission{e.g.Build("/" + scope.String()), e}
}

// emission is a builder that hands its error to the emitter.
type emission struct {
	b *graph.Builder
	e *emitter
}

func (m *emission) op(op string, inputs ...*graph.Value) *graph.Value {
	return m.with(op, nil, inputs...)
}

func (m *emission) with(op string, attrs []graph.Attr, inputs ...*graph.Value) *graph.Value {
	if m.e.failed != nil {
		return nil
	}
	v := m.b.With(attrs...).Op(op, inputs...)
	m.e.fail(m.b.Err())
	return v
}

// parameter returns the initializer of that name; parameters that two places read are added once.
func (e *emitter) parameter(name string, dims ...int64) *graph.Value {
	return e.named(e.prefix+name, name, dims...)
}

// headParameter is one outside the encoder: no task model has a prefix before it.
func (e *emitter) headParameter(name string, dims ...int64) *graph.Value {
	return e.named(name, name, dims...)
}

func (e *emitter) named(as, name string, dims ...int64) *graph.Value {
	if e.failed != nil {
		return nil
	}
	t, err := e.weights.tensor(name, dims...)
	if err != nil {
		e.fail(err)
		return nil
	}
	v, err := e.g.AddInitializer(as, t)
	e.fail(err)
	return v
}

// linear appends y = x·Wᵀ + b, with W [out, in] and x [batch, sequence, in] flattened to its tokens, and arranges y by
// shape: [batch, sequence, out], or split into heads.
func (e *emitter) linear(x *graph.Value, module string, in, out int, shape *graph.Value) *graph.Value {
	m := e.at(module)
	w, b := e.parameter(module+".weight", int64(out), int64(in)), e.parameter(module+".bias", int64(out))
	if e.flat[x] == nil {
		e.flat[x] = m.op("Reshape", x, m.b.Ints(-1, int64(in)))
	}
	y := m.with("Gemm", []graph.Attr{graph.IntAttr("transB", 1)}, e.flat[x], w, b)
	return m.op("Reshape", y, shape)
}

// norm appends LayerNorm(x), Ba, Kiros and Hinton 2016, arXiv:1607.06450.
func (e *emitter) norm(x *graph.Value, module string) *graph.Value {
	m := e.at(module)
	h := int64(e.c.Hidden)
	scale, bias := e.parameter(module+".weight", h), e.parameter(module+".bias", h)
	if e.opt.Opset >= 17 {
		attrs := []graph.Attr{graph.IntAttr("axis", -1), graph.FloatAttr("epsilon", float32(e.c.LayerNormEps))}
		return m.with("LayerNormalization", attrs, x, scale, bias)
	}
	f := func(v float64) *graph.Value { return m.b.Float(graph.Float, v) }
	last := []graph.Attr{graph.IntsAttr("axes", -1)}
	centred := m.op("Sub", x, m.with("ReduceMean", last, x))
	variance := m.with("ReduceMean", last, m.op("Pow", centred, f(2)))
	unit := m.op("Div", centred, m.op("Sqrt", m.op("Add", variance, f(e.c.LayerNormEps))))
	return m.op("Add", m.op("Mul", unit, scale), bias)
}

// unsqueeze inserts axes of size 1; they are an attribute before opset 13.
func (e *emitter) unsqueeze(m *emission, x *graph.Value, axes ...int64) *graph.Value {
	if e.opt.Opset < 13 {
		return m.with("Unsqueeze", []graph.Attr{graph.IntsAttr("axes", axes...)}, x)
	}
	return m.op("Unsqueeze", x, m.b.Ints(axes...))
}

// tokens returns the shape [batch, sequence, rest…] as a value; each is computed once.
func (e *emitter) tokens(rest ...int64) *graph.Value {
	key := fmt.Sprint(rest)
	if e.shapes[key] == nil {
		m := e.at("shape")
		parts := []*graph.Value{e.batch, e.sequence}
		for _, n := range rest {
			parts = append(parts, m.b.Ints(n))
		}
		e.shapes[key] = m.with("Concat", []graph.Attr{graph.IntAttr("axis", 0)}, parts...)
	}
	return e.shapes[key]
}
