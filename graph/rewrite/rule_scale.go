package rewrite

import "github.com/peftgraph/peftgraph/graph"

// merge-scales makes (a·b₁)(c·b₂) = ((a·c)·b₁)b₂ of a MatMul whose factors are both scaled by numbers, as PyTorch's scaled
// dot-product attention is exported: one pass over the keys less, forward and backward.
func init() { register(rule{"merge-scales", []string{"MatMul"}, mergeScales}) }

func mergeScales(p *pass, root *graph.Node) error {
	m := p.match()
	m.take(root)
	a, x, okA := m.scaled(root, root.Input(0))
	b, y, okB := m.scaled(root, root.Input(1))
	if !okA || !okB || !m.closed(root.Output(0)) {
		return m.failure
	}
	return p.replace(root.Output(0), m.cluster, func(bld *graph.Builder) *graph.Value {
		scaled := bld.Op("Mul", x, bld.Float(x.DType, a*b))
		return bld.Op("MatMul", bld.Typed(scaled, x.DType, x.Shape.Clone()), y)
	})
}

// scaled matches the product of a tensor and a constant number.
func (m *matcher) scaled(at *graph.Node, v *graph.Value) (scale float64, x *graph.Value, ok bool) {
	n := m.producer(at, v, "Mul")
	if n == nil {
		return 0, nil, false
	}
	ok = m.either(n, func(tensor, number *graph.Value) bool {
		if scale, ok = m.scalar(number); !ok || len(number.Shape) > len(tensor.Shape) {
			return m.fail(n, "no input is a number")
		}
		x = tensor
		return x.DType == graph.Float || x.DType == graph.Double || m.fail(n, "%s is of another type than float or double", x)
	})
	return scale, x, ok
}
