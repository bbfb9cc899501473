package autodiff

import "github.com/peftgraph/peftgraph/graph"

func init() {
	// Y = tanh X:  dX = dY·(1 − Y²)
	unary("Tanh", func(c *Context, _, y, dY *graph.Value) *graph.Value {
		return c.Mul(dY, c.Sub(c.Num(1), c.Mul(y, y)))
	})
	// Y = σ(X):  dX = dY·Y·(1 − Y)
	unary("Sigmoid", func(c *Context, _, y, dY *graph.Value) *graph.Value {
		return c.Mul(dY, c.Mul(y, c.Sub(c.Num(1), y)))
	})
	// Y = max(X, 0):  dX = dY where Y > 0, else 0
	unary("Relu", func(c *Context, _, y, dY *graph.Value) *graph.Value {
		return c.Where(c.Op("Greater", y, c.Num(0)), dY, c.Num(0))
	})
	// Y = X where X ≥ 0, else αX:  dX = dY where X ≥ 0, else α·dY
	unary("LeakyRelu", func(c *Context, x, _, dY *graph.Value) *graph.Value {
		return c.Where(c.Op("Less", x, c.Num(0)), c.Scale(dY, c.Attr("alpha", 0.01)), dY)
	})
	// Y = X where X ≥ 0, else α(exp X − 1):  dX = dY where X ≥ 0, else dY·(Y + α)
	unary("Elu", func(c *Context, x, y, dY *graph.Value) *graph.Value {
		slope := c.Add(y, c.Num(c.Attr("alpha", 1)))
		return c.Where(c.Op("Less", x, c.Num(0)), c.Mul(dY, slope), dY)
	})
	// Y = ln(1 + exp X):  dX = dY·σ(X)
	unary("Softplus", func(c *Context, x, _, dY *graph.Value) *graph.Value { return c.Mul(dY, c.Op("Sigmoid", x)) })
	// Y = X / (1 + |X|):  dX = dY / (1 + |X|)²
	unary("Softsign", func(c *Context, x, _, dY *graph.Value) *graph.Value {
		d := c.Add(c.Op("Abs", x), c.Num(1))
		return c.Div(dY, c.Mul(d, d))
	})
	// Y = max(0, min(1, αX + β)):  dX = α·dY where 0 < Y < 1, else 0
	unary("HardSigmoid", func(c *Context, _, y, dY *graph.Value) *graph.Value {
		inside := c.Op("And", c.Op("Greater", y, c.Num(0)), c.Op("Less", y, c.Num(1)))
		return c.Where(inside, c.Scale(dY, c.Attr("alpha", 0.2)), c.Num(0))
	})
	// Y = X·h,  h = max(0, min(1, X/6 + ½)):  dX = dY·(h + X/6 where 0 < h < 1)
	unary("HardSwish", func(c *Context, x, _, dY *graph.Value) *graph.Value {
		sixth := c.Scale(x, 1./6)
		h := c.With(graph.FloatAttr("alpha", 1), graph.FloatAttr("beta", .5)).Op("HardSigmoid", sixth)
		inside := c.Op("Less", c.Op("Abs", x), c.Num(3))
		return c.Mul(dY, c.Add(h, c.Where(inside, sixth, c.Num(0))))
	})
}
