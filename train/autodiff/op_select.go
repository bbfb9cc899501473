package autodiff

import "github.com/peftgraph/peftgraph/graph"

func init() {
	// Y = A where C, else B:  dA = dY where C, else 0;  dB = 0 where C, else dY
	register("", "Where", 9, func(c *Context) []*graph.Value {
		return c.Grads(func(i int) *graph.Value {
			if i == 1 {
				return c.Broadcast(c.Where(c.In(0), c.DY(), c.Num(0)))
			}
			return c.Broadcast(c.Where(c.In(0), c.Num(0), c.DY()))
		})
	})
	// Y = min(max(X, lo), hi):  dX = dY where Y = X, else 0. The bounds themselves pass the gradient.
	register("", "Clip", 1, func(c *Context) []*graph.Value {
		return c.First(c.Where(c.Op("Equal", c.In(0), c.Out(0)), c.DY(), c.Num(0)))
	})
	// Y = X on and below (above) the k-th diagonal, else 0:  dX = dY there, else 0
	register("", "Trilu", 14, func(c *Context) []*graph.Value {
		return c.First(c.With(graph.IntAttr("upper", c.Node.Int("upper", 1))).Op("Trilu", c.DY(), c.In(1)))
	})
}
