package autodiff

import "github.com/peftgraph/peftgraph/graph"

func init() {
	register("", "ScatterElements", 11, scatterElements)
	register("", "ScatterND", 11, scatterND)
}

// scatterElements: Y = X, but U at the indices (no index twice):  dX = dY, but 0 at the indices;  dU = dY at the indices.
// With reduction=add Y = X + U there:  dX = dY.
func scatterElements(c *Context) []*graph.Value {
	axis := graph.IntAttr("axis", c.Axis(0, c.In(0)))
	add := c.Node.Str("reduction", "none") == "add"
	if !add && c.Node.Str("reduction", "none") != "none" {
		return c.Failf("reduction %q is not differentiated, only none and add", c.Node.Str("reduction", ""))
	}
	return c.Grads(func(i int) *graph.Value {
		switch {
		case i == 2:
			return c.With(axis).Op("GatherElements", c.DY(), c.In(1))
		case add:
			return c.DY()
		}
		return c.With(axis).Op("ScatterElements", c.DY(), c.In(1), c.ZerosLike(c.In(2)))
	})
}

// scatterND is [scatterElements] for slices.
func scatterND(c *Context) []*graph.Value {
	add := c.Node.Str("reduction", "none") == "add"
	if !add && c.Node.Str("reduction", "none") != "none" {
		return c.Failf("reduction %q is not differentiated, only none and add", c.Node.Str("reduction", ""))
	}
	return c.Grads(func(i int) *graph.Value {
		switch {
		case i == 2:
			return c.Op("GatherND", c.DY(), c.In(1))
		case add:
			return c.DY()
		}
		return c.Op("ScatterND", c.DY(), c.In(1), c.ZerosLike(c.In(2)))
	})
}
