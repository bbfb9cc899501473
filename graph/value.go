package graph

import (
	"fmt"
	"strings"
)

// A Dim is one dimension of a shape: a number, a name (two dimensions with one name are equal), or unknown.
type Dim struct {
	N   int64  // the size, where Sym is empty; -1 if unknown
	Sym string // the name of a symbolic dimension, or a product of them such as "batch*sequence"
}

// Fixed returns a dimension of known size.
func Fixed(n int64) Dim { return Dim{N: n} }

// Symbol returns a named dimension.
func Symbol(name string) Dim { return Dim{N: -1, Sym: name} }

// UnknownDim returns a dimension nothing is known of.
func UnknownDim() Dim { return Dim{N: -1} }

// Known reports whether the size is a number.
func (d Dim) Known() bool { return d.Sym == "" && d.N >= 0 }

// Same reports whether both dimensions are certainly equal.
func (d Dim) Same(e Dim) bool {
	if d.Sym != "" || e.Sym != "" {
		return d.Sym == e.Sym
	}
	return d.N >= 0 && d.N == e.N
}

// String prints the number, the symbol, or "?".
func (d Dim) String() string {
	switch {
	case d.Sym != "":
		return d.Sym
	case d.N >= 0:
		return fmt.Sprint(d.N)
	}
	return "?"
}

// A Shape is a list of dimensions. nil means that not even the rank is known; an empty non-nil Shape is a scalar's.
type Shape []Dim

// ShapeOf returns a shape of known sizes; -1 stands for an unknown dimension.
func ShapeOf(dims ...int64) Shape {
	s := make(Shape, len(dims))
	for i, d := range dims {
		s[i] = Dim{N: d}
	}
	return s
}

// Rank returns the number of dimensions, or -1 when it is unknown.
func (s Shape) Rank() int {
	if s == nil {
		return -1
	}
	return len(s)
}

// Dims returns the sizes when all are known.
func (s Shape) Dims() ([]int64, bool) {
	if s == nil {
		return nil, false
	}
	out := make([]int64, len(s))
	for i, d := range s {
		if !d.Known() {
			return nil, false
		}
		out[i] = d.N
	}
	return out, true
}

// Compatible reports whether nothing known of both shapes contradicts their being equal.
func (s Shape) Compatible(t Shape) bool {
	if s == nil || t == nil {
		return true
	}
	if len(s) != len(t) {
		return false
	}
	for i := range s {
		if s[i].Known() && t[i].Known() && s[i].N != t[i].N {
			return false
		}
	}
	return true
}

// Clone returns a copy that shares nothing.
func (s Shape) Clone() Shape {
	if s == nil {
		return nil
	}
	return append(Shape{}, s...)
}

// String prints "[batch,sequence,768]", or "[...]" when the rank is unknown.
func (s Shape) String() string {
	if s == nil {
		return "[...]"
	}
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// A Value is a named tensor-valued edge of the graph: a graph input, an initializer, or one output of a node.
type Value struct {
	DType DType
	Shape Shape
	// Extra is what the file held about this value and the representation does not model.
	Extra any

	name     string
	graph    *Graph
	init     *Tensor
	producer *Node
	index    int
	isInput  bool
	isOuter  bool // defined by an enclosing graph under the same name
	uses     []Use
}

// A Use is one place where a value is read: input Index of Node. Index is -1 when a subgraph of Node reads the value.
type Use struct {
	Node  *Node
	Index int
}

// Name returns the value's name, unique in its graph.
func (v *Value) Name() string { return v.name }

// Producer returns the node that computes the value, or nil for graph inputs and initializers.
func (v *Value) Producer() *Node { return v.producer }

// OutputIndex returns which output of [Value.Producer] the value is.
func (v *Value) OutputIndex() int { return v.index }

// Init returns the initializer's tensor, or nil. A graph input with an initializer has a default that a caller may override.
func (v *Value) Init() *Tensor { return v.init }

// Const returns the initializer's tensor when no caller can override it, or nil.
func (v *Value) Const() *Tensor {
	if v == nil || v.isInput {
		return nil
	}
	return v.init
}

// IsInput reports whether the value is among the graph's inputs.
func (v *Value) IsInput() bool { return v.isInput }

// IsOuter reports whether the value belongs to a subgraph and is defined by an enclosing graph under the same name.
func (v *Value) IsOuter() bool { return v.isOuter }

// IsOutput reports whether the value is among the graph's outputs.
func (v *Value) IsOutput() bool {
	for _, o := range v.graph.outputs {
		if o == v {
			return true
		}
	}
	return false
}

// Uses returns every place that reads the value, in no particular order. The caller must not change the slice.
func (v *Value) Uses() []Use { return v.uses }

// Users returns the distinct nodes that read the value, in the order of their first use.
func (v *Value) Users() []*Node {
	var out []*Node
	seen := map[*Node]bool{}
	for _, u := range v.uses {
		if !seen[u.Node] {
			seen[u.Node] = true
			out = append(out, u.Node)
		}
	}
	return out
}

// String prints name, type and shape.
func (v *Value) String() string {
	if v == nil {
		return "absent"
	}
	return fmt.Sprintf("%q %s%s", v.name, v.DType, v.Shape)
}

func (v *Value) removeUse(n *Node, index int) {
	for i, u := range v.uses {
		if u.Node == n && u.Index == index {
			v.uses = append(v.uses[:i], v.uses[i+1:]...)
			return
		}
	}
}
