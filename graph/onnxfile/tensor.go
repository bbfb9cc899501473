package onnxfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

// tensorExtra is the Extra of a tensor that was read. It makes sure that an unchanged tensor is written as it was.
type tensorExtra struct {
	proto *onnxpb.TensorProto // without the payload, when field is set
	field protowire.Number    // the field of the payload that was split off, or 0
}

// tensor makes the tensor that p describes. Its bytes stay in the file when they were split off or are external.
func (d *decoder) tensor(p *tensorParts) (*graph.Tensor, error) {
	r := p.rest
	if r.Segment != nil {
		return nil, errors.New("tensors in segments are not supported")
	}
	dtype, dims := graph.DType(r.GetDataType()), r.Dims
	if dims == nil {
		dims = []int64{}
	}
	var t *graph.Tensor
	var err error
	switch {
	case r.GetDataLocation() == onnxpb.TensorProto_EXTERNAL:
		t, err = d.external(r, dtype, dims)
	case p.field != 0 && !holds(p.field, dtype):
		err = fmt.Errorf("%s elements are in a field for another type", dtype)
	case p.field != 0 && d.src != nil:
		t, err = graph.NewRefTensor(dtype, dims, graph.Ref{File: d.src, Offset: p.at.off, Length: int64(len(p.at.data))})
	case p.field != 0:
		t, err = graph.NewTensor(dtype, dims, p.at.data)
	default:
		t, err = graph.NewTensor(dtype, dims, payload(r, dtype))
	}
	if err != nil {
		return nil, err
	}
	t.Extra = &tensorExtra{r, p.field}
	return t, nil
}

// holds reports whether a field split off holds elements of dtype.
func holds(field protowire.Number, dtype graph.DType) bool {
	switch field {
	case tensorFloatData:
		return dtype == graph.Float || dtype == graph.Complex64
	case tensorDoubleData:
		return dtype == graph.Double || dtype == graph.Complex128
	}
	return dtype != graph.String
}

// payload returns the little-endian bytes of a tensor that is decoded whole, from whichever field has them. For strings
// and types of no whole-byte size it returns what raw_data has; the rest stays in the message.
func payload(p *onnxpb.TensorProto, dtype graph.DType) []byte {
	if p.RawData != nil {
		return p.RawData
	}
	le := binary.LittleEndian
	var out []byte
	switch dtype {
	case graph.Float, graph.Complex64:
		for _, v := range p.FloatData {
			out = le.AppendUint32(out, math.Float32bits(v))
		}
	case graph.Double, graph.Complex128:
		for _, v := range p.DoubleData {
			out = le.AppendUint64(out, math.Float64bits(v))
		}
	case graph.Int64:
		for _, v := range p.Int64Data {
			out = le.AppendUint64(out, uint64(v))
		}
	case graph.Uint64:
		for _, v := range p.Uint64Data {
			out = le.AppendUint64(out, v)
		}
	case graph.Uint32:
		for _, v := range p.Uint64Data {
			out = le.AppendUint32(out, uint32(v))
		}
	default:
		for _, v := range p.Int32Data {
			switch dtype.Size() {
			case 1:
				out = append(out, byte(v))
			case 2:
				out = le.AppendUint16(out, uint16(v))
			case 4:
				out = le.AppendUint32(out, uint32(v))
			}
		}
	}
	return out
}

// extraOf returns what t was read from, when it still describes t.
func extraOf(t *graph.Tensor) *tensorExtra {
	x, ok := t.Extra.(*tensorExtra)
	if !ok || graph.DType(x.proto.GetDataType()) != t.DType || !slices.Equal(x.proto.Dims, t.Dims) {
		return nil
	}
	return x
}
