package autodiff

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "Concat", 4, concat)
	register("", "Split", 1, split)
}

// concat: Y = X₀, X₁, … side by side:  dXᵢ = the slice of dY where Xᵢ lies.
func concat(c *Context) []*graph.Value {
	axis := c.Axis(1, c.Out(0))
	last := len(c.Node.Inputs()) - 1
	starts := make([]*graph.Value, last+2)
	starts[0], starts[last+1] = c.Ints(0), c.Ints(math.MaxInt64)
	offset := int64(0) // as long as the sizes are constant
	for i := 0; i < last; i++ {
		d := c.In(i).Shape[axis]
		if offset >= 0 && d.Known() {
			offset += d.N
			starts[i+1] = c.Ints(offset)
			continue
		}
		offset = -1
		starts[i+1] = c.Add(starts[i], c.SizeOf(c.In(i), axis))
	}
	return c.Grads(func(i int) *graph.Value {
		return c.Op("Slice", c.DY(), starts[i], starts[i+1], c.Ints(axis))
	})
}

// split: Y₀, Y₁, … = X cut along an axis:  dX = dY₀, dY₁, … side by side, zeros where no gradient arrives.
func split(c *Context) []*graph.Value {
	parts := make([]*graph.Value, len(c.Node.Outputs()))
	for i := range parts {
		if c.Out(i) == nil {
			return c.Failf("output %d is absent, and its size unknown", i)
		}
		if parts[i] = c.Grad(i); parts[i] == nil {
			parts[i] = c.ZerosLike(c.Out(i))
		}
	}
	return c.First(c.With(graph.IntAttr("axis", c.Axis(0, c.In(0)))).Op("Concat", parts...))
}
