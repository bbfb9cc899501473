package onnxfile

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

// The functions below write messages down briefly.

func protoModel(g *onnxpb.GraphProto) *onnxpb.ModelProto {
	return &onnxpb.ModelProto{
		IrVersion: proto.Int64(8), ProducerName: proto.String("test"), Graph: g,
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}},
	}
}

func protoNode(op, name string, in, out []string, attrs ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: &op, Name: &name, Input: in, Output: out, Attribute: attrs}
}

func names(s ...string) []string { return s }

// protoValue declares a float tensor; the dimensions are numbers, names, or nil for unknown ones.
func protoValue(name string, dims ...any) *onnxpb.ValueInfoProto {
	shape := &onnxpb.TensorShapeProto{}
	for _, d := range dims {
		p := &onnxpb.TensorShapeProto_Dimension{}
		switch d := d.(type) {
		case int:
			p.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}
		case string:
			p.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d}
		}
		shape.Dim = append(shape.Dim, p)
	}
	return &onnxpb.ValueInfoProto{Name: &name, Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
		TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(1), Shape: shape}}}}
}

func protoTensor(name string, dtype graph.DType, raw []byte, dims ...int64) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{Name: &name, DataType: proto.Int32(int32(dtype)), Dims: dims, RawData: raw}
}

// marshal encodes a message as other writers do, in the order of field numbers.
func encoded(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stored writes the model as name into a new folder and returns its path.
func stored(t *testing.T, m *onnxpb.ModelProto) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.onnx")
	writeFile(t, path, encoded(t, m))
	return path
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

func mustLoad(t *testing.T, path string) *graph.Graph {
	t.Helper()
	g, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// unknown returns an encoded field that no message of ONNX has.
func unknown(text string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 4711, protowire.BytesType), text)
}

// weights is a tensor large enough to stay in its file.
func weights(name string, fill byte) *onnxpb.TensorProto {
	raw := make([]byte, 4*32*32)
	for i := range raw {
		raw[i] = fill + byte(i/7)
	}
	return protoTensor(name, graph.Float, raw, 32, 32)
}

// dense is y = x·w + b with a w that stays in the file.
func dense() *onnxpb.ModelProto {
	return protoModel(&onnxpb.GraphProto{
		Name:        proto.String("dense"),
		Input:       []*onnxpb.ValueInfoProto{protoValue("x", "batch", 32)},
		Output:      []*onnxpb.ValueInfoProto{protoValue("y", "batch", 32)},
		ValueInfo:   []*onnxpb.ValueInfoProto{protoValue("h", "batch", 32)},
		Initializer: []*onnxpb.TensorProto{weights("w", 1), protoTensor("b", graph.Float, make([]byte, 128), 32)},
		Node: []*onnxpb.NodeProto{
			protoNode("MatMul", "mm", names("x", "w"), names("h")),
			protoNode("Add", "add", names("h", "b"), names("y")),
		},
	})
}
