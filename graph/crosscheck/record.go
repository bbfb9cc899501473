package crosscheck

import (
	"fmt"
	"math"
	"slices"

	onnx "github.com/owulveryck/onnx-go"
	gonum "gonum.org/v1/gonum/graph"
	"gorgonia.org/tensor"

	"github.com/peftgraph/peftgraph/graph"
)

// A recorder is an onnx-go backend that computes nothing and writes down what it is told.
type recorder struct {
	gonum.Directed // nil: onnx-go only builds, and asks for nothing

	model  *onnx.Model
	values []*value
	edges  []edge // since the last operation
	ops    []operation
}

// An operation is a node as onnx-go reads it. For each output it tells the inputs anew.
type operation struct {
	name    string
	attrs   map[string]any
	outputs []string
	inputs  [][]string
}

// record decodes a model. onnx-go panics on some input; that is an error here.
func record(data []byte) (r *recorder, err error) {
	defer recovered(&err)
	r = &recorder{}
	r.model = onnx.NewModel(r)
	if err := r.model.UnmarshalBinary(data); err != nil {
		return nil, fmt.Errorf("onnx-go: %w", err)
	}
	return r, nil
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("onnx-go panicked: %v", p)
	}
}

// NewNode returns a value. It carries no data, so that onnx-go decodes no initializers.
func (r *recorder) NewNode() gonum.Node {
	r.values = append(r.values, &value{id: int64(len(r.values))})
	return r.values[len(r.values)-1]
}

// AddNode has nothing left to do.
func (r *recorder) AddNode(gonum.Node) {}

// NewWeightedEdge returns an edge from an output to its input number weight.
func (r *recorder) NewWeightedEdge(from, to gonum.Node, weight float64) gonum.WeightedEdge {
	return edge{from, to, weight}
}

// SetWeightedEdge writes an edge down.
func (r *recorder) SetWeightedEdge(e gonum.WeightedEdge) {
	r.edges = append(r.edges, edge{e.From(), e.To(), e.Weight()})
}

// ApplyOperation writes down an operation and the edges that led up to it.
func (r *recorder) ApplyOperation(op onnx.Operation, outputs ...gonum.Node) error {
	o := operation{name: op.Name, attrs: op.Attributes}
	edges := r.edges
	r.edges = nil
	for _, out := range outputs {
		o.outputs = append(o.outputs, nameOf(out))
		var inputs []string
		for len(edges) > 0 && edges[0].from == out && int(edges[0].weight) == len(inputs) {
			inputs = append(inputs, nameOf(edges[0].to))
			edges = edges[1:]
		}
		o.inputs = append(o.inputs, inputs)
	}
	if len(edges) > 0 {
		return fmt.Errorf("%s %q: %d edges belong to none of its outputs", op.Name, o.outputs, len(edges))
	}
	r.ops = append(r.ops, o)
	return nil
}

// ordered reports whether every operation stands behind those it reads from.
func (r *recorder) ordered() bool {
	later := map[string]bool{}
	for _, op := range slices.Backward(r.ops) {
		for _, name := range op.outputs {
			later[name] = name != ""
		}
		for _, inputs := range op.inputs {
			if slices.ContainsFunc(inputs, func(name string) bool { return later[name] }) {
				return false
			}
		}
	}
	return true
}

// arrange puts the operations into the order of the nodes that have the same outputs; others go last.
func (r *recorder) arrange(nodes []*graph.Node) {
	at := map[string]int{}
	for i, n := range nodes {
		at[firstNamed(valueNames(n.Outputs()))] = i
	}
	place := func(op operation) int {
		if i, ok := at[firstNamed(op.outputs)]; ok {
			return i
		}
		return len(nodes)
	}
	slices.SortStableFunc(r.ops, func(a, b operation) int { return place(a) - place(b) })
}

// names returns the names of values by their identifiers.
func (r *recorder) names(ids []int64) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = r.values[id].name
	}
	return out
}

func nameOf(n gonum.Node) string { return n.(*value).name }

// A value is a node of the recorded graph.
type value struct {
	id   int64
	name string
}

// ID identifies the value.
func (v *value) ID() int64 { return v.id }

// SetName takes the name of the value.
func (v *value) SetName(s string) { v.name = s }

// GetName returns the name of the value.
func (v *value) GetName() string { return v.name }

type edge struct {
	from, to gonum.Node
	weight   float64
}

// From returns the output at the edge.
func (e edge) From() gonum.Node { return e.from }

// To returns the input at the edge.
func (e edge) To() gonum.Node { return e.to }

// ReversedEdge returns the edge the other way round.
func (e edge) ReversedEdge() gonum.Edge { return edge{e.to, e.from, e.weight} }

// Weight returns the position of the input.
func (e edge) Weight() float64 { return e.weight }

// decodeTensor decodes one TensorProto by onnx-go.
func decodeTensor(encoded []byte) (t tensor.Tensor, err error) {
	defer recovered(&err)
	t, err = onnx.NewTensor(encoded)
	if err != nil {
		err = fmt.Errorf("onnx-go: %w", err)
	}
	return t, err
}

// sameAttr compares what onnx-go says of an attribute with a. NaN equals NaN.
func sameAttr(got any, a *graph.Attr) bool {
	switch v := got.(type) {
	case float32:
		return a.Kind == graph.AttrFloat && sameFloats([]float32{v}, []float32{a.F})
	case int64:
		return a.Kind == graph.AttrInt && v == a.I
	case string:
		return a.Kind == graph.AttrString && v == a.S
	case []float32:
		return a.Kind == graph.AttrFloats && sameFloats(v, a.Floats)
	case []int64:
		return a.Kind == graph.AttrInts && slices.Equal(v, a.Ints)
	case []string:
		return a.Kind == graph.AttrStrings && slices.Equal(v, a.Strings)
	case tensor.Tensor:
		return a.Kind == graph.AttrTensor && sameTensor(v, a.T)
	}
	return false
}

func sameFloats(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// sameTensor compares shape and elements, bit for bit. onnx-go gives a scalar for a tensor of one element.
func sameTensor(got tensor.Tensor, want *graph.Tensor) bool {
	if want.Len() > 1 && !slices.EqualFunc(got.Shape(), want.Dims, func(a int, b int64) bool { return int64(a) == b }) {
		return false
	}
	switch v := got.Data().(type) {
	case float32:
		return sameData([]float32{v}, want, func(x float32) uint64 { return uint64(math.Float32bits(x)) })
	case []float32:
		return sameData(v, want, func(x float32) uint64 { return uint64(math.Float32bits(x)) })
	case float64:
		return sameData([]float64{v}, want, math.Float64bits)
	case []float64:
		return sameData(v, want, math.Float64bits)
	case int32:
		return sameData([]int32{v}, want, func(x int32) uint64 { return uint64(x) })
	case []int32:
		return sameData(v, want, func(x int32) uint64 { return uint64(x) })
	case int64:
		return sameData([]int64{v}, want, func(x int64) uint64 { return uint64(x) })
	case []int64:
		return sameData(v, want, func(x int64) uint64 { return uint64(x) })
	}
	return false
}

func sameData[T graph.Number](got []T, want *graph.Tensor, bits func(T) uint64) bool {
	data, err := graph.Data[T](want)
	return err == nil && slices.EqualFunc(got, data, func(a, b T) bool { return bits(a) == bits(b) })
}
