package autodiff

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "Slice", 10, slice)
	register("", "Pad", 11, pad)
}

// slice: Y = X[starts:ends:steps]:  dX = dY put back in place, zeros elsewhere. A slice that keeps all between two ends is
// undone by Pad, others element by element.
func slice(c *Context) []*graph.Value {
	x := c.In(0)
	if begins, ok := sliceBegins(c, c.Rank(x)); ok {
		ends := c.Sub(c.Sub(c.ShapeOf(x), c.ShapeOf(c.DY())), c.Ints(begins...))
		pads := c.With(graph.IntAttr("axis", 0)).Op("Concat", c.Ints(begins...), ends)
		return c.First(c.Op("Pad", c.DY(), pads))
	}
	// The same slice of X's element numbers says where each element of dY belongs.
	size := c.With(graph.IntAttr("keepdims", 1)).Op("ReduceProd", c.ShapeOf(x))
	numbers := c.ReshapeLike(c.count(size), x)
	taken := c.Op("Slice", append([]*graph.Value{numbers}, c.Node.Inputs()[1:]...)...)
	zeros := fill(c.Builder, x.DType, size, 0)
	flat := c.Op("ScatterElements", zeros, c.Op("Reshape", taken, c.Ints(-1)), c.Op("Reshape", c.DY(), c.Ints(-1)))
	return c.First(c.ReshapeLike(flat, x))
}

// sliceBegins returns where a slice of step 1 begins along every axis of X; false when that is not constant.
func sliceBegins(c *Context, rank int) ([]int64, bool) {
	for i := 1; i < len(c.Node.Inputs()); i++ {
		if i != 2 && c.In(i) != nil && c.In(i).Const() == nil {
			return nil, false
		}
	}
	if c.In(4) != nil && slices.ContainsFunc(c.ConstInts(c.In(4)), func(s int64) bool { return s != 1 }) {
		return nil, false
	}
	starts := c.ConstInts(c.In(1))
	axes := span(0, len(starts))
	if c.In(3) != nil {
		axes, _ = c.Axes(3, rank)
	}
	begins := make([]int64, rank)
	for k, a := range axes {
		d := c.In(0).Shape[a]
		switch {
		case starts[k] >= 0 && d.Known():
			begins[a] = min(starts[k], d.N)
		case starts[k] >= 0:
			begins[a] = starts[k]
		case d.Known():
			begins[a] = max(0, starts[k]+d.N)
		default:
			return nil, false
		}
	}
	return begins, true
}

// pad: Y = X with a border (or, where a width is negative, without one):  dX = dY padded by the negative widths. The
// constant that fills the border gets no gradient.
func pad(c *Context) []*graph.Value {
	if mode := c.Node.Str("mode", "constant"); mode != "constant" {
		return c.Failf("Pad of mode %q is not differentiated, only constant", mode)
	}
	return c.First(c.Op("Pad", c.DY(), c.Neg(c.In(1)), nil, c.In(3)))
}
