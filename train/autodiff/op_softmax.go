package autodiff

import "github.com/peftgraph/peftgraph/graph"

func init() {
	// Until opset 13 the operators normalise over the axis and all that follow, from then on over the axis alone.
	register("", "Softmax", 1, func(c *Context) []*graph.Value { return softmax(c, tail(c)) })
	register("", "Softmax", 13, func(c *Context) []*graph.Value { return softmax(c, []int64{c.Axis(-1, c.In(0))}) })
	register("", "LogSoftmax", 1, func(c *Context) []*graph.Value { return logSoftmax(c, tail(c)) })
	register("", "LogSoftmax", 13, func(c *Context) []*graph.Value { return logSoftmax(c, []int64{c.Axis(-1, c.In(0))}) })
}

func tail(c *Context) []int64 {
	rank := c.Rank(c.In(0))
	return span(int(c.Axis(1, c.In(0))), rank)
}

// softmax: P = softmax X:  dX = P·(dP − Σ dP·P)
func softmax(c *Context, axes []int64) []*graph.Value {
	p, dP := c.Out(0), c.DY()
	sum := c.Reduce("ReduceSum", c.Mul(dP, p), axes)
	return c.First(c.Mul(p, c.Sub(dP, sum)))
}

// logSoftmax: Y = ln softmax X:  dX = dY − exp Y·Σ dY
func logSoftmax(c *Context, axes []int64) []*graph.Value {
	sum := c.Reduce("ReduceSum", c.DY(), axes)
	return c.First(c.Sub(c.DY(), c.Mul(c.Op("Exp", c.Out(0)), sum)))
}
