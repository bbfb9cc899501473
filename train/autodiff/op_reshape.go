package autodiff

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	// Y has X's elements in X's order:  dX = dY, reshaped to X's shape
	for _, op := range []string{"Reshape", "Flatten", "Squeeze", "Unsqueeze"} {
		register("", op, 1, func(c *Context) []*graph.Value { return c.First(c.ReshapeLike(c.DY(), c.In(0))) })
	}
	// Y = X, broadcast:  dX = dY, un-broadcast
	register("", "Expand", 8, func(c *Context) []*graph.Value { return c.First(c.DY()) })
	register("", "Transpose", 1, transpose)
	register("", "Tile", 6, tile)
}

// transpose: Y = X with axes permuted:  dX = dY with axes permuted back.
func transpose(c *Context) []*graph.Value {
	perm := c.Node.Ints("perm")
	if perm == nil {
		perm = span(0, c.Rank(c.In(0)))
		slices.Reverse(perm)
	}
	return c.First(c.Permute(c.DY(), inverse(perm)))
}

// tile: Y = X repeated rᵢ times along axis i:  dX = Σ over the repetitions of dY, reshaped to [r₀, d₀, r₁, d₁, …].
func tile(c *Context) []*graph.Value {
	column := func(v *graph.Value) *graph.Value { return c.WithAxes("Unsqueeze", v, []int64{1}) }
	pairs := c.With(graph.IntAttr("axis", 1)).Op("Concat", column(c.In(1)), column(c.ShapeOf(c.In(0))))
	split := c.Op("Reshape", c.DY(), c.Op("Reshape", pairs, c.Ints(-1)))
	axes := span(0, c.Rank(c.In(0)))
	for i := range axes {
		axes[i] *= 2
	}
	return c.First(c.WithAxes("ReduceSum", split, axes, graph.IntAttr("keepdims", 0)))
}
