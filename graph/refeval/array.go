package refeval

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

// An array is a dense row-major tensor in the interpreter's own precision. Kernels never change an array they were given.
type array struct {
	dtype graph.DType // as declared; decides what f and i stand for, not the precision
	dims  []int
	f     []float64 // the elements when dtype is floating
	i     []int64   // the elements otherwise; a bool is 0 or 1
}

func newArray(dtype graph.DType, dims []int) *array {
	a := &array{dtype: dtype, dims: dims}
	if n := size(dims...); dtype.IsFloat() {
		a.f = make([]float64, n)
	} else {
		a.i = make([]int64, n)
	}
	return a
}

func floats(dtype graph.DType, dims []int, f []float64) *array {
	return &array{dtype: dtype, dims: dims, f: f}
}

func integers(dtype graph.DType, dims []int, i []int64) *array {
	return &array{dtype: dtype, dims: dims, i: i}
}

func (a *array) isFloat() bool { return a.dtype.IsFloat() }

func (a *array) rank() int { return len(a.dims) }

func (a *array) len() int { return max(len(a.f), len(a.i)) }

// reshaped returns the same elements under other dimensions.
func (a *array) reshaped(dims []int) *array {
	return &array{dtype: a.dtype, dims: dims, f: a.f, i: a.i}
}

// as returns the same elements under another type of the same kind.
func (a *array) as(dtype graph.DType) *array {
	return &array{dtype: dtype, dims: a.dims, f: a.f, i: a.i}
}

// asFloats returns the elements as float64 whatever the type.
func (a *array) asFloats() []float64 {
	if a.isFloat() {
		return a.f
	}
	out := make([]float64, len(a.i))
	for k, v := range a.i {
		out[k] = float64(v)
	}
	return out
}

// String prints type and dimensions, for errors.
func (a *array) String() string {
	if a == nil {
		return "absent"
	}
	return fmt.Sprintf("%s%v", a.dtype, a.dims)
}

// wrap reduces an integer to the width of dtype, two's complement.
func wrap(dtype graph.DType, v int64) int64 {
	switch dtype {
	case graph.Int8:
		return int64(int8(v))
	case graph.Uint8:
		return int64(uint8(v))
	case graph.Int16:
		return int64(int16(v))
	case graph.Uint16:
		return int64(uint16(v))
	case graph.Int32:
		return int64(int32(v))
	case graph.Uint32:
		return int64(uint32(v))
	case graph.Bool:
		if v != 0 {
			return 1
		}
	}
	return v
}

// wrapped returns a with every integer wrapped to its declared width, and a itself where nothing can overflow.
func (a *array) wrapped() *array {
	if a.isFloat() || a.dtype == graph.Int64 || a.dtype == graph.Uint64 || a.dtype == graph.Bool {
		return a
	}
	out := make([]int64, len(a.i))
	for k, v := range a.i {
		out[k] = wrap(a.dtype, v)
	}
	return integers(a.dtype, a.dims, out)
}

// fromTensor converts a tensor; string and complex tensors are refused.
func fromTensor(t *graph.Tensor) (*array, error) {
	dims := make([]int, len(t.Dims))
	for k, d := range t.Dims {
		dims[k] = int(d)
	}
	if t.DType.IsFloat() {
		f, err := t.Float64s()
		return floats(t.DType, dims, f), err
	}
	i, err := t.Int64s()
	if i == nil {
		i = []int64{}
	}
	return integers(t.DType, dims, i), err
}

// tensor converts an array to a tensor of its declared type, rounding to nearest even.
func (a *array) tensor() *graph.Tensor {
	dims := int64s(a.dims)
	if a.isFloat() {
		return graph.FloatTensor(a.dtype, dims, a.f)
	}
	switch a.dtype {
	case graph.Bool:
		out := make([]bool, len(a.i))
		for k, v := range a.i {
			out[k] = v != 0
		}
		return graph.TensorOf(dims, out)
	case graph.Int8:
		return convert[int8](a, dims)
	case graph.Uint8:
		return convert[uint8](a, dims)
	case graph.Int16:
		return convert[int16](a, dims)
	case graph.Uint16:
		return convert[uint16](a, dims)
	case graph.Int32:
		return convert[int32](a, dims)
	case graph.Uint32:
		return convert[uint32](a, dims)
	case graph.Uint64:
		return convert[uint64](a, dims)
	}
	return graph.TensorOf(dims, a.i)
}

// exactTensor converts an array to a tensor without rounding: floating types become Double.
func (a *array) exactTensor() *graph.Tensor {
	if a.isFloat() {
		return a.as(graph.Double).tensor()
	}
	return a.tensor()
}

func convert[T int8 | uint8 | int16 | uint16 | int32 | uint32 | uint64](a *array, dims []int64) *graph.Tensor {
	out := make([]T, len(a.i))
	for k, v := range a.i {
		out[k] = T(v)
	}
	return graph.TensorOf(dims, out)
}
