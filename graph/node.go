package graph

import (
	"fmt"
	"slices"
)

// A Node applies an operator. Its inputs and outputs are changed through the graph's writers only.
type Node struct {
	Name   string
	Domain string // "" for ai.onnx
	Op     string
	Attrs  []Attr
	// Extra is what the file held about this node and the representation does not model.
	Extra any

	graph    *Graph
	inputs   []*Value // nil is an absent optional input
	outputs  []*Value // nil is an output nobody asked for
	captures []*Value // outer values that subgraphs among Attrs read
}

// Inputs returns the inputs, nil for an absent optional one. The caller must not change the slice.
func (n *Node) Inputs() []*Value { return n.inputs }

// Outputs returns the outputs, nil for one that is not asked for. The caller must not change the slice.
func (n *Node) Outputs() []*Value { return n.outputs }

// Captures returns the values of this graph that the node's subgraphs read.
func (n *Node) Captures() []*Value { return n.captures }

// Input returns input i, or nil when it is absent.
func (n *Node) Input(i int) *Value {
	if n == nil || i < 0 || i >= len(n.inputs) {
		return nil
	}
	return n.inputs[i]
}

// Output returns output i, or nil when it is absent.
func (n *Node) Output(i int) *Value {
	if n == nil || i < 0 || i >= len(n.outputs) {
		return nil
	}
	return n.outputs[i]
}

// Is reports whether n is one of the given ai.onnx operators; a nil node is none.
func (n *Node) Is(ops ...string) bool {
	return n != nil && n.Domain == "" && slices.Contains(ops, n.Op)
}

// String names the node in messages: `MatMul "encoder/layer.0/query"`, with the first output's name when it has none.
func (n *Node) String() string {
	if n == nil {
		return "no node"
	}
	op := n.Op
	if n.Domain != "" {
		op = n.Domain + "." + op
	}
	if n.Name == "" {
		for _, o := range n.outputs {
			if o != nil {
				return fmt.Sprintf("%s that computes %q", op, o.name)
			}
		}
	}
	return fmt.Sprintf("%s %q", op, n.Name)
}

// SetInput makes input i read v (nil for absent), growing the list with absent inputs as far as needed.
func (n *Node) SetInput(i int, v *Value) {
	for len(n.inputs) <= i {
		n.inputs = append(n.inputs, nil)
	}
	if old := n.inputs[i]; old != nil {
		old.removeUse(n, i)
	}
	n.inputs[i] = v
	if v != nil {
		v.uses = append(v.uses, Use{n, i})
	}
}

// AddOutput asks the node for its output i, which it must not have yet, and returns the new value.
func (n *Node) AddOutput(i int, name string) (*Value, error) {
	if n.Output(i) != nil {
		return nil, fmt.Errorf("graph: node %s has output %d already", n, i)
	}
	v, err := n.graph.newValue(name)
	if err != nil {
		return nil, err
	}
	for len(n.outputs) <= i {
		n.outputs = append(n.outputs, nil)
	}
	v.producer, v.index = n, i
	n.outputs[i] = v
	return v, nil
}

// An AttrKind says which field of an [Attr] holds its value; the numbers are those of ONNX's AttributeProto.AttributeType.
type AttrKind int32

// The kinds of attribute the representation models. Others (sparse tensors, types) stay in Attr.Extra.
const (
	AttrUndefined AttrKind = 0
	AttrFloat     AttrKind = 1
	AttrInt       AttrKind = 2
	AttrString    AttrKind = 3
	AttrTensor    AttrKind = 4
	AttrGraph     AttrKind = 5
	AttrFloats    AttrKind = 6
	AttrInts      AttrKind = 7
	AttrStrings   AttrKind = 8
	AttrTensors   AttrKind = 9
	AttrGraphs    AttrKind = 10
)

// An Attr is a named constant argument of a node.
type Attr struct {
	Name    string
	Kind    AttrKind
	F       float32
	I       int64
	S       string
	T       *Tensor
	G       *Graph
	Floats  []float32
	Ints    []int64
	Strings []string
	Tensors []*Tensor
	Graphs  []*Graph
	Extra   any
}

// IntAttr returns an integer attribute.
func IntAttr(name string, v int64) Attr { return Attr{Name: name, Kind: AttrInt, I: v} }

// IntsAttr returns an attribute that is a list of integers.
func IntsAttr(name string, v ...int64) Attr { return Attr{Name: name, Kind: AttrInts, Ints: v} }

// FloatAttr returns a float attribute.
func FloatAttr(name string, v float32) Attr { return Attr{Name: name, Kind: AttrFloat, F: v} }

// StringAttr returns a string attribute.
func StringAttr(name, v string) Attr { return Attr{Name: name, Kind: AttrString, S: v} }

// TensorAttr returns a tensor attribute.
func TensorAttr(name string, t *Tensor) Attr { return Attr{Name: name, Kind: AttrTensor, T: t} }

// Attr returns the attribute of that name, or nil.
func (n *Node) Attr(name string) *Attr {
	for i := range n.Attrs {
		if n.Attrs[i].Name == name {
			return &n.Attrs[i]
		}
	}
	return nil
}

// Int returns an integer attribute, or def when the node has none of that name.
func (n *Node) Int(name string, def int64) int64 {
	if a := n.Attr(name); a != nil && a.Kind == AttrInt {
		return a.I
	}
	return def
}

// Float returns a float attribute, or def when the node has none of that name.
func (n *Node) Float(name string, def float32) float32 {
	if a := n.Attr(name); a != nil && a.Kind == AttrFloat {
		return a.F
	}
	return def
}

// Str returns a string attribute, or def when the node has none of that name.
func (n *Node) Str(name, def string) string {
	if a := n.Attr(name); a != nil && a.Kind == AttrString {
		return a.S
	}
	return def
}

// Ints returns an integer-list attribute, or nil.
func (n *Node) Ints(name string) []int64 {
	if a := n.Attr(name); a != nil && a.Kind == AttrInts {
		return a.Ints
	}
	return nil
}

// SetAttr adds an attribute, or replaces the one of the same name.
func (n *Node) SetAttr(a Attr) {
	if old := n.Attr(a.Name); old != nil {
		*old = a
		return
	}
	n.Attrs = append(n.Attrs, a)
}

// RemoveAttr removes the attribute of that name, if there is one.
func (n *Node) RemoveAttr(name string) {
	n.Attrs = slices.DeleteFunc(n.Attrs, func(a Attr) bool { return a.Name == name })
}

// Subgraphs returns the graphs among the attributes (If, Loop, Scan).
func (n *Node) Subgraphs() []*Graph {
	var out []*Graph
	for _, a := range n.Attrs {
		if a.G != nil {
			out = append(out, a.G)
		}
		out = append(out, a.Graphs...)
	}
	return out
}
