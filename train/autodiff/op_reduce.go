package autodiff

import "github.com/peftgraph/peftgraph/graph"

// reduction registers dX of an operator that reduces X over axes. The rule gets dY with the reduced axes put back as size 1,
// so that it broadcasts to X; [Context.reduced] is Y in that form.
func reduction(op string, dX func(c *Context, x, dY *graph.Value) *graph.Value) {
	register("", op, 1, func(c *Context) []*graph.Value {
		return c.First(dX(c, c.In(0), c.keepReduced(c.DY())))
	})
}

func init() {
	// Y = Σ X:  dX = dY
	reduction("ReduceSum", func(c *Context, x, dY *graph.Value) *graph.Value { return c.ExpandLike(dY, x) })
	// Y = Σ X / n:  dX = dY / n
	reduction("ReduceMean", func(c *Context, x, dY *graph.Value) *graph.Value {
		return c.ExpandLike(c.Div(dY, c.reducedCount()), x)
	})
	// Y = Σ X²:  dX = 2·X·dY
	reduction("ReduceSumSquare", func(c *Context, x, dY *graph.Value) *graph.Value { return c.Mul(x, c.Scale(dY, 2)) })
	// Y = √Σ X²:  dX = X·dY / Y, 0 where Y = 0
	reduction("ReduceL2", func(c *Context, x, dY *graph.Value) *graph.Value {
		y := c.reduced()
		return c.Mul(x, c.Where(c.Op("Equal", y, c.Num(0)), c.Num(0), c.Div(dY, y)))
	})
	// Y = Σ |X|:  dX = dY·sign X
	reduction("ReduceL1", func(c *Context, x, dY *graph.Value) *graph.Value { return c.Mul(c.Op("Sign", x), dY) })
	// Y = ln Σ X:  dX = dY·exp(−Y)
	reduction("ReduceLogSum", func(c *Context, x, dY *graph.Value) *graph.Value {
		return c.ExpandLike(c.Mul(dY, c.Op("Exp", c.Neg(c.reduced()))), x)
	})
	// Y = ln Σ exp X:  dX = dY·exp(X − Y)
	reduction("ReduceLogSumExp", func(c *Context, x, dY *graph.Value) *graph.Value {
		return c.Mul(c.Op("Exp", c.Sub(x, c.reduced())), dY)
	})
	// Y = Π X:  dX = dY·Y / X (X ≠ 0)
	reduction("ReduceProd", func(c *Context, x, dY *graph.Value) *graph.Value { return c.Div(c.Mul(dY, c.reduced()), x) })
	reduction("ReduceMax", reduceExtremum)
	reduction("ReduceMin", reduceExtremum)
}

// reduceExtremum shares dY evenly among the elements that attain the minimum or maximum.
//
//	dX = dY·[X = Y] / Σ[X = Y]
func reduceExtremum(c *Context, x, dY *graph.Value) *graph.Value {
	hits := c.CastTo(x.DType, c.Op("Equal", x, c.reduced()))
	count := hits
	if axes, some := c.reducedAxes(); some {
		count = c.Reduce("ReduceSum", hits, axes)
	}
	return c.Mul(hits, c.Div(dY, count))
}

// reducedAxes returns the axes the node reduces, and whether there are any.
func (c *Context) reducedAxes() ([]int64, bool) {
	rank := c.Rank(c.In(0))
	axes, _ := c.Axes(1, rank)
	if len(axes) == 0 {
		return span(0, rank), c.Node.Int("noop_with_empty_axes", 0) == 0
	}
	return axes, true
}

// keepReduced puts the reduced axes back into v, a value of the output's shape, as axes of size 1.
func (c *Context) keepReduced(v *graph.Value) *graph.Value {
	axes, some := c.reducedAxes()
	if !some || len(axes) == 0 || c.Node.Int("keepdims", 1) != 0 {
		return v
	}
	return c.WithAxes("Unsqueeze", v, axes)
}

// reduced returns Y with the reduced axes put back.
func (c *Context) reduced() *graph.Value { return c.keepReduced(c.Out(0)) }

// reducedCount returns how many elements of X make one of Y, as a float.
func (c *Context) reducedCount() *graph.Value {
	axes, some := c.reducedAxes()
	if !some {
		return c.Num(1)
	}
	n := int64(1)
	var sizes []*graph.Value
	for _, a := range axes {
		if d := c.In(0).Shape[a]; d.Known() {
			n *= d.N
		} else {
			sizes = append(sizes, c.CastTo(c.Out(0).DType, c.SizeOf(c.In(0), a)))
		}
	}
	count := c.Num(float64(n))
	for _, s := range sizes {
		count = c.Mul(count, s)
	}
	return count
}
