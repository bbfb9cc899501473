package runtime

import (
	"fmt"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/peftgraph/peftgraph/graph"
)

// element holds what needs a Go type per element type: the binding has one type for scalars and one for each kind of tensor
// that onnxruntime itself allocates.
type element struct {
	scalar func(t *graph.Tensor) (ort.Value, error)
	read   func(v ort.Value) (*graph.Tensor, bool)
}

var elements = map[graph.DType]element{
	graph.Float:  elementOf[float32](),
	graph.Double: elementOf[float64](),
	graph.Int8:   elementOf[int8](),
	graph.Int16:  elementOf[int16](),
	graph.Int32:  elementOf[int32](),
	graph.Int64:  elementOf[int64](),
	graph.Uint8:  elementOf[uint8](),
	graph.Uint16: elementOf[uint16](),
	graph.Uint32: elementOf[uint32](),
	graph.Uint64: elementOf[uint64](),
	graph.Bool:   elementOf[bool](),
}

func elementOf[T interface {
	graph.Number
	ort.TensorData
}]() element {
	return element{
		scalar: func(t *graph.Tensor) (ort.Value, error) {
			v, err := graph.Data[T](t)
			if err != nil {
				return nil, err
			}
			return ort.NewScalar(v[0])
		},
		read: func(v ort.Value) (*graph.Tensor, bool) {
			switch v := v.(type) {
			case *ort.Scalar[T]:
				return graph.Scalar(v.GetData()), true
			case *ort.Tensor[T]:
				return graph.TensorOf(v.GetShape(), v.GetData()), true
			}
			return nil, false
		},
	}
}

// newScalar makes a rank-0 value from one element's bytes; nil is zero.
func newScalar(dtype graph.DType, data []byte) (ort.Value, error) {
	e, ok := elements[dtype]
	if !ok {
		return nil, fmt.Errorf("scalars of type %s can't be run: use the shape [1]", dtype)
	}
	if data == nil {
		data = make([]byte, dtype.Size())
	}
	t, err := graph.NewTensor(dtype, []int64{}, data)
	if err != nil {
		return nil, err
	}
	return e.scalar(t)
}

// tensorOf returns the contents of a scalar, or of a tensor that onnxruntime allocated and the binding has copied into Go's
// memory. The value may be destroyed afterwards.
func tensorOf(v ort.Value, dtype graph.DType) (*graph.Tensor, error) {
	if e, ok := elements[dtype]; ok {
		if t, ok := e.read(v); ok {
			return t, nil
		}
	}
	return nil, fmt.Errorf("onnxruntime returned a %T, which can't be fetched", v)
}
