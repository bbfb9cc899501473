package autodiff

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// The slopes are recomputed from X: nothing inside the forward's GELU is read, so onnxruntime may fuse it, and one tensor
// of the intermediate size less is kept for each layer.
func init() {
	register("", "Gelu", 20, func(c *Context) []*graph.Value {
		if c.Node.Str("approximate", "none") == "tanh" {
			return c.First(c.Mul(c.DY(), geluTanhSlope(c, c.In(0))))
		}
		return c.First(c.Mul(c.DY(), geluSlope(c, c.In(0))))
	})
	register("com.microsoft", "Gelu", 1, func(c *Context) []*graph.Value {
		return c.First(c.Mul(c.DY(), geluSlope(c, c.In(0))))
	})
	register("com.microsoft", "BiasGelu", 1, biased(geluSlope))
	register("com.microsoft", "FastGelu", 1, biased(geluTanhSlope))
	// Y = X·s,  s = σ(αX):  dX = dY·s·(1 + αX·(1 − s))
	register("com.microsoft", "QuickGelu", 1, func(c *Context) []*graph.Value {
		return c.First(c.Mul(c.DY(), swishSlope(c, c.In(0), c.Attr("alpha", 1.702))))
	})
	// Swish is QuickGelu with α = 1 unless stated.
	register("", "Swish", 24, func(c *Context) []*graph.Value {
		return c.First(c.Mul(c.DY(), swishSlope(c, c.In(0), c.Attr("alpha", 1))))
	})
}

// biased is the rule of Y = f(X + B), B optional:  dX = dY·f'(X + B),  dB = dX.
func biased(slope func(*Context, *graph.Value) *graph.Value) Rule {
	return func(c *Context) []*graph.Value {
		x := c.In(0)
		if c.In(1) != nil {
			x = c.Add(x, c.In(1))
		}
		d := c.Broadcast(c.Mul(c.DY(), slope(c, x)))
		return c.Grads(func(int) *graph.Value { return d })
	}
}

// geluSlope is the derivative of x·Φ(x), Φ the normal distribution (Hendrycks & Gimpel, arXiv:1606.08415). Passes over the
// tensor are what it costs: the factor 1/√π is added to the exponent, and a HardSigmoid, none of whose bounds erf reaches,
// multiplies and adds in one.
//
//	Φ(x) + x·φ(x) = ½·(1 + erf s) + s·exp(−s² − ln √π),  s = x/√2
func geluSlope(c *Context, x *graph.Value) *graph.Value {
	s := c.Scale(x, math.Sqrt2/2)
	bell := c.Op("Exp", c.Sub(c.Num(-math.Log(math.Pi)/2), c.Mul(s, s)))
	phi := c.With(graph.FloatAttr("alpha", .5), graph.FloatAttr("beta", .5)).Op("HardSigmoid", c.Op("Erf", s))
	return c.Add(phi, c.Mul(s, bell))
}

// geluTanhSlope is the derivative of ½x·(1 + t),  t = tanh u,  u = √(2/π)·(x + 0.044715x³).
//
//	½·(1 + t) + ½x·(1 − t²)·u',  u' = √(2/π)·(1 + 3·0.044715x²)
func geluTanhSlope(c *Context, x *graph.Value) *graph.Value {
	k := math.Sqrt(2 / math.Pi)
	const a = 0.044715
	xx := c.Mul(x, x)
	t := c.Op("Tanh", c.Mul(x, c.Add(c.Scale(xx, k*a), c.Num(k))))
	half := c.Add(c.Scale(t, .5), c.Num(.5))
	du := c.Add(c.Scale(xx, 3*k*a), c.Num(k))
	// ½(1 − t²) = 2·half·(1 − half)
	sech := c.Mul(c.Scale(half, 2), c.Sub(c.Num(1), half))
	return c.Add(half, c.Mul(c.Mul(x, du), sech))
}

// swishSlope is the derivative of x·s,  s = σ(αx):  s·(1 + αx·(1 − s)).
func swishSlope(c *Context, x *graph.Value, alpha float64) *graph.Value {
	ax := c.Scale(x, alpha)
	s := c.Op("Sigmoid", ax)
	return c.Mul(s, c.Add(c.Mul(ax, c.Sub(c.Num(1), s)), c.Num(1)))
}
