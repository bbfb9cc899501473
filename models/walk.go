package models

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// The walks of this file answer "where does this value come from" past the nodes that exporters sprinkle in: they change
// neither the numbers nor, for the second kind, their order in memory as far as a token's features are concerned.

// producer returns the node that computes v; nil for an absent input too, which a broken file may have anywhere.
func producer(v *graph.Value) *graph.Node {
	if v == nil {
		return nil
	}
	return v.Producer()
}

// strip walks up from v past nodes that hand a value on unchanged: Identity, Dropout, Cast and slices that cut nothing off.
func strip(v *graph.Value) *graph.Value {
	for {
		up := handedOn(v)
		if up == nil {
			return v
		}
		v = up
	}
}

// origin walks up like [strip], and past nodes that only rearrange: Reshape, Flatten, Transpose, Squeeze, Unsqueeze.
func origin(v *graph.Value) *graph.Value {
	for {
		up := handedOn(v)
		if up == nil && rearranges(producer(v)) {
			up = producer(v).Input(0)
		}
		if up == nil {
			return v
		}
		v = up
	}
}

func handedOn(v *graph.Value) *graph.Value {
	if v == nil || v.OutputIndex() != 0 {
		return nil
	}
	switch n := producer(v); {
	case n.Is("Identity", "Dropout", "CastLike"):
		return n.Input(0)
	case n.Is("Cast") && graph.DType(n.Int("to", 0)) != graph.Bool:
		return n.Input(0)
	case n.Is("Slice"):
		if s, ok := sliceOf(n); ok && s.whole() {
			return n.Input(0)
		}
	}
	return nil
}

func rearranges(n *graph.Node) bool {
	return n.Is("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze")
}

// dataUsers returns the nodes that read v for more than its shape.
func dataUsers(v *graph.Value) []*graph.Node {
	if v == nil {
		return nil
	}
	var out []*graph.Node
	for _, n := range v.Users() {
		if !n.Is("Shape", "Size", "CastLike") || n.Is("CastLike") && n.Input(0) == v {
			out = append(out, n)
		}
	}
	return out
}

// slicing is a Slice node whose bounds are constants.
type slicing struct{ starts, ends, axes, steps []int64 }

func sliceOf(n *graph.Node) (slicing, bool) {
	s := slicing{starts: n.Ints("starts"), ends: n.Ints("ends"), axes: n.Ints("axes")}
	if s.starts == nil {
		var okStarts, okEnds bool
		s.starts, okStarts = constInts(n.Input(1))
		s.ends, okEnds = constInts(n.Input(2))
		if !okStarts || !okEnds {
			return s, false
		}
		s.axes, _ = constInts(n.Input(3))
		s.steps, _ = constInts(n.Input(4))
	}
	for len(s.axes) < len(s.starts) {
		s.axes = append(s.axes, int64(len(s.axes)))
	}
	for len(s.steps) < len(s.starts) {
		s.steps = append(s.steps, 1)
	}
	return s, len(s.starts) == len(s.ends)
}

// keeps reports whether everything along the i-th sliced axis is kept.
func (s slicing) keeps(i int) bool {
	return s.starts[i] == 0 && s.ends[i] >= math.MaxInt32 && s.steps[i] == 1
}

func (s slicing) whole() bool {
	for i := range s.starts {
		if !s.keeps(i) {
			return false
		}
	}
	return true
}

// tensorOf returns the constant that v holds: an initializer's tensor or a Constant node's. Old exporters list every
// initializer among the inputs too, so a default counts as a constant.
func tensorOf(v *graph.Value) *graph.Tensor {
	if v == nil {
		return nil
	}
	if t := v.Init(); t != nil {
		return t
	}
	n := producer(v)
	if !n.Is("Constant") || len(n.Attrs) == 0 {
		return nil
	}
	switch a := n.Attrs[0]; a.Kind {
	case graph.AttrTensor:
		return a.T
	case graph.AttrFloat:
		return graph.Scalar(a.F)
	case graph.AttrInt:
		return graph.Scalar(a.I)
	case graph.AttrFloats:
		return graph.TensorOf(nil, a.Floats)
	case graph.AttrInts:
		return graph.TensorOf(nil, a.Ints)
	}
	return nil
}

// constScalar returns the number that v is, computing it where the exporter left a few operations on constants in place.
func constScalar(v *graph.Value) (float64, bool) {
	if t := tensorOf(v); t != nil {
		if t.Len() != 1 {
			return 0, false
		}
		f, err := t.Float64s()
		if err != nil {
			return 0, false
		}
		return f[0], true
	}
	if producer(v) == nil {
		return 0, false
	}
	return (&pointwise{}).eval(v)
}

// constInts returns the integers of a constant vector or scalar, past the Casts and Reshapes of unfolded exports.
func constInts(v *graph.Value) ([]int64, bool) {
	if v == nil {
		return nil, false
	}
	if t := tensorOf(origin(v)); t != nil {
		is, err := t.Int64s()
		return is, err == nil
	}
	return nil, false
}

// dynamic stands for an entry of a shape that is not a constant.
const dynamic = -1

// shapeEntries returns the entries of a shape tensor, [dynamic] where they are computed or left to Reshape; nil when not
// even their number is known.
func shapeEntries(v *graph.Value) []int64 {
	if is, ok := constInts(v); ok {
		return is
	}
	v = strip(v)
	n := producer(v)
	switch {
	case n.Is("Concat"):
		var out []int64
		for _, in := range n.Inputs() {
			part := shapeEntries(in)
			if part == nil {
				return nil
			}
			out = append(out, part...)
		}
		return out
	case n.Is("Unsqueeze"), n.Is("Reshape"):
		return []int64{dynamic} // a scalar made a vector: the only reason to rearrange a part of a shape
	case n.Is("Shape"):
		return shapeOfEntries(n)
	case n.Is("Slice"):
		return slicedEntries(n)
	case n.Is("Gather"):
		if picked, ok := constInts(n.Input(1)); ok {
			return dynamicEntries(len(picked))
		}
	}
	if v != nil && v.Shape.Rank() == 1 && v.Shape[0].Known() {
		return dynamicEntries(int(v.Shape[0].N))
	}
	return nil
}

func dynamicEntries(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = dynamic
	}
	return out
}

func shapeOfEntries(n *graph.Node) []int64 {
	rank := rankOf(n.Input(0))
	if rank < 0 {
		return nil
	}
	from, to := clampIndex(n.Int("start", 0), rank), clampIndex(n.Int("end", math.MaxInt64), rank)
	return dynamicEntries(max(to-from, 0))
}

func slicedEntries(n *graph.Node) []int64 {
	all := shapeEntries(n.Input(0))
	s, ok := sliceOf(n)
	if all == nil || !ok || len(s.starts) != 1 || s.steps[0] != 1 {
		return nil
	}
	from, to := clampIndex(s.starts[0], len(all)), clampIndex(s.ends[0], len(all))
	if from > to {
		return nil
	}
	return all[from:to]
}

// clampIndex resolves a slice bound as ONNX does: negative ones count from the end, and all end up within [0, n].
func clampIndex(i int64, n int) int {
	if i < 0 && i >= -int64(n) {
		i += int64(n)
	}
	return int(min(max(i, 0), int64(n)))
}

// rankOf returns the rank of v as far as the nodes around it tell, or -1.
func rankOf(v *graph.Value) int {
	if v == nil {
		return -1
	}
	if v.Shape != nil {
		return v.Shape.Rank()
	}
	if t := tensorOf(v); t != nil {
		return len(t.Dims)
	}
	switch n := producer(v); {
	case n.Is("Transpose") && n.Attr("perm") != nil:
		return len(n.Ints("perm"))
	case n.Is("Reshape"):
		if e := shapeEntries(n.Input(1)); e != nil {
			return len(e)
		}
	case n.Is("Cast", "Identity", "Dropout", "Softmax"):
		return rankOf(n.Input(0))
	}
	return -1
}

// shapeDerived reports whether v is computed from constants and from the shapes of values only, so that it is the same
// for every input of one size.
func shapeDerived(v *graph.Value) bool { return len(sources(v)) == 0 }

// sources returns the graph inputs whose content v depends on.
func sources(v *graph.Value) []*graph.Value {
	var out []*graph.Value
	ancestors(v, func(v *graph.Value) {
		if producer(v) == nil && v.Init() == nil {
			out = append(out, v)
		}
	})
	return out
}

// ancestors visits v and every value on whose content, not only shape, it depends.
func ancestors(v *graph.Value, visit func(*graph.Value)) {
	ancestorsUpTo(v, func(*graph.Value) bool { return false }, visit)
}

// ancestorsUpTo is [ancestors] that looks at nothing behind the values for which stop holds.
func ancestorsUpTo(v *graph.Value, stop func(*graph.Value) bool, visit func(*graph.Value)) {
	seen := map[*graph.Value]bool{}
	var walk func(*graph.Value)
	walk = func(v *graph.Value) {
		if v == nil || seen[v] {
			return
		}
		seen[v] = true
		visit(v)
		n := producer(v)
		if n == nil || n.Is("Shape", "Size") || stop(v) {
			return
		}
		if n.Is("CastLike") {
			walk(n.Input(0))
			return
		}
		for _, in := range n.Inputs() {
			walk(in)
		}
		for _, c := range n.Captures() {
			walk(c)
		}
	}
	walk(v)
}
