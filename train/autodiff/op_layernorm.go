package autodiff

import "github.com/peftgraph/peftgraph/graph"

func init() {
	register("", "LayerNormalization", 1, layerNorm) // 17 in the standard; onnxruntime has its own below that
	register("", "RMSNormalization", 23, rmsNorm)
}

// layerNorm (Ba et al., arXiv:1607.06450), means over the normalised axes:
//
//	Y = N·scale + bias,  N = C·invStd,  C = X − mean
//	dX = invStd·(G − mean(G) − C·invStd²·mean(G·C)),  G = dY·scale
//	dScale = Σ dY·N,  dBias = Σ dY
//
// In dX, the factors of N are applied to one number a row instead of to the whole tensor.
func layerNorm(c *Context) []*graph.Value {
	for i := 1; i < len(c.Node.Outputs()); i++ {
		if c.Grad(i) != nil {
			return c.Failf("the loss depends on its output %d; only output 0 is differentiated", i)
		}
	}
	axes := span(int(c.Axis(-1, c.In(0))), c.Rank(c.In(0)))
	var centred, invStd *graph.Value
	if c.Wants(0) || c.Wants(1) {
		var mean *graph.Value
		mean, invStd = statistics(c, axes)
		centred = c.Sub(c.In(0), mean)
	}
	return c.Grads(func(i int) *graph.Value {
		switch i {
		case 1:
			return c.Broadcast(c.Mul(c.DY(), c.Mul(centred, invStd)))
		case 2:
			return c.DY()
		}
		g := c.Mul(c.DY(), c.In(1))
		along := c.Mul(c.Reduce("ReduceMean", c.Mul(g, centred), axes), c.Mul(invStd, invStd))
		rest := c.Sub(c.Sub(g, c.Reduce("ReduceMean", g, axes)), c.Mul(centred, along))
		return c.Mul(rest, invStd)
	})
}

// statistics returns the mean and 1/√(variance + ε) that the forward node computed, asking it for these outputs where it
// doesn't have them. They are single precision whatever X is, so for double they are computed again.
func statistics(c *Context, axes []int64) (mean, invStd *graph.Value) {
	x := c.In(0)
	if x.DType == graph.Float && c.Node.Int("stash_type", 1) == 1 {
		s := x.Shape.Clone()
		for _, a := range axes {
			s[a] = graph.Fixed(1)
		}
		return c.Output(1, graph.Float, s), c.Output(2, graph.Float, s)
	}
	mean = c.Reduce("ReduceMean", x, axes)
	centred := c.Sub(x, mean)
	return mean, invRoot(c, c.Mul(centred, centred), axes)
}

// invRoot returns 1/√(mean(squares) + ε).
func invRoot(c *Context, squares *graph.Value, axes []int64) *graph.Value {
	eps := c.Num(c.Attr("epsilon", 1e-5))
	return c.Op("Reciprocal", c.Op("Sqrt", c.Add(c.Reduce("ReduceMean", squares, axes), eps)))
}

// rmsNorm (Zhang & Sennrich, arXiv:1910.07467) is layerNorm without the mean:
//
//	Y = N·scale,  N = X·invRMS
//	dX = invRMS·(G − N·mean(G·N)),  G = dY·scale;  dScale = Σ dY·N
func rmsNorm(c *Context) []*graph.Value {
	x := c.In(0)
	axes := span(int(c.Axis(-1, x)), c.Rank(x))
	inv := invRoot(c, c.Mul(x, x), axes)
	n := c.Mul(x, inv)
	return c.Grads(func(i int) *graph.Value {
		if i == 1 {
			return c.Broadcast(c.Mul(c.DY(), n))
		}
		g := c.Mul(c.DY(), c.In(1))
		return c.Mul(c.Sub(g, c.Mul(n, c.Reduce("ReduceMean", c.Mul(g, n), axes))), inv)
	})
}
