package onnxfile

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

// encodeValues returns the declarations of inputs or outputs, starting from those that the file had.
func (x *modelExtra) encodeValues(old []*onnxpb.ValueInfoProto, vs []*graph.Value) []*onnxpb.ValueInfoProto {
	byName := map[string]*onnxpb.ValueInfoProto{}
	for _, o := range old {
		byName[o.GetName()] = o
	}
	out := make([]*onnxpb.ValueInfoProto, len(vs))
	for i, v := range vs {
		switch {
		case i < len(old) && old[i].GetName() == v.Name():
			out[i] = old[i]
		case byName[v.Name()] != nil:
			out[i] = byName[v.Name()]
		default:
			name := v.Name()
			out[i] = &onnxpb.ValueInfoProto{Name: &name}
		}
		x.retype(out[i], v)
	}
	return out
}

// encodeValueInfo returns the file's value_info without the values that are gone.
func (x *modelExtra) encodeValueInfo(old []*onnxpb.ValueInfoProto, g *graph.Graph) []*onnxpb.ValueInfoProto {
	var out []*onnxpb.ValueInfoProto
	for _, o := range old {
		v := g.Value(o.GetName())
		if v != nil {
			x.retype(o, v)
		} else if !x.stray[o.GetName()] {
			continue
		}
		out = append(out, o)
	}
	return out
}

// appendInferred declares every value that a node computes, whose type is known and which isn't declared yet.
func appendInferred(out []*onnxpb.ValueInfoProto, g *graph.Graph) []*onnxpb.ValueInfoProto {
	declared := map[string]bool{}
	for _, o := range out {
		declared[o.GetName()] = true
	}
	for _, n := range g.Nodes() {
		for _, v := range n.Outputs() {
			if v == nil || declared[v.Name()] || v.IsOutput() || v.DType == graph.Undefined || v.Shape == nil {
				continue
			}
			name := v.Name()
			out = append(out, &onnxpb.ValueInfoProto{Name: &name, Type: encodeType(nil, v.DType, v.Shape)})
		}
	}
	return out
}

// retype makes p declare v's type, unless that is what it was when the file was read: a declaration may say more, or
// other, than a value's type holds.
func (x *modelExtra) retype(p *onnxpb.ValueInfoProto, v *graph.Value) {
	if was, ok := x.types[v.Name()]; ok && was.dtype == v.DType && sameShape(was.shape, v.Shape) {
		return
	}
	p.Type = encodeType(p.Type, v.DType, v.Shape)
}

// A valueType is what was known of a value once the file was read.
type valueType struct {
	dtype graph.DType
	shape graph.Shape
}

func sameShape(s, t graph.Shape) bool { return (s == nil) == (t == nil) && slices.Equal(s, t) }

// encodeType returns the message of a type. An unknown element type and dimensions that are the same stay as old has them. An
// unknown shape is not stated: who drops it means that what the file said no longer holds, and runtimes believe a file.
func encodeType(old *onnxpb.TypeProto, dtype graph.DType, shape graph.Shape) *onnxpb.TypeProto {
	if dtype == graph.Undefined {
		return old
	}
	if old == nil || old.GetTensorType() == nil {
		old = &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{}}}
	}
	tt := old.GetTensorType()
	put(&tt.ElemType, int32(dtype))
	if shape == nil {
		tt.Shape = nil
		return old
	}
	dims := make([]*onnxpb.TensorShapeProto_Dimension, len(shape))
	for i, d := range shape {
		if was := tt.GetShape().GetDim(); i < len(was) && decodeDim(was[i]) == d {
			dims[i] = was[i]
		} else {
			dims[i] = encodeDim(d)
		}
	}
	if tt.Shape == nil {
		tt.Shape = &onnxpb.TensorShapeProto{}
	}
	tt.Shape.Dim = dims
	return old
}

func encodeDim(d graph.Dim) *onnxpb.TensorShapeProto_Dimension {
	p := &onnxpb.TensorShapeProto_Dimension{}
	switch {
	case d.Sym != "":
		p.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d.Sym}
	case d.N >= 0:
		p.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d.N}
	}
	return p
}
