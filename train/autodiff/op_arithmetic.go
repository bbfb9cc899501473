package autodiff

import "github.com/peftgraph/peftgraph/graph"

func init() {
	// Y = A + B:  dA = dY,  dB = dY
	register("", "Add", 1, func(c *Context) []*graph.Value {
		return c.Grads(func(int) *graph.Value { return c.DY() })
	})
	// Y = A − B:  dA = dY,  dB = −dY
	register("", "Sub", 1, func(c *Context) []*graph.Value {
		return c.Grads(func(i int) *graph.Value {
			if i == 0 {
				return c.DY()
			}
			return c.Broadcast(c.Neg(c.DY()))
		})
	})
	// Y = A·B:  dA = dY·B,  dB = dY·A
	register("", "Mul", 1, func(c *Context) []*graph.Value {
		return c.Grads(func(i int) *graph.Value { return c.Broadcast(c.Mul(c.DY(), c.In(1-i))) })
	})
	// Y = A / B:  dA = dY / B,  dB = −dY·Y / B
	register("", "Div", 1, func(c *Context) []*graph.Value {
		return c.Grads(func(i int) *graph.Value {
			if i == 0 {
				return c.Broadcast(c.Div(c.DY(), c.In(1)))
			}
			return c.Broadcast(c.Neg(c.Div(c.Mul(c.DY(), c.Out(0)), c.In(1))))
		})
	})
	// Y = A + B + …:  dA = dB = … = dY
	register("", "Sum", 1, func(c *Context) []*graph.Value {
		return c.Grads(func(int) *graph.Value { return c.DY() })
	})
	// Y = (A + B + …) / n:  dA = dB = … = dY / n
	register("", "Mean", 1, func(c *Context) []*graph.Value {
		dY := c.Broadcast(c.Scale(c.DY(), 1/float64(len(c.Node.Inputs()))))
		return c.Grads(func(int) *graph.Value { return dY })
	})
	register("", "Min", 1, extremum)
	register("", "Max", 1, extremum)
	// Y = X^P:  dX = dY·P·X^(P−1),  dP = dY·Y·ln X (X > 0)
	register("", "Pow", 1, func(c *Context) []*graph.Value {
		return c.Grads(func(i int) *graph.Value {
			if i == 1 {
				return c.Broadcast(c.Mul(c.Mul(c.DY(), c.Out(0)), c.Op("Log", c.In(0))))
			}
			return c.Broadcast(c.Mul(c.DY(), powSlope(c, c.In(0), c.In(1))))
		})
	})
}

// extremum shares dY evenly among the inputs that attain the minimum or maximum.
//
//	dXᵢ = dY·[Xᵢ = Y] / Σⱼ[Xⱼ = Y]
func extremum(c *Context) []*graph.Value {
	dtype := c.Out(0).DType
	hits := make([]*graph.Value, len(c.Node.Inputs()))
	for i := range hits {
		hits[i] = c.CastTo(dtype, c.Op("Equal", c.In(i), c.Out(0)))
	}
	share := c.Div(c.DY(), c.Op("Sum", hits...))
	return c.Grads(func(i int) *graph.Value { return c.Broadcast(c.Mul(share, hits[i])) })
}

// powSlope returns P·X^(P−1); squares and cubes, which decomposed normalisations and GELUs hold, do without a Pow.
func powSlope(c *Context, x, p *graph.Value) *graph.Value {
	if t := p.Const(); t != nil && t.Len() == 1 {
		f, err := t.Float64s()
		if err != nil {
			c.Fail(err)
			return nil
		}
		switch f[0] {
		case 2:
			return c.Scale(x, 2)
		case 3:
			return c.Scale(c.Mul(x, x), 3)
		}
		return c.Scale(c.Op("Pow", x, c.Num(f[0]-1)), f[0])
	}
	if p.DType != x.DType {
		p = c.CastTo(x.DType, p)
	}
	return c.Mul(p, c.Op("Pow", x, c.Sub(p, c.Num(1))))
}
