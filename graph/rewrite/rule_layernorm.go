package rewrite

import (
	"github.com/peftgraph/peftgraph/graph"
)

// fuse-layer-norm makes LayerNormalization over the last axis of what exporters write below opset 17:
//
//	d = x − mean(x);  y = d / sqrt(mean(d²) + eps) · scale + bias
//
// with d² as Pow or Mul, the quotient as Div or as a product with Reciprocal, 1/√ or a power, d computed once or twice, and
// Casts around the statistics of half-precision models.
func init() { register(rule{"fuse-layer-norm", []string{"Add"}, fuseLayerNorm}) }

// fuse-layer-norm-tf does so for TensorFlow's batchnorm form:
//
//	k = scale / sqrt(mean((x−mean(x))²) + eps);  y = x·k + (bias − mean(x)·k)
func init() { register(rule{"fuse-layer-norm-tf", []string{"Add"}, fuseLayerNormTF}) }

// norm is a LayerNorm that was found.
type norm struct {
	x, mean, scale, bias *graph.Value
	eps                  float64
}

func fuseLayerNorm(p *pass, root *graph.Node) error {
	m := p.match()
	var f norm
	m.take(root)
	ok := m.either(root, func(scaled, bias *graph.Value) bool {
		mul := m.producer(root, scaled, "Mul")
		return mul != nil && m.either(mul, func(normed, scale *graph.Value) bool {
			f = norm{scale: scale, bias: bias}
			return m.normed(mul, normed, &f)
		})
	})
	return m.emitNorm(ok, root, f)
}

func fuseLayerNormTF(p *pass, root *graph.Node) error {
	m := p.match()
	var f norm
	m.take(root)
	ok := m.either(root, func(scaled, shift *graph.Value) bool {
		sub := m.producer(root, shift, "Sub")
		mul := m.producer(root, scaled, "Mul")
		if sub == nil || mul == nil {
			return false
		}
		back := m.producer(sub, sub.Input(1), "Mul")
		return back != nil && m.either(mul, func(x, k *graph.Value) bool {
			factor := m.producer(mul, k, "Mul")
			return factor != nil && m.either(factor, func(r, scale *graph.Value) bool {
				f = norm{scale: scale, bias: sub.Input(0)}
				d, ok := m.inverseDeviation(factor, r, &f)
				if !ok || !m.deviation(factor, d, &f) {
					return false
				}
				if f.x != x {
					return m.fail(mul, "%q is scaled, %q was centred", x.Name(), f.x.Name())
				}
				return m.either(back, func(mean, k2 *graph.Value) bool {
					return mean == f.mean && k2 == k || m.fail(back, "it isn't mean times scale/deviation")
				})
			})
		})
	})
	return m.emitNorm(ok, root, f)
}

// emitNorm checks what both forms share and replaces the cluster.
func (m *matcher) emitNorm(ok bool, root *graph.Node, f norm) error {
	if !ok || !m.vectors(root, f) || !m.closed(root.Output(0)) {
		return m.failure
	}
	if m.g.Opset() < 17 {
		return m.miss(root, "opset %d has no LayerNormalization", m.g.Opset())
	}
	return m.replace(root.Output(0), m.cluster, func(b *graph.Builder) *graph.Value {
		b = b.With(graph.IntAttr("axis", -1), graph.FloatAttr("epsilon", float32(f.eps)))
		return b.Op("LayerNormalization", f.x, f.scale, f.bias)
	})
}

// vectors checks that scale and bias are vectors of x's last size and type.
func (m *matcher) vectors(root *graph.Node, f norm) bool {
	for _, v := range []*graph.Value{f.scale, f.bias} {
		if v.Shape.Rank() != 1 || f.x.Shape.Rank() < 1 || !v.Shape[0].Same(f.x.Shape[f.x.Shape.Rank()-1]) {
			return m.refuse(root, "%s is no vector over the last axis of %s", v, f.x)
		}
		if v.DType != f.x.DType || f.x.DType != root.Output(0).DType {
			return m.refuse(root, "%s, %s and %s differ in type", v, f.x, root.Output(0))
		}
	}
	return true
}

// normed matches d / sqrt(…) or d · 1/sqrt(…).
func (m *matcher) normed(at *graph.Node, v *graph.Value, f *norm) bool {
	n := m.producer(at, m.uncast(v), "Div", "Mul")
	if n == nil {
		return false
	}
	check := func(d, inverse *graph.Value, squared func(*graph.Node, *graph.Value, *norm) (*graph.Value, bool)) bool {
		e, ok := squared(n, inverse, f)
		if !ok || !m.deviation(n, m.uncast(d), f) {
			return false
		}
		x, mean := f.x, f.mean
		if !m.deviation(n, e, f) {
			return false
		}
		if x != f.x || mean != f.mean {
			return m.fail(n, "the variance is not that of %q", x.Name())
		}
		f.x = m.before(x, f.scale.DType)
		return true
	}
	if n.Is("Div") {
		return check(n.Input(0), n.Input(1), m.standardDeviation)
	}
	return m.either(n, func(d, r *graph.Value) bool { return check(d, r, m.inverseDeviation) })
}

// inverseDeviation matches 1/sqrt(mean(e²)+eps) and returns e.
func (m *matcher) inverseDeviation(at *graph.Node, v *graph.Value, f *norm) (*graph.Value, bool) {
	n := m.producer(at, m.uncast(v), "Reciprocal", "Div", "Pow")
	switch {
	case n == nil:
		return nil, false
	case n.Is("Reciprocal"):
		return m.standardDeviation(n, n.Input(0), f)
	case n.Is("Pow"):
		if !m.near(n.Input(1), -0.5) {
			return nil, m.fail(n, "the exponent is not -0.5")
		}
		return m.variance(n, n.Input(0), f)
	case !m.near(n.Input(0), 1):
		return nil, m.fail(n, "it doesn't divide 1")
	}
	return m.standardDeviation(n, n.Input(1), f)
}

// standardDeviation matches sqrt(mean(e²)+eps) and returns e.
func (m *matcher) standardDeviation(at *graph.Node, v *graph.Value, f *norm) (*graph.Value, bool) {
	n := m.producer(at, m.uncast(v), "Sqrt", "Pow")
	if n == nil || n.Is("Pow") && !m.near(n.Input(1), 0.5) {
		return nil, n != nil && m.fail(n, "the exponent is not 0.5")
	}
	return m.variance(n, n.Input(0), f)
}

// variance matches mean(e²) + eps and returns e.
func (m *matcher) variance(at *graph.Node, v *graph.Value, f *norm) (e *graph.Value, ok bool) {
	sum := m.producer(at, v, "Add")
	if sum == nil {
		return nil, false
	}
	ok = m.either(sum, func(variance, eps *graph.Value) bool {
		if f.eps, ok = m.scalar(eps); !ok || f.eps < 0 {
			return m.fail(sum, "no input is a constant epsilon")
		}
		mean := m.lastAxisMean(sum, variance)
		if mean == nil {
			return false
		}
		e, ok = m.square(mean, mean.Input(0))
		return ok
	})
	return e, ok
}

// square matches Pow(e, 2) or e·e and returns e.
func (m *matcher) square(at *graph.Node, v *graph.Value) (*graph.Value, bool) {
	n := m.producer(at, v, "Pow", "Mul")
	switch {
	case n == nil:
		return nil, false
	case n.Is("Pow") && !m.near(n.Input(1), 2):
		return nil, m.fail(n, "the exponent is not 2")
	case n.Is("Mul") && n.Input(0) != n.Input(1):
		return nil, m.fail(n, "it multiplies two different values, which is no square")
	}
	return m.uncast(n.Input(0)), true
}

// deviation matches x − mean(x).
func (m *matcher) deviation(at *graph.Node, v *graph.Value, f *norm) bool {
	sub := m.producer(at, v, "Sub")
	if sub == nil {
		return false
	}
	mean := m.lastAxisMean(sub, sub.Input(1))
	if mean == nil {
		return false
	}
	if mean.Input(0) != sub.Input(0) {
		return m.fail(sub, "%q is not the mean of %q", sub.Input(1).Name(), sub.Input(0).Name())
	}
	f.x, f.mean = sub.Input(0), sub.Input(1)
	return true
}

// lastAxisMean matches a ReduceMean over the last axis that keeps it.
func (m *matcher) lastAxisMean(at *graph.Node, v *graph.Value) *graph.Node {
	n := m.producer(at, v, "ReduceMean")
	if n == nil {
		return nil
	}
	axes := n.Ints("axes")
	if t := m.constant(n.Input(1)); t != nil {
		axes, _ = t.Int64s()
	}
	rank := int64(n.Input(0).Shape.Rank())
	if len(axes) != 1 || axes[0] != -1 && axes[0] != rank-1 || n.Int("keepdims", 1) == 0 {
		m.fail(n, "it reduces axes %v of a tensor of rank %d, not the last, or drops it", axes, rank)
		return nil
	}
	return n
}

// uncast steps over a Cast between floating types.
func (m *matcher) uncast(v *graph.Value) *graph.Value {
	if n := v.Producer(); n.Is("Cast") && v.DType.IsFloat() && n.Input(0).DType.IsFloat() {
		m.take(n)
		return n.Input(0)
	}
	return v
}

// before returns what was cast to x where that has the wanted type. The Cast isn't part of the cluster: others may read it.
func (m *matcher) before(x *graph.Value, want graph.DType) *graph.Value {
	if n := x.Producer(); x.DType != want && n.Is("Cast") && n.Input(0).DType == want {
		return n.Input(0)
	}
	return x
}
