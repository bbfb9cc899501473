package refeval

import (
	"fmt"
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "Elu", 6, arity{1, 1}, unary(func(c *call) realFunc { return elu(attr(c, "alpha", 1), 1) }))
	register("", "Selu", 6, arity{1, 1}, unary(func(c *call) realFunc {
		return elu(attr(c, "alpha", 1.67326319217681884765625), attr(c, "gamma", 1.05070102214813232421875))
	}))
	register("", "LeakyRelu", 6, arity{1, 1}, unary(func(c *call) realFunc {
		alpha := attr(c, "alpha", .01)
		return func(x float64) float64 { return max(x, 0) + alpha*min(x, 0) }
	}))
	register("", "ThresholdedRelu", 10, arity{1, 1}, unary(func(c *call) realFunc {
		alpha := attr(c, "alpha", 1)
		return func(x float64) float64 {
			if x > alpha {
				return x
			}
			return 0
		}
	}))
	register("", "HardSigmoid", 6, arity{1, 1}, unary(func(c *call) realFunc {
		return hardSigmoid(attr(c, "alpha", .2), attr(c, "beta", .5))
	}))
	register("", "HardSwish", 14, arity{1, 1}, unary(func(*call) realFunc {
		h := hardSigmoid(1./6, .5)
		return func(x float64) float64 { return x * h(x) }
	}))
	register("", "Clip", 6, arity{1, 1}, one(func(c *call) (*array, error) {
		return clip(c.in[0], attr(c, "min", math.Inf(-1)), attr(c, "max", math.Inf(1))), nil
	}))
	register("", "Clip", 11, arity{1, 3}, one(clipInputs))
	register("", "Swish", 24, arity{1, 1}, unary(func(c *call) realFunc { return swish(attr(c, "alpha", 1)) }))
	register("com.microsoft", "QuickGelu", 1, arity{1, 1}, unary(func(c *call) realFunc { return swish(attr(c, "alpha", 1.702)) }))
	register("com.microsoft", "Gelu", 1, arity{1, 1}, unary(func(*call) realFunc { return gelu }))
	register("", "Gelu", 20, arity{1, 1}, one(geluOp))
	register("com.microsoft", "BiasGelu", 1, arity{2, 2}, biased(gelu))
	register("com.microsoft", "FastGelu", 1, arity{1, 2}, biased(geluTanh))
}

// attr reads a float attribute in full precision: a default that float32 can't hold stays as the specification writes it.
func attr(c *call, name string, def float64) float64 {
	if a := c.node.Attr(name); a != nil {
		return float64(a.F)
	}
	return def
}

func elu(alpha, gamma float64) realFunc {
	return func(x float64) float64 {
		if x > 0 {
			return gamma * x
		}
		return gamma * alpha * math.Expm1(x)
	}
}

func hardSigmoid(alpha, beta float64) realFunc {
	return func(x float64) float64 { return max(0, min(1, alpha*x+beta)) }
}

// swish is x·σ(αx).
func swish(alpha float64) realFunc {
	return func(x float64) float64 { return x * sigmoid(alpha*x) }
}

// gelu is x·Φ(x), Hendrycks & Gimpel 2016.
func gelu(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }

// geluTanh is the tanh approximation of gelu, ibid.: x/2·(1 + tanh u) with u = √(2/π)·(x + 0.044715x³), and 1 + tanh u = 2σ(2u).
func geluTanh(x float64) float64 {
	return x * sigmoid(2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))
}

func geluOp(c *call) (*array, error) {
	x, err := c.floatArg(0)
	if err != nil {
		return nil, err
	}
	switch form := c.node.Str("approximate", "none"); form {
	case "none":
		return x.mapped(gelu), nil
	case "tanh":
		return x.mapped(geluTanh), nil
	default:
		return nil, fmt.Errorf("approximate is %q, must be none or tanh", form)
	}
}

// biased computes f(x + bias); the bias may be absent.
func biased(f realFunc) kernel {
	return one(func(c *call) (*array, error) {
		x, err := c.floatArg(0)
		if err != nil {
			return nil, err
		}
		if bias := c.arg(1); bias != nil {
			if x, err = combine(x, bias, add[float64], nil); err != nil {
				return nil, err
			}
		}
		return x.mapped(f), nil
	})
}

func clipInputs(c *call) (*array, error) {
	low, err := c.scalar(1, math.Inf(-1))
	if err != nil {
		return nil, err
	}
	high, err := c.scalar(2, math.Inf(1))
	if err != nil {
		return nil, err
	}
	return clip(c.in[0], low, high), nil
}

func clip(x *array, low, high float64) *array {
	f := func(v float64) float64 { return math.Min(high, math.Max(low, v)) }
	if x.isFloat() {
		return x.mapped(f)
	}
	return cast(floats(graph.Double, x.dims, x.asFloats()).mapped(f), x.dtype)
}
