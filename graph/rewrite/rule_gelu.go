package rewrite

import (
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// fuse-gelu makes Gelu of x · 0.5 · (1 + erf(x/√2)) in whatever order an exporter multiplies.
func init() { register(rule{"fuse-gelu", []string{"Mul", "Div"}, fuseGelu}) }

// fuse-gelu-tanh makes Gelu(approximate=tanh) of x · 0.5 · (1 + tanh(√(2/π) · (x + 0.044715·x³))), the cube as Pow or as a
// product, and x factored out or not.
func init() { register(rule{"fuse-gelu-tanh", []string{"Mul", "Div"}, fuseGeluTanh}) }

// A monomial is coef times the product of factors.
type monomial struct {
	coef    float64
	factors []*graph.Value
}

// monomial takes a product apart: Mul, Div by a constant and Pow with the exponent 2 or 3, through values that only the
// product reads.
func (m *matcher) monomial(v *graph.Value) monomial {
	if c, ok := m.scalar(v); ok {
		return monomial{coef: c}
	}
	n := v.Producer()
	if !n.Is("Mul", "Div", "Pow") || len(v.Uses()) > 1 {
		return monomial{1, []*graph.Value{v}}
	}
	return m.factor(n)
}

// factor is [matcher.monomial] for the output of n, however many read it.
func (m *matcher) factor(n *graph.Node) monomial {
	a, b := n.Input(0), n.Input(1)
	switch c, isConst := m.scalar(b); {
	case n.Is("Mul"):
		m.take(n)
		x, y := m.monomial(a), m.monomial(b)
		return monomial{x.coef * y.coef, append(x.factors, y.factors...)}
	case n.Is("Div") && isConst && c != 0:
		m.take(n)
		x := m.monomial(a)
		return monomial{x.coef / c, x.factors}
	case n.Is("Pow") && isConst && (c == 2 || c == 3):
		m.take(n)
		out := monomial{coef: 1}
		for range int(c) {
			out.factors = append(out.factors, a)
		}
		return out
	}
	return monomial{1, []*graph.Value{n.Output(0)}}
}

// power reports whether the monomial is about coef·x^k.
func (q monomial) power(coef float64, x *graph.Value, k int) bool {
	if len(q.factors) != k || !nearly(q.coef, coef, x.DType) {
		return false
	}
	for _, f := range q.factors {
		if f != x {
			return false
		}
	}
	return true
}

// gate matches x · half · (c + k·op(u)) with half·c = half·k = ½ and returns x and u.
func (m *matcher) gate(root *graph.Node, op string) (x, u *graph.Value, ok bool) {
	q := m.factor(root)
	if len(q.factors) != 2 {
		return nil, nil, m.fail(root, "a product of %d values and constants, where x and 1+%s(…) are needed", len(q.factors), op)
	}
	for i, v := range q.factors {
		sum := v.Producer()
		if !sum.Is("Add") {
			continue
		}
		kept := slices.Clone(m.cluster)
		m.take(sum)
		if u := m.shifted(sum, op, q.coef); u != nil {
			return q.factors[1-i], u, true
		}
		m.cluster = kept // x may be a sum as well
	}
	if m.failure == nil {
		m.fail(root, "no factor is 1+%s(…)", op)
	}
	return nil, nil, false
}

// shifted matches c + k·op(u) and returns u.
func (m *matcher) shifted(sum *graph.Node, op string, half float64) (u *graph.Value) {
	m.either(sum, func(a, b *graph.Value) bool {
		c, ok := m.scalar(b)
		if !ok {
			return m.fail(sum, "no constant is added to %s(…)", op)
		}
		q := m.monomial(a)
		if len(q.factors) != 1 || !nearly(c*half, 0.5, b.DType) || !nearly(q.coef, c, b.DType) {
			return m.fail(sum, "with all constant factors this is not ½·(1+%s(…))", op)
		}
		n := m.producer(sum, q.factors[0], op)
		if n == nil {
			return false
		}
		u = n.Input(0)
		return true
	})
	return u
}

func fuseGelu(p *pass, root *graph.Node) error {
	m := p.match()
	x, u, ok := m.gate(root, "Erf")
	if !ok {
		return m.failure
	}
	if q := m.monomial(u); !q.power(1/math.Sqrt2, x, 1) {
		return m.miss(u.Users()[0], "its argument is not %q/√2", x.Name())
	}
	return m.emitGelu(root, x)
}

func fuseGeluTanh(p *pass, root *graph.Node) error {
	m := p.match()
	x, u, ok := m.gate(root, "Tanh")
	if !ok {
		return m.failure
	}
	if !m.cubic(u, x) {
		return m.miss(u.Users()[0], "its argument is not √(2/π)·(x + 0.044715·x³) of x = %q", x.Name())
	}
	return m.emitGelu(root, x, graph.StringAttr("approximate", "tanh"))
}

// cubic matches √(2/π)·(x + 0.044715·x³) or √(2/π)·x·(1 + 0.044715·x²).
func (m *matcher) cubic(u, x *graph.Value) bool {
	const cube = 0.044715
	q := m.monomial(u)
	if !nearly(q.coef, math.Sqrt(2/math.Pi), x.DType) {
		return false
	}
	for i, v := range q.factors {
		sum := v.Producer()
		if !sum.Is("Add") {
			continue
		}
		kept := slices.Clone(m.cluster)
		m.take(sum)
		whole := len(q.factors) == 1 && m.either(sum, func(a, b *graph.Value) bool {
			return a == x && m.monomial(b).power(cube, x, 3)
		})
		factored := len(q.factors) == 2 && q.factors[1-i] == x && m.either(sum, func(a, b *graph.Value) bool {
			return m.near(a, 1) && m.monomial(b).power(cube, x, 2)
		})
		if whole || factored {
			return true
		}
		m.cluster = kept
	}
	return false
}

func (m *matcher) emitGelu(root *graph.Node, x *graph.Value, attrs ...graph.Attr) error {
	if !m.closed(root.Output(0)) {
		return m.failure
	}
	if m.g.Opset() < 20 {
		return m.miss(root, "opset %d has no Gelu", m.g.Opset())
	}
	return m.replace(root.Output(0), m.cluster, func(b *graph.Builder) *graph.Value {
		return b.With(attrs...).Op("Gelu", x)
	})
}
