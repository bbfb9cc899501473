package numeric

import (
	"fmt"
	"math"
)

// Times returns w·v for w of rows n wide.
func Times[T float32 | float64](w []T, n int, v []float64) []float64 {
	out := make([]float64, len(w)/n)
	for i := range out {
		sum := 0.0
		for j, x := range w[i*n : (i+1)*n] {
			sum += float64(x) * v[j]
		}
		out[i] = sum
	}
	return out
}

// timesTransposed returns wᵀ·u for w of rows n wide.
func timesTransposed(w []float32, n int, u []float64) []float64 {
	out := make([]float64, n)
	for i, f := range u {
		Axpy(f, w[i*n:(i+1)*n], out)
	}
	return out
}

// Dot is the scalar product.
func Dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// Axpy is y += f·x.
func Axpy[T float32 | float64](f float64, x []T, y []float64) {
	for i, v := range x {
		y[i] += f * float64(v)
	}
}

// Scale is v *= f.
func Scale(v []float64, f float64) {
	for i := range v {
		v[i] *= f
	}
}

// Widen returns x in float64.
func Widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// Narrow returns x in float32.
func Narrow(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

// Argmax is the index of the largest element, the first of equals.
func Argmax[T float32 | float64](x []T) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// Norm is the Euclidean norm.
func Norm(v []float64) float64 { return math.Sqrt(Dot(v, v)) }

// Transpose returns the [cols, rows] form of a [rows, cols] matrix.
func Transpose(m []float32, rows, cols int) []float32 {
	out := make([]float32, len(m))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = m[r*cols+c]
		}
	}
	return out
}

// Product returns s·B·A as [out, in].
func Product(a, b []float32, s float64, out, in int) ([]float64, error) {
	r := len(a) / in
	if len(a) != r*in || len(b) != out*r {
		return nil, fmt.Errorf("matrices A of %d and B of %d elements: they don't fit a weight of %d×%d", len(a), len(b), out, in)
	}
	delta := make([]float64, out*in)
	for o := range out {
		for k := range r {
			Axpy(s*float64(b[o*r+k]), a[k*in:(k+1)*in], delta[o*in:(o+1)*in])
		}
	}
	return delta, nil
}
