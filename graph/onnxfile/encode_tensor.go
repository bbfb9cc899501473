package onnxfile

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

// tensor returns the message of t, under the given name if that isn't "". what names the tensor in errors.
func (e *encoder) tensor(what, name string, t *graph.Tensor) (*body, error) {
	entries, err := e.place.place(t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	p, x := &onnxpb.TensorProto{}, extraOf(t)
	if x != nil {
		p = clone(x.proto)
	} else {
		dtype := int32(t.DType)
		p.Dims, p.DataType = t.Dims, &dtype
	}
	if name != "" {
		put(&p.Name, name)
	}
	b := &body{}
	if entries != nil {
		locate(p, entries)
		return b, b.proto(p)
	}
	if x.inline() {
		return b, b.proto(p)
	}
	p.DataLocation, p.ExternalData = nil, nil
	if err := b.proto(p); err != nil {
		return nil, err
	}
	size, err := tensorSize(t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	b.payload(x.payloadField(), t, size)
	return b, nil
}

// inline reports whether the message holds the elements itself.
func (x *tensorExtra) inline() bool {
	return x != nil && x.field == 0 && x.proto.GetDataLocation() != onnxpb.TensorProto_EXTERNAL
}

// payloadField returns the field that the elements go to, the one they came from where there is one.
func (x *tensorExtra) payloadField() protowire.Number {
	if x == nil || x.field == 0 {
		return tensorRawData
	}
	return x.field
}

// locate makes p say that its elements are where entries say. Entries that say so already stay as they are.
func locate(p *onnxpb.TensorProto, entries []*onnxpb.StringStringEntryProto) {
	if p.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		have, err1 := parseEntries(p.ExternalData)
		want, err2 := parseEntries(entries)
		if have.length < 0 {
			have.length = want.length
		}
		if err1 == nil && err2 == nil && have == want {
			return
		}
	}
	external := onnxpb.TensorProto_EXTERNAL
	p.DataLocation, p.ExternalData = &external, entries
	p.RawData, p.FloatData, p.DoubleData = nil, nil, nil
	p.Int32Data, p.Int64Data, p.Uint64Data = nil, nil, nil
}

// tensorSize returns how many bytes t has, without reading them.
func tensorSize(t *graph.Tensor) (int64, error) {
	if r := t.Ref(); r != nil {
		return r.Length, nil
	}
	if t.DType == graph.String {
		return 0, errors.New("a string tensor can be kept from a file, but not made")
	}
	b, err := t.Bytes()
	return int64(len(b)), err
}
