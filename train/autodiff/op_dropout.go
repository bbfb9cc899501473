package autodiff

import "github.com/peftgraph/peftgraph/graph"

func init() {
	// Before opset 12 the operator has no training mode: Y = X.
	register("", "Dropout", 1, func(c *Context) []*graph.Value { return c.First(c.DY()) })
	register("", "Dropout", 12, dropout)
}

// dropout reads the forward's own mask M, asking for it where the node doesn't compute it yet.
//
//	Y = X·M / (1 − ratio):  dX = dY / (1 − ratio) where M, else 0
func dropout(c *Context) []*graph.Value {
	training := c.In(2)
	if training == nil {
		return c.First(c.DY())
	}
	if t := training.Const(); t != nil {
		on, err := t.Int64s()
		if err != nil {
			c.Fail(err)
			return nil
		}
		if on[0] == 0 {
			return c.First(c.DY())
		}
	}
	scale := c.Num(2) // ratio is ½ unless given
	if ratio := c.In(1); ratio != nil {
		if ratio.DType != c.In(0).DType {
			ratio = c.CastTo(c.In(0).DType, ratio)
		}
		scale = c.Op("Reciprocal", c.Sub(c.Num(1), ratio))
	}
	if training.Const() == nil {
		scale = c.Where(training, scale, c.Num(1))
	}
	mask := c.Output(1, graph.Bool, c.Out(0).Shape)
	return c.First(c.Where(mask, c.Mul(c.DY(), scale), c.Num(0)))
}
