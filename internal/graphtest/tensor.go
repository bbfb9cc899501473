package graphtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

// Rand returns a tensor whose elements are uniform in [lo, hi); one seed always gives the same tensor. Integers are rounded
// down, and a bool is false exactly where an integer would be 0. It panics for types that have no numbers.
func Rand(seed uint64, dtype graph.DType, dims []int64, lo, hi float64) *graph.Tensor {
	shape := graph.Tensor{Dims: dims}
	r := rand.New(rand.NewPCG(seed, 0))
	floats := make([]float64, shape.Len())
	ints := make([]int64, len(floats))
	for k := range floats {
		floats[k] = lo + (hi-lo)*r.Float64()
		ints[k] = int64(math.Floor(floats[k]))
	}
	t, err := numbers(dtype, dims, floats, ints)
	if err != nil {
		panic(err)
	}
	return t
}

// numbers makes a tensor from floats or from ints, as dtype asks.
func numbers(dtype graph.DType, dims []int64, floats []float64, ints []int64) (*graph.Tensor, error) {
	if dtype.IsFloat() {
		return graph.FloatTensor(dtype, dims, floats), nil
	}
	switch dtype {
	case graph.Bool:
		out := make([]bool, len(ints))
		for k, v := range ints {
			out[k] = v != 0
		}
		return graph.TensorOf(dims, out), nil
	case graph.Int8:
		return integers[int8](dims, ints), nil
	case graph.Uint8:
		return integers[uint8](dims, ints), nil
	case graph.Int16:
		return integers[int16](dims, ints), nil
	case graph.Uint16:
		return integers[uint16](dims, ints), nil
	case graph.Int32:
		return integers[int32](dims, ints), nil
	case graph.Uint32:
		return integers[uint32](dims, ints), nil
	case graph.Int64:
		return integers[int64](dims, ints), nil
	case graph.Uint64:
		return integers[uint64](dims, ints), nil
	}
	return nil, fmt.Errorf("a tensor of type %s holds no numbers", dtype)
}

func integers[T int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64](dims, vs []int64) *graph.Tensor {
	out := make([]T, len(vs))
	for k, v := range vs {
		out[k] = T(v)
	}
	return graph.TensorOf(dims, out)
}

// Close fails the test unless got has want's dimensions and each element is within atol + rtol·|want|. Types may differ, so a
// float64 reference can be compared with float32 results. It returns whether they are close.
func Close(t testing.TB, got, want *graph.Tensor, rtol, atol float64) bool {
	t.Helper()
	if err := Differ(got, want, rtol, atol); err != nil {
		t.Error(err)
		return false
	}
	return true
}

// Differ is [Close] as an error that tells the worst element, nil when the tensors are close.
func Differ(got, want *graph.Tensor, rtol, atol float64) error {
	if got == nil || want == nil {
		return fmt.Errorf("graphtest: got tensor %v, want %v", got, want)
	}
	if !slices.Equal(got.Dims, want.Dims) {
		return fmt.Errorf("graphtest: shape %v, want %v", got.Dims, want.Dims)
	}
	g, err := got.Float64s()
	if err != nil {
		return err
	}
	w, err := want.Float64s()
	if err != nil {
		return err
	}
	worst, at := 0., -1
	for k := range w {
		if w[k] == g[k] || w[k] != w[k] && g[k] != g[k] {
			continue
		}
		// Written so that a NaN or an infinity on one side only counts as infinitely far.
		excess := math.Abs(g[k]-w[k]) / (atol + rtol*math.Abs(w[k]))
		if math.IsNaN(excess) || math.IsInf(w[k], 0) {
			excess = math.Inf(1)
		}
		if excess > 1 && excess > worst {
			worst, at = excess, k
		}
	}
	if at < 0 {
		return nil
	}
	return fmt.Errorf("graphtest: element %d of %v is %v, want %v: off by %.3g, %.3g times what rtol %g and atol %g allow",
		at, want.Dims, g[at], w[at], math.Abs(g[at]-w[at]), worst, rtol, atol)
}
