package graph

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// A Tensor is an element type, dimensions and a reference to little-endian row-major bytes, either on the heap or in a
// [File]. Tensors are immutable: to change one, make another and hand it to [Graph.SetInitializer].
type Tensor struct {
	DType DType
	Dims  []int64
	// Extra is what the file held about this tensor and the representation does not model.
	Extra any

	data []byte
	ref  *Ref
}

// A File gives access to bytes that live outside the heap, usually a memory-mapped model file.
type File interface {
	// Path is the absolute path of the file.
	Path() string
	// Bytes returns n bytes at offset off. The slice is read-only.
	Bytes(off, n int64) ([]byte, error)
}

// A Ref says where in a File the bytes of a tensor are.
type Ref struct {
	File           File
	Offset, Length int64
}

// Number is a Go type that holds one tensor element as ONNX stores it.
type Number interface {
	~float32 | ~float64 | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~bool
}

// NewTensor wraps little-endian bytes without copying them. It fails when their count doesn't fit dims.
func NewTensor(dtype DType, dims []int64, data []byte) (*Tensor, error) {
	t := &Tensor{DType: dtype, Dims: dims, data: data}
	if err := t.checkLength(int64(len(data))); err != nil {
		return nil, err
	}
	return t, nil
}

// NewRefTensor makes a tensor whose bytes stay in a file.
func NewRefTensor(dtype DType, dims []int64, ref Ref) (*Tensor, error) {
	t := &Tensor{DType: dtype, Dims: dims, ref: &ref}
	if err := t.checkLength(ref.Length); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tensor) checkLength(got int64) error {
	size := t.DType.Size()
	if size == 0 {
		return nil
	}
	n, err := elements(t.Dims)
	if err != nil {
		return err
	}
	if n > math.MaxInt64/size || n*size != got {
		return fmt.Errorf("graph: tensor %s%v needs %d elements of %d bytes, has %d bytes", t.DType, t.Dims, n, size, got)
	}
	return nil
}

// TensorOf wraps a Go slice as a tensor without copying; dims may be nil for a vector. It panics when len(data) is not the
// product of dims, since that is a mistake in the calling code and never in a user's file.
func TensorOf[T Number](dims []int64, data []T) *Tensor {
	if dims == nil {
		dims = []int64{int64(len(data))}
	}
	t, err := NewTensor(dtypeOf[T](), dims, bytesOf(data))
	if err != nil {
		panic(err)
	}
	return t
}

// Scalar returns a rank-0 tensor.
func Scalar[T Number](v T) *Tensor { return TensorOf([]int64{}, []T{v}) }

// FloatScalar returns a rank-0 tensor of the given floating type; it panics for other types.
func FloatScalar(dtype DType, v float64) *Tensor { return FloatTensor(dtype, []int64{}, []float64{v}) }

// FloatTensor converts data to the floating type dtype, rounding to nearest even; it panics for other types.
func FloatTensor(dtype DType, dims []int64, data []float64) *Tensor {
	switch dtype {
	case Double:
		return TensorOf(dims, data)
	case Float:
		f := make([]float32, len(data))
		for i, v := range data {
			f[i] = float32(v)
		}
		return TensorOf(dims, f)
	case Float16:
		return shortFloats(dtype, dims, data, floatToHalf)
	case BFloat16:
		return shortFloats(dtype, dims, data, floatToBrain)
	}
	panic(fmt.Sprintf("graph: FloatTensor of %s", dtype))
}

func shortFloats(dtype DType, dims []int64, data []float64, bits func(float64) uint16) *Tensor {
	short := make([]uint16, len(data))
	for i, v := range data {
		short[i] = bits(v)
	}
	t := TensorOf(dims, short)
	t.DType = dtype
	return t
}

// Len returns the number of elements; a tensor with a dimension of 0 has none.
func (t *Tensor) Len() int64 {
	n, _ := elements(t.Dims)
	return n
}

func elements(dims []int64) (int64, error) {
	n := int64(1)
	for _, d := range dims {
		if d < 0 {
			return 0, fmt.Errorf("graph: tensor dimensions %v: %d is negative", dims, d)
		}
		if d > 0 && n > math.MaxInt64/d {
			return 0, fmt.Errorf("graph: tensor dimensions %v: more elements than fit in 63 bits", dims)
		}
		n *= d
	}
	return n, nil
}

// Ref returns where the bytes are when they are in a file, or nil when they are on the heap.
func (t *Tensor) Ref() *Ref { return t.ref }

// Bytes returns the tensor's little-endian bytes, read-only, mapping them from the file when they are in one.
func (t *Tensor) Bytes() ([]byte, error) {
	if t.ref == nil {
		return t.data, nil
	}
	b, err := t.ref.File.Bytes(t.ref.Offset, t.ref.Length)
	if err != nil {
		return nil, fmt.Errorf("graph: tensor %s%v: %w", t.DType, t.Dims, err)
	}
	return b, nil
}

// Data returns the elements as a Go slice, read-only. It doesn't copy when the bytes are aligned for T. The tensor's
// element type must be T's.
func Data[T Number](t *Tensor) ([]T, error) {
	if want := dtypeOf[T](); t.DType != want {
		return nil, fmt.Errorf("graph: tensor holds %s, not %s", t.DType, want)
	}
	b, err := t.Bytes()
	if err != nil || len(b) == 0 {
		return nil, err
	}
	var zero T
	if uintptr(unsafe.Pointer(&b[0]))%unsafe.Alignof(zero) != 0 {
		b = append(make([]byte, 0, len(b)+8), b...)
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(zero))), nil
}

// Float64s returns the elements converted to float64. Every numeric type and bool is accepted; int64 beyond 2^53 loses precision.
func (t *Tensor) Float64s() ([]float64, error) {
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]float64, t.Len())
	read, err := reader(t.DType)
	if err != nil {
		return nil, err
	}
	size := int(t.DType.Size())
	for i := range out {
		out[i] = read(b[i*size:])
	}
	return out, nil
}

// Int64s returns the elements of an integer or bool tensor as int64.
func (t *Tensor) Int64s() ([]int64, error) {
	if t.DType == Int64 {
		return Data[int64](t)
	}
	if t.DType.IsFloat() {
		return nil, fmt.Errorf("graph: tensor holds %s, not integers", t.DType)
	}
	f, err := t.Float64s()
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(f))
	for i, v := range f {
		out[i] = int64(v)
	}
	return out, nil
}

func reader(d DType) (func([]byte) float64, error) {
	le := binary.LittleEndian
	switch d {
	case Float:
		return func(b []byte) float64 { return float64(math.Float32frombits(le.Uint32(b))) }, nil
	case Double:
		return func(b []byte) float64 { return math.Float64frombits(le.Uint64(b)) }, nil
	case Float16:
		return func(b []byte) float64 { return float64(halfToFloat(le.Uint16(b))) }, nil
	case BFloat16:
		return func(b []byte) float64 { return float64(math.Float32frombits(uint32(le.Uint16(b)) << 16)) }, nil
	case Int8:
		return func(b []byte) float64 { return float64(int8(b[0])) }, nil
	case Uint8:
		return func(b []byte) float64 { return float64(b[0]) }, nil
	case Bool:
		return func(b []byte) float64 {
			if b[0] != 0 {
				return 1
			}
			return 0
		}, nil
	case Int16:
		return func(b []byte) float64 { return float64(int16(le.Uint16(b))) }, nil
	case Uint16:
		return func(b []byte) float64 { return float64(le.Uint16(b)) }, nil
	case Int32:
		return func(b []byte) float64 { return float64(int32(le.Uint32(b))) }, nil
	case Uint32:
		return func(b []byte) float64 { return float64(le.Uint32(b)) }, nil
	case Int64:
		return func(b []byte) float64 { return float64(int64(le.Uint64(b))) }, nil
	case Uint64:
		return func(b []byte) float64 { return float64(le.Uint64(b)) }, nil
	}
	return nil, fmt.Errorf("graph: elements of type %s can't be read as numbers", d)
}

// halfToFloat widens an IEEE 754 binary16 value.
func halfToFloat(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch {
	case exp == 31:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
	v := float32(frac) / (1 << 24)
	if sign != 0 {
		return -v
	}
	return v
}

// floatToHalf rounds to IEEE 754 binary16, ties to even.
func floatToHalf(v float64) uint16 {
	var sign uint16
	if math.Signbit(v) {
		sign = 1 << 15
	}
	v = math.Abs(v)
	switch {
	case v != v:
		return sign | 0x7e00
	case v >= 65520: // halfway between the largest finite value and the next power of two
		return sign | 0x7c00
	case v < 1.0/(1<<14): // subnormal: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(v*(1<<24)))
	}
	frac, exp := math.Frexp(v)                                                  // v = frac·2^exp with frac in [1/2, 1)
	return sign | (uint16(exp+13)<<10 + uint16(math.RoundToEven(frac*(1<<11)))) // the leading 1 carries into the exponent
}

// floatToBrain rounds to bfloat16, ties to even.
func floatToBrain(v float64) uint16 {
	b := math.Float32bits(float32(v))
	if v != v {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func dtypeOf[T Number]() DType {
	var v T
	switch any(v).(type) {
	case float32:
		return Float
	case float64:
		return Double
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	case bool:
		return Bool
	}
	panic(fmt.Sprintf("graph: no element type for %T", v))
}

// bytesOf views a slice as bytes. All platforms that onnxruntime supports are little-endian, which is ONNX's order.
func bytesOf[T Number](s []T) []byte {
	if len(s) == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}
