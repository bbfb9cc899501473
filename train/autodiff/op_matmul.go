package autodiff

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "MatMul", 1, matMul)
	register("", "Gemm", 1, gemm)
	register("com.microsoft", "FusedMatMul", 1, fusedMatMul)
}

// matMul differentiates Y = A·B, batched and broadcast as numpy's matmul:  dA = dY·Bᵀ,  dB = Aᵀ·dY.
func matMul(c *Context) []*graph.Value {
	ra, rb := c.Rank(c.In(0)), c.Rank(c.In(1))
	switch {
	case ra == 1 && rb == 1:
		return c.Grads(func(i int) *graph.Value { return c.Mul(c.DY(), c.In(1-i)) })
	case ra >= 2 && rb == 2:
		return linear(c)
	case ra == 1 || rb == 1:
		return vectorMatMul(c)
	}
	return batched(c, form{alpha: 1})
}

// linear differentiates Y = X·W, W a matrix, as products of matrices of batch·sequence rows: the transposes are flags of
// Gemm, so that a frozen W is neither copied nor stored twice.
func linear(c *Context) []*graph.Value {
	rows := func(v *graph.Value) *graph.Value {
		if c.Rank(c.In(0)) == 2 {
			return v
		}
		return c.With(graph.IntAttr("axis", -1)).Op("Flatten", v)
	}
	var dY *graph.Value
	if c.Wants(1) || !c.engine.opt.FusedMatMul {
		dY = rows(c.DY())
	}
	return c.Grads(func(i int) *graph.Value {
		if i == 1 && c.In(1).Producer().Is("Transpose") {
			// W = Vᵀ: in V's layout, so that the two transposes cancel. For LoRA's A it is the faster product, too.
			return c.Permute(c.Gemm(dY, true, rows(c.In(0)), false, 1), []int64{1, 0})
		}
		if i == 1 {
			return c.Gemm(rows(c.In(0)), true, dY, false, 1)
		}
		if c.engine.opt.FusedMatMul {
			return c.fused(form{transB: true, alpha: 1}, c.DY(), c.In(1))
		}
		dX := c.Gemm(dY, false, c.In(1), true, 1)
		if c.Rank(c.In(0)) == 2 {
			return dX
		}
		return c.ReshapeLike(dX, c.In(0))
	})
}

// vectorMatMul differentiates the products in which one side is a vector, K = its length:
//
//	y[…,N] = a[K]·B[…,K,N]:  da = Σ B·dY (a row at a time),  dB = a·dYᵀ
//	y[…,M] = A[…,M,K]·b[K]:  dA = dY·bᵀ,  db = Σ A·dY
func vectorMatMul(c *Context) []*graph.Value {
	v := 0 // which input is the vector
	if c.Rank(c.In(1)) == 1 {
		v = 1
	}
	m := c.In(1 - v)
	r := c.Rank(m)
	// The sides of m that K runs along and that Y keeps.
	kAxis, yAxis := r-2, r-1
	if v == 1 {
		kAxis, yAxis = r-1, r-2
	}
	column := func(x *graph.Value, axis int) *graph.Value { return c.WithAxes("Unsqueeze", x, []int64{int64(axis)}) }
	dY := column(c.DY(), kAxis)
	return c.Grads(func(i int) *graph.Value {
		if i == v {
			sum := c.WithAxes("ReduceSum", c.Mul(m, dY), []int64{int64(yAxis)}, graph.IntAttr("keepdims", 0))
			return c.Typed(sum, m.DType, slices.Delete(m.Shape.Clone(), yAxis, yAxis+1))
		}
		vec := c.In(v)
		if v == 0 {
			vec = column(vec, 1)
		}
		return c.Mul(dY, vec)
	})
}

// gemm differentiates Y = α·A'·B' + β·C, where ' is a transpose if the node says so. dC = β·dY.
func gemm(c *Context) []*graph.Value {
	p := form{c.Node.Int("transA", 0) != 0, c.Node.Int("transB", 0) != 0, c.Node.Float("alpha", 1)}
	return c.Grads(func(i int) *graph.Value {
		if i == 2 {
			return c.Broadcast(c.Scale(c.DY(), c.Attr("beta", 1)))
		}
		q, l, r := p.grad(i, c.In(0), c.In(1), c.DY())
		return c.Gemm(l, q.transA, r, q.transB, q.alpha)
	})
}

func fusedMatMul(c *Context) []*graph.Value {
	if c.Node.Int("transBatchA", 0) != 0 || c.Node.Int("transBatchB", 0) != 0 {
		return c.Failf("transBatchA and transBatchB are not differentiated")
	}
	if c.Rank(c.In(0)) < 2 || c.Rank(c.In(1)) < 2 {
		return c.Failf("products with a vector are differentiated as MatMul only")
	}
	return batched(c, form{c.Node.Int("transA", 0) != 0, c.Node.Int("transB", 0) != 0, c.Node.Float("alpha", 1)})
}

// A form says how two matrices, or two batches of them, are multiplied: α·A'·B'.
type form struct {
	transA, transB bool
	alpha          float32
}

// grad returns the product that gives the gradient of input i of p:
//
//	A' = A :  dA = α·dY·B'ᵀ    B' = B :  dB = α·A'ᵀ·dY
//	A' = Aᵀ:  dA = α·B'·dYᵀ    B' = Bᵀ:  dB = α·dYᵀ·A'
func (p form) grad(i int, a, b, dY *graph.Value) (q form, left, right *graph.Value) {
	switch {
	case i == 0 && !p.transA:
		return form{false, !p.transB, p.alpha}, dY, b
	case i == 0:
		return form{p.transB, true, p.alpha}, b, dY
	case !p.transB:
		return form{!p.transA, false, p.alpha}, a, dY
	}
	return form{true, p.transA, p.alpha}, dY, a
}

// batched differentiates products of batches of matrices. The gradients have the batch dimensions of Y.
//
// Of the two forms of Lᵀ·R = (Rᵀ·L)ᵀ it takes the one in which the smaller factor is transposed: for the values of attention,
// whose L are the probabilities, that product took 1.8 instead of 3.3 ms on onnxruntime.
func batched(c *Context, p form) []*graph.Value {
	return c.Grads(func(i int) *graph.Value {
		x := c.In(i)
		batch := c.Out(0).Shape[:c.Rank(c.Out(0))-2]
		rows, columns := x.Shape[c.Rank(x)-2], x.Shape[c.Rank(x)-1]
		q, l, r := p.grad(i, c.In(0), c.In(1), c.DY())
		var d *graph.Value
		if q.transA && !q.transB && narrower(r, l) {
			d = c.swapLast(c.Typed(c.fused(q, r, l), x.DType, append(batch.Clone(), columns, rows)))
		} else {
			d = c.fused(q, l, r)
		}
		return c.Typed(d, x.DType, append(batch.Clone(), rows, columns))
	})
}

// narrower reports whether rows of a are known to be shorter than those of b; b's may be as long as the batch makes them.
func narrower(a, b *graph.Value) bool {
	m, n := a.Shape[a.Shape.Rank()-1], b.Shape[b.Shape.Rank()-1]
	return m.Known() && (!n.Known() || m.N < n.N)
}

// fused multiplies as q says: one FusedMatMul where the options allow it, else Transpose and MatMul, which onnxruntime turns
// into the same kernel from its extended optimization level on.
func (c *Context) fused(q form, l, r *graph.Value) *graph.Value {
	if c.engine.opt.FusedMatMul {
		if _, ok := c.engine.g.Opsets["com.microsoft"]; !ok {
			c.engine.g.Opsets["com.microsoft"] = 1
		}
		flag := map[bool]int64{true: 1}
		return c.Builder.In("com.microsoft").With(graph.IntAttr("transA", flag[q.transA]), graph.IntAttr("transB", flag[q.transB]),
			graph.FloatAttr("alpha", q.alpha)).Op("FusedMatMul", l, r)
	}
	if q.transA {
		l = c.swapLast(l)
	}
	if q.transB {
		r = c.swapLast(r)
	}
	return c.Scale(c.MatMul(l, r), float64(q.alpha))
}

// swapLast transposes the last two axes.
func (c *Context) swapLast(v *graph.Value) *graph.Value {
	r := c.Rank(v)
	perm := span(0, r)
	perm[r-1], perm[r-2] = int64(r-2), int64(r-1)
	return c.Permute(v, perm)
}
