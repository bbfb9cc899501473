package refeval

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "MatMul", 1, arity{2, 2}, one(func(c *call) (*array, error) { return matmul(c.in[0], c.in[1]) }))
	register("com.microsoft", "FusedMatMul", 1, arity{2, 2}, one(fusedMatMul))
	register("", "Gemm", 7, arity{2, 3}, one(gemm))
}

// matmul is numpy's: matrices in the last two axes, the axes before them broadcast, vectors promoted.
func matmul(a, b *array) (*array, error) {
	if a.rank() == 0 || b.rank() == 0 {
		return nil, fmt.Errorf("inputs %s and %s: a scalar can't be multiplied as a matrix", a, b)
	}
	if a.rank() == 1 {
		out, err := matmul(a.reshaped([]int{1, a.dims[0]}), b)
		if err != nil {
			return nil, err
		}
		at := out.rank() - min(b.rank(), 2)
		return out.reshaped(slices.Delete(slices.Clone(out.dims), at, at+1)), nil
	}
	if b.rank() == 1 {
		out, err := matmul(a, b.reshaped([]int{b.dims[0], 1}))
		if err != nil {
			return nil, err
		}
		return out.reshaped(out.dims[:out.rank()-1]), nil
	}
	return batchedMatMul(a, b)
}

func batchedMatMul(a, b *array) (*array, error) {
	ra, rb := a.rank(), b.rank()
	m, k, n := a.dims[ra-2], a.dims[ra-1], b.dims[rb-1]
	if b.dims[rb-2] != k || a.dtype != b.dtype {
		return nil, fmt.Errorf("inputs %s and %s don't multiply", a, b)
	}
	batch, err := broadcast(a.dims[:ra-2], b.dims[:rb-2])
	if err != nil {
		return nil, err
	}
	as := matrixNumbers(a.dims[:ra-2], batch)
	bs := matrixNumbers(b.dims[:rb-2], batch)
	out := newArray(a.dtype, append(slices.Clone(batch), m, n))
	for i := range as {
		if a.isFloat() {
			multiply(out.f[i*m*n:(i+1)*m*n], a.f[as[i]*m*k:], b.f[bs[i]*k*n:], m, k, n)
		} else {
			multiply(out.i[i*m*n:(i+1)*m*n], a.i[as[i]*m*k:], b.i[bs[i]*k*n:], m, k, n)
		}
	}
	return out, nil
}

// matrixNumbers lists which matrix of an array with leading axes dims meets each element of the broadcast shape.
func matrixNumbers(dims, batch []int) []int {
	return offsets(batch, broadcastSteps(dims, batch))
}

// multiply adds a[m,k]·b[k,n] to out[m,n]; the inner loop runs along rows, which the processor's cache likes.
func multiply[T number](out, a, b []T, m, k, n int) {
	for i := range m {
		row := out[i*n : (i+1)*n]
		for p := range k {
			x, col := a[i*k+p], b[p*n:p*n+n]
			for j, y := range col {
				row[j] += x * y
			}
		}
	}
}

// gemm is α·A'·B' + β·C, a prime standing for an optional transposition.
func gemm(c *call) (*array, error) {
	a, b := c.in[0], c.in[1]
	if a.rank() != 2 || b.rank() != 2 {
		return nil, fmt.Errorf("inputs %s and %s must be matrices", a, b)
	}
	if c.node.Int("transA", 0) != 0 {
		a = a.lastAxesSwapped()
	}
	if c.node.Int("transB", 0) != 0 {
		b = b.lastAxesSwapped()
	}
	out, err := matmul(a, b)
	if err != nil {
		return nil, err
	}
	out = out.scaled(attr(c, "alpha", 1))
	bias := c.arg(2)
	if bias == nil {
		return out, nil
	}
	sum, err := combine(out, bias.scaled(attr(c, "beta", 1)), add[float64], add[int64])
	if err == nil && !slices.Equal(sum.dims, out.dims) {
		err = fmt.Errorf("input 2 is %s and doesn't broadcast to %v", bias, out.dims)
	}
	return sum, err
}

func (a *array) scaled(s float64) *array {
	if s == 1 {
		return a
	}
	if a.isFloat() {
		return a.mapped(func(x float64) float64 { return s * x })
	}
	return cast(floats(graph.Double, a.dims, a.asFloats()).scaled(s), a.dtype)
}

// fusedMatMul is α·A'·B' over the last two axes. transBatchA and transBatchB move the first axis to just before the last,
// as onnxruntime's contrib operator has it.
func fusedMatMul(c *call) (*array, error) {
	a, err := fusedOperand(c, 0, "transA", "transBatchA")
	if err != nil {
		return nil, err
	}
	b, err := fusedOperand(c, 1, "transB", "transBatchB")
	if err != nil {
		return nil, err
	}
	out, err := matmul(a, b)
	if err != nil {
		return nil, err
	}
	return out.scaled(attr(c, "alpha", 1)), nil
}

func fusedOperand(c *call, i int, trans, transBatch string) (*array, error) {
	a := c.in[i]
	if c.node.Int(transBatch, 0) != 0 {
		if a.rank() < 3 {
			return nil, fmt.Errorf("input %d is %s: %s needs rank 3 or more", i, a, transBatch)
		}
		perm := append(sequence(a.rank())[1:a.rank()-1], 0, a.rank()-1)
		a = a.transposed(perm)
	}
	if c.node.Int(trans, 0) != 0 && a.rank() >= 2 {
		a = a.lastAxesSwapped()
	}
	return a, nil
}
