package graph

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
)

// A Builder appends nodes to a graph under a name prefix. It remembers the first error and does nothing after it, so that a
// formula reads as a formula; ask [Builder.Err] once at the end. Names are deterministic: "<scope>/<Op>", "<scope>/<Op>_1", …
type Builder struct {
	g      *Graph
	scope  string
	domain string
	attrs  []Attr
	state  *buildState
}

type buildState struct {
	err   error
	nodes []*Node
}

// Build returns a builder that appends to g and names everything below scope.
func (g *Graph) Build(scope string) *Builder {
	return &Builder{g: g, scope: scope, state: &buildState{}}
}

// Graph returns the graph that the builder appends to.
func (b *Builder) Graph() *Graph { return b.g }

// Err returns the first error of this builder and of those derived from it.
func (b *Builder) Err() error { return b.state.err }

// Fail records an error unless there is one already.
func (b *Builder) Fail(err error) {
	if b.state.err == nil {
		b.state.err = err
	}
}

// Nodes returns the nodes appended so far by this builder and those derived from it.
func (b *Builder) Nodes() []*Node { return b.state.nodes }

// Scope returns a builder for names below "<scope>/<name>".
func (b *Builder) Scope(name string) *Builder {
	c := *b
	c.scope += "/" + name
	return &c
}

// In returns a builder whose next nodes are of the given operator domain.
func (b *Builder) In(domain string) *Builder {
	c := *b
	c.domain = domain
	return &c
}

// With returns a builder whose next nodes carry the given attributes.
func (b *Builder) With(attrs ...Attr) *Builder {
	c := *b
	c.attrs = append(append([]Attr(nil), b.attrs...), attrs...)
	return &c
}

// Op appends a node with one output and returns that output; nil after an error. Trailing nil inputs are left off.
func (b *Builder) Op(op string, inputs ...*Value) *Value {
	outs := b.OpN(op, 1, inputs...)
	if outs == nil {
		return nil
	}
	return outs[0]
}

// OpN appends a node with n outputs; nil after an error.
func (b *Builder) OpN(op string, n int, inputs ...*Value) []*Value {
	if b.state.err != nil {
		return nil
	}
	for len(inputs) > 0 && inputs[len(inputs)-1] == nil {
		inputs = inputs[:len(inputs)-1]
	}
	name := b.g.UniqueName(b.scope + "/" + op)
	outs := []string{name}
	for i := 1; i < n; i++ {
		outs = append(outs, b.g.UniqueName(fmt.Sprintf("%s:%d", name, i)))
	}
	node, err := b.g.AddNode(NodeSpec{Name: name, Domain: b.domain, Op: op, Inputs: inputs, Outputs: outs, Attrs: cloneAttrs(b.attrs)})
	if err != nil {
		b.Fail(err)
		return nil
	}
	b.state.nodes = append(b.state.nodes, node)
	return node.outputs
}

// Typed sets what is known of a value's type and returns the value.
func (b *Builder) Typed(v *Value, dtype DType, shape Shape) *Value {
	if v != nil {
		v.DType, v.Shape = dtype, shape
	}
	return v
}

// Init adds an initializer named "<scope>/<name>".
func (b *Builder) Init(name string, t *Tensor) *Value {
	if b.state.err != nil {
		return nil
	}
	v, err := b.g.AddInitializer(b.scope+"/"+name, t)
	if err != nil {
		b.Fail(err)
		return nil
	}
	return v
}

// Const returns an initializer that holds t; small equal tensors share one. Names tell the content: "const/int64_[2]_-1_768".
func (b *Builder) Const(t *Tensor) *Value {
	if b.state.err != nil {
		return nil
	}
	name, err := constName(t)
	if err != nil {
		b.Fail(err)
		return nil
	}
	if v := b.g.values[name]; v.Const() != nil && sameBytes(v.init, t) {
		return v
	}
	v, err := b.g.AddInitializer(b.g.UniqueName(name), t)
	if err != nil {
		b.Fail(err)
	}
	return v
}

// Ints returns a constant int64 vector.
func (b *Builder) Ints(vs ...int64) *Value {
	return b.Const(TensorOf([]int64{int64(len(vs))}, append([]int64{}, vs...)))
}

// Int returns a constant int64 scalar.
func (b *Builder) Int(v int64) *Value { return b.Const(Scalar(v)) }

// Float returns a constant scalar of the floating type dtype.
func (b *Builder) Float(dtype DType, v float64) *Value {
	if dtype != Float && dtype != Double {
		b.Fail(fmt.Errorf("graph: %s: a constant %v of type %s: only float and double are emitted", b.scope, v, dtype))
		return nil
	}
	return b.Const(FloatScalar(dtype, v))
}

func sameBytes(a, b *Tensor) bool {
	x, errX := a.Bytes()
	y, errY := b.Bytes()
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// constName derives a name from the content of t. Long tensors get none of their content in it and are never shared.
func constName(t *Tensor) (string, error) {
	const longest = 64
	data, err := t.Bytes()
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("const/%s%s", t.DType, strings.ReplaceAll(fmt.Sprint(t.Dims), " ", ","))
	if len(data) > longest {
		return name, nil
	}
	switch {
	case t.DType.IsFloat() && t.Len() == 1:
		f, err := t.Float64s()
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s_%v", name, f[0]), nil
	case !t.DType.IsFloat() && t.DType != String:
		vs, err := t.Int64s()
		if err != nil {
			return "", err
		}
		for _, v := range vs {
			name += fmt.Sprintf("_%d", v)
		}
		return name, nil
	}
	return name + "_" + hex.EncodeToString(data), nil
}
