package autodiff

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// unary registers dX of an elementwise operator Y = f(X).
func unary(op string, dX func(c *Context, x, y, dY *graph.Value) *graph.Value) {
	register("", op, 1, func(c *Context) []*graph.Value {
		return c.First(dX(c, c.In(0), c.Out(0), c.DY()))
	})
}

func init() {
	// Y = −X:  dX = −dY
	unary("Neg", func(c *Context, _, _, dY *graph.Value) *graph.Value { return c.Neg(dY) })
	// Y = |X|:  dX = dY·sign X, 0 at 0
	unary("Abs", func(c *Context, x, _, dY *graph.Value) *graph.Value { return c.Mul(dY, c.Op("Sign", x)) })
	// Y = 1 / X:  dX = −dY·Y²
	unary("Reciprocal", func(c *Context, _, y, dY *graph.Value) *graph.Value { return c.Neg(c.Mul(dY, c.Mul(y, y))) })
	// Y = √X:  dX = dY / 2Y
	unary("Sqrt", func(c *Context, _, y, dY *graph.Value) *graph.Value { return c.Div(c.Scale(dY, .5), y) })
	// Y = exp X:  dX = dY·Y
	unary("Exp", func(c *Context, _, y, dY *graph.Value) *graph.Value { return c.Mul(dY, y) })
	// Y = ln X:  dX = dY / X
	unary("Log", func(c *Context, x, _, dY *graph.Value) *graph.Value { return c.Div(dY, x) })
	// Y = erf X:  dX = dY·2/√π·exp(−X²)
	unary("Erf", func(c *Context, x, _, dY *graph.Value) *graph.Value {
		return c.Mul(dY, c.Op("Exp", c.Sub(c.Num(math.Log(2/math.Sqrt(math.Pi))), c.Mul(x, x))))
	})
	// Y = sin X:  dX = dY·cos X
	unary("Sin", func(c *Context, x, _, dY *graph.Value) *graph.Value { return c.Mul(dY, c.Op("Cos", x)) })
	// Y = cos X:  dX = −dY·sin X
	unary("Cos", func(c *Context, x, _, dY *graph.Value) *graph.Value { return c.Neg(c.Mul(dY, c.Op("Sin", x))) })
	// Y = X:  dX = dY
	unary("Identity", func(_ *Context, _, _, dY *graph.Value) *graph.Value { return dY })
	// Y = X, converted:  dX = dY, converted back. What CastLike takes its type from has no gradient.
	register("", "Cast", 1, castBack)
	register("", "CastLike", 15, castBack)
}

func castBack(c *Context) []*graph.Value {
	return c.Grads(func(i int) *graph.Value {
		if i == 1 {
			return c.ZerosLike(c.In(1))
		}
		return c.CastTo(c.In(0).DType, c.DY())
	})
}
