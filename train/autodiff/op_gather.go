package autodiff

import "github.com/peftgraph/peftgraph/graph"

func init() {
	register("", "Gather", 1, gather)
	register("", "GatherElements", 11, gatherElements)
}

// Up to this many rows a table's gradient is a product with a one-hot matrix. Measured on one thread for 1,024 indices into
// rows of 768: 0.3, 1.9 and 12.6 ms for tables of 2, 64 and 512 rows, where scattering takes 7.3, 7.4 and 9.1 ms.
const oneHotRows = 256

// gather: Y = X[…, I, …] along an axis:  dX = the sum of the slices of dY at each index, zeros elsewhere.
//
// Equal indices must add up. ScatterND with reduction=add would be the natural form, but onnxruntime's CPU kernel spreads the
// updates over threads without locking and loses some of them; ScatterElements is exact.
func gather(c *Context) []*graph.Value {
	x, index := c.In(0), c.In(1)
	axis := c.Axis(0, x)
	d := x.Shape[axis]
	if t := index.Const(); t != nil && t.Len() == 1 {
		if at := c.ConstInts(index)[0]; at >= 0 || d.Known() {
			return c.First(gatherOne(c, axis, fromFront(at, int(d.N))))
		}
	}
	if axis == 0 && c.Rank(x) == 2 && (c.Opset() < 16 || d.Known() && d.N <= oneHotRows) {
		return c.First(gatherOneHot(c))
	}
	return c.First(gatherScatter(c, axis))
}

// gatherOne: one slice, the first token's for example, is put back by padding.
func gatherOne(c *Context, axis, at int64) *graph.Value {
	x := c.In(0)
	rank := c.Rank(x)
	dY := c.DY()
	if c.Rank(c.In(1)) != 1 {
		dY = c.Op("Reshape", dY, sliceShape(c, axis, c.Ints(1)))
	}
	before, first := make([]int64, 2*rank), make([]int64, 2*rank)
	before[axis] = at
	if d := x.Shape[axis]; d.Known() {
		before[int64(rank)+axis] = d.N - 1 - at
		return c.Op("Pad", dY, c.Ints(before...))
	}
	first[int64(rank)+axis] = 1
	before[int64(rank)+axis] = -1 - at
	behind := c.Mul(c.Ints(first...), c.SizeOf(x, axis))
	return c.Op("Pad", dY, c.Add(behind, c.Ints(before...)))
}

// gatherOneHot: X a table of V rows, H the one-hot rows [N,V] of the N indices:  dX = Hᵀ·dY.
func gatherOneHot(c *Context) *graph.Value {
	x := c.In(0)
	rows := c.SizeOf(x, 0)
	index := c.Op("Reshape", c.CastTo(graph.Int64, c.In(1)), c.Ints(-1, 1))
	hit := c.Op("Equal", c.Op("Mod", index, rows), c.count(rows))
	dY := c.Op("Reshape", c.DY(), c.Ints(-1, columnsOf(c, x)))
	return c.Gemm(c.CastTo(x.DType, hit), true, dY, false, 1)
}

func columnsOf(c *Context, x *graph.Value) int64 {
	if d := x.Shape[1]; d.Known() {
		return d.N
	}
	c.Failf("%s: the row length of a table has to be known", x)
	return 0
}

// gatherScatter: the indices, as one axis and repeated over the others, say where each element of dY is added.
func gatherScatter(c *Context, axis int64) *graph.Value {
	x := c.In(0)
	dY := c.Op("Reshape", c.DY(), sliceShape(c, axis, c.Ints(-1)))
	along := make([]int64, c.Rank(x))
	for i := range along {
		along[i] = 1
	}
	along[axis] = -1
	index := c.Op("Expand", c.Op("Reshape", c.In(1), c.Ints(along...)), c.Op("Shape", dY))
	return c.scatterAdd(x, index, dY, axis)
}

// sliceShape returns X's shape with size (int64[1]) in the place of the axis.
func sliceShape(c *Context, axis int64, size *graph.Value) *graph.Value {
	x := c.In(0)
	parts := []*graph.Value{}
	if axis > 0 {
		parts = append(parts, c.Sizes(x, 0, int(axis)))
	}
	parts = append(parts, size)
	if rank := c.Rank(x); int(axis) < rank-1 {
		parts = append(parts, c.Sizes(x, int(axis)+1, rank))
	}
	return c.With(graph.IntAttr("axis", 0)).Op("Concat", parts...)
}

// gatherElements: Y[i,j,…] = X[I[i,j,…],j,…] (axis 0):  dX = zeros, dY added at the same places.
func gatherElements(c *Context) []*graph.Value {
	return c.First(c.scatterAdd(c.In(0), c.In(1), c.DY(), c.Axis(0, c.In(0))))
}

// scatterAdd adds the updates at indices along an axis to zeros of x's shape.
func (c *Context) scatterAdd(x, index, updates *graph.Value, axis int64) *graph.Value {
	if c.Opset() < 16 {
		c.Failf("adding up gradients of equal indices needs opset 16, not %d; raise the opset", c.Opset())
		return nil
	}
	return c.With(graph.IntAttr("axis", axis), graph.StringAttr("reduction", "add")).Op("ScatterElements", c.ZerosLike(x), index, updates)
}
