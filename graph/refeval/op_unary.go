package refeval

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// A realFunc is an elementwise function of real numbers.
type realFunc func(x float64) float64

func init() {
	for name, f := range map[string]realFunc{
		"Sqrt": math.Sqrt, "Exp": math.Exp, "Log": math.Log, "Erf": math.Erf, "Tanh": math.Tanh, "Sigmoid": sigmoid,
		"Reciprocal": func(x float64) float64 { return 1 / x },
		"Sin":        math.Sin, "Cos": math.Cos, "Tan": math.Tan, "Asin": math.Asin, "Acos": math.Acos, "Atan": math.Atan,
		"Sinh": math.Sinh, "Cosh": math.Cosh, "Asinh": math.Asinh, "Acosh": math.Acosh, "Atanh": math.Atanh,
		"Floor": math.Floor, "Ceil": math.Ceil, "Round": math.RoundToEven,
		"Softplus": softplus,
		"Softsign": func(x float64) float64 { return x / (1 + math.Abs(x)) },
		"Mish":     func(x float64) float64 { return x * math.Tanh(softplus(x)) },
	} {
		register("", name, 6, arity{1, 1}, unary(func(*call) realFunc { return f }))
	}
	register("", "Neg", 6, arity{1, 1}, unaryNumber(neg[float64], neg[int64]))
	register("", "Abs", 6, arity{1, 1}, unaryNumber(math.Abs, abs[int64]))
	register("", "Sign", 9, arity{1, 1}, unaryNumber(sign[float64], sign[int64]))
	register("", "Relu", 6, arity{1, 1}, unaryNumber(relu[float64], relu[int64]))
	register("", "Not", 1, arity{1, 1}, unaryNumber(nil, func(x int64) int64 { return 1 - x }))
	register("", "IsNaN", 9, arity{1, 1}, one(isNaN))
	register("", "IsInf", 10, arity{1, 1}, one(isInf))
	register("", "Identity", 1, arity{1, 1}, func(c *call) ([]*array, error) { return c.in, nil })
}

// unary applies an elementwise function of floating values; attributes are read once per call.
func unary(f func(c *call) realFunc) kernel {
	return one(func(c *call) (*array, error) {
		x, err := c.floatArg(0)
		if err != nil {
			return nil, err
		}
		return x.mapped(f(c)), nil
	})
}

func (a *array) mapped(f realFunc) *array {
	out := newArray(a.dtype, a.dims)
	for k, v := range a.f {
		out.f[k] = f(v)
	}
	return out
}

// unaryNumber applies ff to floating and fi to integer or bool elements; a nil one refuses its type.
func unaryNumber(ff func(float64) float64, fi func(int64) int64) kernel {
	return one(func(c *call) (*array, error) {
		x := c.in[0]
		if err := c.accepts(x, ff != nil, fi != nil); err != nil {
			return nil, err
		}
		if x.isFloat() {
			return x.mapped(ff), nil
		}
		out := newArray(x.dtype, x.dims)
		for k, v := range x.i {
			out.i[k] = fi(v)
		}
		return out, nil
	})
}

func isNaN(c *call) (*array, error) {
	return c.test(func(x float64) bool { return x != x })
}

func isInf(c *call) (*array, error) {
	pos, neg := c.node.Int("detect_positive", 1) != 0, c.node.Int("detect_negative", 1) != 0
	return c.test(func(x float64) bool { return pos && math.IsInf(x, 1) || neg && math.IsInf(x, -1) })
}

func (c *call) test(f func(float64) bool) (*array, error) {
	x, err := c.floatArg(0)
	if err != nil {
		return nil, err
	}
	out := newArray(graph.Bool, x.dims)
	for k, v := range x.f {
		out.i[k] = truth(f(v))
	}
	return out, nil
}

type number interface{ float64 | int64 }

func neg[T number](x T) T { return -x }

func abs[T number](x T) T { return max(x, -x) }

func sign[T number](x T) T {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // zero and NaN
}

func relu[T number](x T) T { return max(x, 0) }

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}

// softplus is log(1+exp(x)) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
