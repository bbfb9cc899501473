package graph

import "fmt"

// DType is an element type; the values are those of ONNX's TensorProto.DataType.
type DType int32

// The element types of ONNX, IR version 10.
const (
	Undefined  DType = 0
	Float      DType = 1
	Uint8      DType = 2
	Int8       DType = 3
	Uint16     DType = 4
	Int16      DType = 5
	Int32      DType = 6
	Int64      DType = 7
	String     DType = 8
	Bool       DType = 9
	Float16    DType = 10
	Double     DType = 11
	Uint32     DType = 12
	Uint64     DType = 13
	Complex64  DType = 14
	Complex128 DType = 15
	BFloat16   DType = 16
)

var dtypeNames = map[DType]string{
	Undefined: "undefined", Float: "float", Uint8: "uint8", Int8: "int8", Uint16: "uint16", Int16: "int16", Int32: "int32",
	Int64: "int64", String: "string", Bool: "bool", Float16: "float16", Double: "double", Uint32: "uint32", Uint64: "uint64",
	Complex64: "complex64", Complex128: "complex128", BFloat16: "bfloat16",
}

var dtypeSizes = map[DType]int64{
	Float: 4, Uint8: 1, Int8: 1, Uint16: 2, Int16: 2, Int32: 4, Int64: 8, Bool: 1, Float16: 2, Double: 8, Uint32: 4,
	Uint64: 8, Complex64: 8, Complex128: 16, BFloat16: 2,
}

// String returns ONNX's lower-case name of the type, "float" for FLOAT; a type this package does not know prints as "dtype(N)".
func (d DType) String() string {
	if s, ok := dtypeNames[d]; ok {
		return s
	}
	return fmt.Sprintf("dtype(%d)", int32(d))
}

// ParseDType is the inverse of [DType.String].
func ParseDType(name string) (DType, error) {
	for d, s := range dtypeNames {
		if s == name && d != Undefined {
			return d, nil
		}
	}
	return Undefined, fmt.Errorf("graph: element type %q: not an ONNX type", name)
}

// Size returns the bytes one element takes, or 0 for types without a fixed whole-byte size (strings, packed 4-bit types).
func (d DType) Size() int64 { return dtypeSizes[d] }

// IsFloat reports whether gradients can flow through values of this type.
func (d DType) IsFloat() bool {
	return d == Float || d == Double || d == Float16 || d == BFloat16
}
