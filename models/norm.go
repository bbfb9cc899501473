package models

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// findNorms finds every LayerNorm of the graph over the last axis, fused or decomposed.
func findNorms(g *graph.Graph) []*Norm {
	var out []*Norm
	for _, n := range g.Nodes() {
		var norm *Norm
		switch {
		case n.Output(0) == nil:
		case n.Is("LayerNormalization"):
			norm = fusedNorm(n)
		case n.Domain == contrib && n.Op == "SkipLayerNormalization":
			norm = skipNorm(n)
		case n.Is("Sqrt"), n.Is("Pow") && isScalar(n.Input(1), 0.5):
			norm = decomposedNorm(n)
		}
		if norm != nil {
			out = append(out, norm)
		}
	}
	return out
}

func isScalar(v *graph.Value, want float64) bool {
	f, ok := constScalar(v)
	return ok && close64(f, want)
}

func fusedNorm(n *graph.Node) *Norm {
	scale := tensorOf(strip(n.Input(1)))
	if axis := n.Int("axis", -1); scale == nil || len(scale.Dims) != 1 || axis < -1 || axis == 0 {
		return nil
	}
	if rank := rankOf(n.Input(0)); n.Int("axis", -1) >= 0 && rank >= 0 && int(n.Int("axis", -1)) != rank-1 {
		return nil
	}
	return &Norm{
		Input: n.Input(0), Output: n.Output(0), Scale: strip(n.Input(1)), Bias: strip(n.Input(2)),
		Eps: float64(n.Float("epsilon", 1e-5)), Nodes: []*graph.Node{n},
	}
}

// skipNorm reads onnxruntime's LayerNorm(x + skip + bias): inputs x, skip, scale, LayerNorm bias, bias.
func skipNorm(n *graph.Node) *Norm {
	if t := tensorOf(strip(n.Input(2))); t == nil || len(t.Dims) != 1 {
		return nil
	}
	return &Norm{
		Input: n.Output(3), Output: n.Output(0), Scale: strip(n.Input(2)), Bias: strip(n.Input(3)), Skip: n,
		Eps: float64(n.Float("epsilon", 1e-5)), Nodes: []*graph.Node{n},
	}
}

// decomposedNorm matches (x-mean)/√(var+ε)·scale+bias around its square root. The root alone tells x and ε; what the nodes
// after it compute is compared by value, so that any arrangement of them will do.
func decomposedNorm(root *graph.Node) *Norm {
	variance, eps, ok := splitAdd(producer(strip(root.Input(0))))
	if !ok {
		return nil
	}
	x := centred(meanOf(variance))
	if x == nil {
		return nil
	}
	norm := &Norm{Input: x, Eps: eps}
	f := normFormula{x: x, root: root.Output(0)}
	if !f.find(norm) {
		return nil
	}
	norm.Nodes = nodesBetween(x, norm.Output)
	return norm
}

// splitAdd returns the two operands of v + constant.
func splitAdd(n *graph.Node) (*graph.Value, float64, bool) {
	if !n.Is("Add") {
		return nil, 0, false
	}
	for i := range 2 {
		if c, ok := constScalar(n.Input(i)); ok {
			return n.Input(1 - i), c, true
		}
	}
	return nil, 0, false
}

// meanOf returns x when v is the mean of x over the last axis, else nil.
func meanOf(v *graph.Value) *graph.Value {
	v = strip(v)
	n := producer(v)
	if !n.Is("ReduceMean") || n.Int("keepdims", 1) != 1 {
		return nil
	}
	axes := n.Ints("axes")
	if axes == nil {
		axes, _ = constInts(n.Input(1))
	}
	if len(axes) != 1 {
		return nil
	}
	rank := rankOf(n.Input(0))
	if axes[0] == -1 || int(axes[0]) == rank-1 || rank < 0 && axes[0] == 2 {
		return strip(n.Input(0))
	}
	return nil
}

// centred returns x when v is (x - mean(x))², else nil.
func centred(v *graph.Value) *graph.Value {
	if v == nil {
		return nil
	}
	n := producer(v)
	if !(n.Is("Pow") && isScalar(n.Input(1), 2)) && !(n.Is("Mul") && strip(n.Input(0)) == strip(n.Input(1))) {
		return nil
	}
	sub := producer(strip(n.Input(0)))
	if !sub.Is("Sub") {
		return nil
	}
	x := strip(sub.Input(0))
	if meanOf(sub.Input(1)) != x {
		return nil
	}
	return x
}

// normFormula is the search for the value that a decomposed LayerNorm ends in.
type normFormula struct {
	x, root *graph.Value // the input, and √(var+ε)
}

// find follows the users of the root to the first value that is the whole formula and fills in the output and the
// parameters. A LayerNorm without bias ends one step earlier, so the longer form is preferred.
func (f normFormula) find(norm *Norm) bool {
	const farthest = 16
	queue, seen := []*graph.Value{f.root}, map[*graph.Value]bool{f.root: true}
	for i := 0; i < len(queue) && i < farthest; i++ {
		for _, n := range queue[i].Users() {
			y := n.Output(0)
			if y == nil || seen[y] || pointwiseOp(n) == nil {
				continue
			}
			seen[y] = true
			queue = append(queue, y)
			if scale, bias, ok := f.parameters(y); ok && (norm.Output == nil || bias != nil) {
				norm.Output, norm.Scale, norm.Bias = y, scale, bias
				if bias != nil {
					return true
				}
			}
		}
	}
	return norm.Output != nil
}

// parameters returns the scale and the bias with which y is the LayerNorm of x.
func (f normFormula) parameters(y *graph.Value) (scale, bias *graph.Value, ok bool) {
	vars, params := leaves(y, func(v *graph.Value) bool { return v == f.x || v == f.root || meanOf(v) == f.x })
	if len(params) == 0 || len(params) > 2 || !slices.Contains(vars, f.root) {
		return nil, nil, false
	}
	const x, mean, root = 1.7, 0.3, 2.9
	p := pointwise{leaf: map[*graph.Value]float64{}}
	for _, v := range vars {
		switch {
		case v == f.x:
			p.leaf[v] = x
		case v == f.root:
			p.leaf[v] = root
		case meanOf(v) == f.x:
			p.leaf[v] = mean
		default:
			return nil, nil, false
		}
	}
	const a, b = 1.3, -0.6
	normal := (x - mean) / root
	p.leaf[params[0]] = a
	if len(params) == 1 {
		got, ok := p.eval(y)
		return params[0], nil, ok && close64(got, normal*a)
	}
	p.leaf[params[1]] = b
	got, ok := p.eval(y)
	switch {
	case ok && close64(got, normal*a+b):
		return params[0], params[1], true
	case ok && close64(got, normal*b+a):
		return params[1], params[0], true
	}
	return nil, nil, false
}

// nodesBetween returns the nodes on the paths from x to y in an order in which they can run.
func nodesBetween(x, y *graph.Value) []*graph.Node {
	reaches := map[*graph.Node]bool{}
	var out []*graph.Node
	var visit func(*graph.Value) bool
	visit = func(v *graph.Value) bool {
		if v == x {
			return true
		}
		if producer(v) == nil {
			return false
		}
		n := producer(v)
		if r, seen := reaches[n]; seen {
			return r
		}
		r := false
		for _, in := range n.Inputs() {
			r = visit(in) || r
		}
		if reaches[n] = r; r {
			out = append(out, n)
		}
		return r
	}
	visit(y)
	return out
}
