package graphtest

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// Isomorphic returns nil when two graphs compute the same outputs in the same way: operator sets, inputs by name and
// type, outputs by position and name, and every node behind them agree, whatever intermediate values, initializers and
// nodes are called and in which order nodes stand. The error tells the path from an output to the first difference.
func Isomorphic(a, b *graph.Graph) error {
	if !maps.Equal(a.Opsets, b.Opsets) {
		return fmt.Errorf("graphtest: operator sets %v and %v", a.Opsets, b.Opsets)
	}
	if err := sameDeclarations("input", a.Inputs(), b.Inputs()); err != nil {
		return err
	}
	if err := sameNames("output", a.Outputs(), b.Outputs()); err != nil {
		return err
	}
	m := matcher{map[*graph.Value]*graph.Value{}, map[*graph.Value]*graph.Value{}}
	for k, v := range a.Outputs() {
		if err := m.value(v, b.Outputs()[k]); err != nil {
			return fmt.Errorf("graphtest: output %q: %w", v.Name(), err)
		}
	}
	if x, y := len(a.Nodes()), len(b.Nodes()); x != y {
		return fmt.Errorf("graphtest: %d and %d nodes: some that no output depends on differ", x, y)
	}
	return nil
}

func sameNames(what string, a, b []*graph.Value) error {
	names := func(vs []*graph.Value) (out []string) {
		for _, v := range vs {
			out = append(out, v.Name())
		}
		return out
	}
	if x, y := names(a), names(b); !slices.Equal(x, y) {
		return fmt.Errorf("graphtest: %ss %q and %q", what, x, y)
	}
	return nil
}

func sameDeclarations(what string, a, b []*graph.Value) error {
	if err := sameNames(what, a, b); err != nil {
		return err
	}
	for k, v := range a {
		if w := b[k]; v.DType != w.DType || v.Shape.String() != w.Shape.String() {
			return fmt.Errorf("graphtest: %s %s and %s", what, v, w)
		}
	}
	return nil
}

// A matcher pairs the values of two graphs one to one.
type matcher struct{ to, from map[*graph.Value]*graph.Value }

func (m matcher) value(v, w *graph.Value) error {
	if v == nil || w == nil {
		if v != w {
			return fmt.Errorf("%s and %s", v, w)
		}
		return nil
	}
	if m.to[v] != nil || m.from[w] != nil {
		if m.to[v] != w {
			return fmt.Errorf("%s and %s: one is shared where the other is not", v, w)
		}
		return nil
	}
	if err := sameSource(v, w); err != nil {
		return err
	}
	// Two equal constants may each meet two of the other graph: sharing constants is no difference.
	if v.Const() == nil {
		m.to[v], m.from[w] = w, v
	}
	if v.Producer() != nil {
		return m.node(v.Producer(), w.Producer())
	}
	return nil
}

func sameSource(v, w *graph.Value) error {
	switch {
	case v.IsInput() != w.IsInput() || (v.Init() == nil) != (w.Init() == nil):
		return fmt.Errorf("%s and %s differ in where they come from", v, w)
	case v.IsInput() && v.Name() != w.Name():
		return fmt.Errorf("input %s and input %s", v, w)
	case v.Init() != nil:
		if err := sameTensor(v.Init(), w.Init()); err != nil {
			return fmt.Errorf("initializers %q and %q: %w", v.Name(), w.Name(), err)
		}
	case v.OutputIndex() != w.OutputIndex():
		return fmt.Errorf("%s is output %d of its node, %s output %d", v, v.OutputIndex(), w, w.OutputIndex())
	}
	return nil
}

func (m matcher) node(n, o *graph.Node) error {
	if n.Op != o.Op || n.Domain != o.Domain {
		return fmt.Errorf("%s and %s", n, o)
	}
	if len(n.Inputs()) != len(o.Inputs()) || len(n.Outputs()) != len(o.Outputs()) {
		return fmt.Errorf("%s has %d inputs and %d outputs, %s %d and %d",
			n, len(n.Inputs()), len(n.Outputs()), o, len(o.Inputs()), len(o.Outputs()))
	}
	if err := sameAttrs(n, o); err != nil {
		return fmt.Errorf("%s and %s: %w", n, o, err)
	}
	for k, v := range n.Inputs() {
		if err := m.value(v, o.Input(k)); err != nil {
			return fmt.Errorf("%s: input %d: %w", n, k, err)
		}
	}
	return nil
}

func sameAttrs(n, o *graph.Node) error {
	if len(n.Attrs) != len(o.Attrs) {
		return fmt.Errorf("%d and %d attributes", len(n.Attrs), len(o.Attrs))
	}
	for i := range n.Attrs {
		a := &n.Attrs[i]
		b := o.Attr(a.Name)
		if b == nil {
			return fmt.Errorf("attribute %q is in one only", a.Name)
		}
		if err := sameAttr(a, b); err != nil {
			return fmt.Errorf("attribute %q: %w", a.Name, err)
		}
	}
	return nil
}

func sameAttr(a, b *graph.Attr) error {
	plain := func(a *graph.Attr) string {
		return fmt.Sprint(a.Kind, math.Float32bits(a.F), a.I, a.Floats, a.Ints) + fmt.Sprintf("%q%q", a.S, a.Strings)
	}
	if plain(a) != plain(b) || (a.G == nil) != (b.G == nil) || len(a.Tensors) != len(b.Tensors) || len(a.Graphs) != len(b.Graphs) {
		return fmt.Errorf("the values differ: %+v and %+v", *a, *b)
	}
	if err := sameTensor(a.T, b.T); err != nil {
		return err
	}
	for k, t := range a.Tensors {
		if err := sameTensor(t, b.Tensors[k]); err != nil {
			return err
		}
	}
	if a.G != nil && b.G != nil {
		if err := Isomorphic(a.G, b.G); err != nil {
			return err
		}
	}
	for k, g := range a.Graphs {
		if err := Isomorphic(g, b.Graphs[k]); err != nil {
			return err
		}
	}
	return nil
}

func sameTensor(a, b *graph.Tensor) error {
	if a == nil || b == nil {
		if a != b {
			return fmt.Errorf("one is absent")
		}
		return nil
	}
	if a.DType != b.DType || !slices.Equal(a.Dims, b.Dims) {
		return fmt.Errorf("%s%v and %s%v", a.DType, a.Dims, b.DType, b.Dims)
	}
	x, err := a.Bytes()
	if err != nil {
		return err
	}
	y, err := b.Bytes()
	if err != nil {
		return err
	}
	if !bytes.Equal(x, y) {
		return fmt.Errorf("%s%v tensors with different content", a.DType, a.Dims)
	}
	return nil
}
