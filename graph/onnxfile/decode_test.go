package onnxfile

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

// everything has each thing that a model can hold and the representation doesn't model, unknown fields at every level.
func everything() *onnxpb.ModelProto {
	m := dense()
	g := m.Graph
	doc := proto.String("a doc string")
	kv := func() []*onnxpb.StringStringEntryProto {
		return []*onnxpb.StringStringEntryProto{entry("k", "v"), entry("k", "v")}
	}
	m.Domain, m.ModelVersion, m.DocString, m.ProducerVersion = proto.String("org.example"), proto.Int64(3), doc, proto.String("")
	m.MetadataProps = kv()
	m.Configuration = []*onnxpb.DeviceConfigurationProto{{Name: proto.String("two"), NumDevices: proto.Int32(2)}}
	m.Functions = []*onnxpb.FunctionProto{{Name: proto.String("f"), Domain: proto.String("org.example"), Input: names("a"), Output: names("b"),
		Attribute: names("alpha"), Node: []*onnxpb.NodeProto{protoNode("LeakyRelu", "", names("a"), names("b"),
			&onnxpb.AttributeProto{Name: proto.String("alpha"), RefAttrName: proto.String("alpha")})}}}
	m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("org.example"), Version: proto.Int64(1)})
	m.TrainingInfo = []*onnxpb.TrainingInfoProto{{Algorithm: &onnxpb.GraphProto{Initializer: []*onnxpb.TensorProto{weights("lr", 9)}}}}
	g.DocString, g.MetadataProps = doc, kv()
	g.QuantizationAnnotation = []*onnxpb.TensorAnnotation{{TensorName: proto.String("w"), QuantParameterTensorNames: kv()}}
	g.SparseInitializer = []*onnxpb.SparseTensorProto{{Values: protoTensor("s", graph.Float, make([]byte, 4), 1),
		Indices: protoTensor("", graph.Int64, make([]byte, 8), 1), Dims: []int64{5}}}
	g.ValueInfo = append(g.ValueInfo, protoValue("nowhere", 1), protoValue("w", nil, "n"))
	g.ValueInfo[0].Type.GetTensorType().Shape.Dim[0].Denotation = proto.String("DATA_BATCH")
	g.Input = append(g.Input, &onnxpb.ValueInfoProto{Name: proto.String("seq"), DocString: doc, Type: &onnxpb.TypeProto{
		Denotation: proto.String("IMAGE"), Value: &onnxpb.TypeProto_SequenceType{SequenceType: &onnxpb.TypeProto_Sequence{ElemType: protoValue("", 2).Type}}}},
		protoValue("b", 32), &onnxpb.ValueInfoProto{Name: proto.String("untyped")})
	g.Output = append(g.Output, protoValue("w", 32, "other"), protoValue("x", nil, nil))
	g.Node[0].DocString, g.Node[0].Overload, g.Node[0].MetadataProps = doc, proto.String("o"), kv()
	g.Node[0].DeviceConfigurations = []*onnxpb.NodeDeviceConfigurationProto{{ConfigurationId: proto.String("two")}}
	g.Node[1].Attribute = []*onnxpb.AttributeProto{
		{Name: proto.String("sparse"), Type: onnxpb.AttributeProto_SPARSE_TENSOR.Enum(), SparseTensor: g.SparseInitializer[0]},
		{Name: proto.String("type"), Type: onnxpb.AttributeProto_TYPE_PROTO.Enum(), Tp: g.Input[1].Type, DocString: doc},
		{Name: proto.String("f"), Type: onnxpb.AttributeProto_FLOAT.Enum(), F: proto.Float32(float32(math.NaN()))},
		{Name: proto.String("zero"), Type: onnxpb.AttributeProto_INT.Enum()},
		{Name: proto.String("empty"), Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte{}},
		{Name: proto.String("bytes"), Type: onnxpb.AttributeProto_STRINGS.Enum(), Strings: [][]byte{{0xff, 0}, {}}},
		{Name: proto.String("t"), Type: onnxpb.AttributeProto_TENSOR.Enum(), T: weights("inner", 3)},
		{Name: proto.String("ts"), Type: onnxpb.AttributeProto_TENSORS.Enum(), Tensors: []*onnxpb.TensorProto{weights("", 4), weights("", 5)}},
	}
	g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String("f"), Domain: proto.String("org.example"), Input: names("y", "", "x", ""), Output: names("", "z")},
		&onnxpb.NodeProto{OpType: proto.String("Erf"), Domain: proto.String("ai.onnx"), Input: names("z"), Output: names("e")})
	g.Initializer[0].DocString, g.Initializer[0].MetadataProps = doc, kv()
	for i, x := range []proto.Message{m, g, g.Node[0], g.Node[1].Attribute[6], g.Node[1].Attribute[6].T, g.Initializer[0], g.Initializer[1],
		g.Input[0], g.Input[0].Type, m.OpsetImport[1], m.MetadataProps[1], m.Functions[0]} {
		x.ProtoReflect().SetUnknown(unknown(fmt.Sprint("here ", i)))
	}
	return m
}

func TestNothingIsLost(t *testing.T) {
	m := everything()
	want := encoded(t, m)
	g := mustLoad(t, stored(t, m))
	if g.Opset() != 17 || g.Value("e").Producer().Domain != "" {
		t.Errorf("opset %d, domain %q", g.Opset(), g.Value("e").Producer().Domain)
	}
	if n := g.Value("z").Producer(); len(n.Inputs()) != 4 || n.Input(1) != nil || n.Input(3) != nil || n.Output(0) != nil {
		t.Errorf("absent inputs and outputs of %s: %v, %v", n, n.Inputs(), n.Outputs())
	}
	if v := g.Value("b"); !v.IsInput() || v.Init() == nil || v.Const() != nil {
		t.Error("an input with an initializer is an input with a default")
	}
	got, err := Marshal(g.Clone(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, want, got)
	again, err := Unmarshal(got, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err = Marshal(again, Options{}); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, want, got)
}

func TestTypedFields(t *testing.T) {
	half := func(dtype graph.DType, vs ...int32) *onnxpb.TensorProto {
		p := protoTensor("", dtype, nil, int64(len(vs)))
		p.Int32Data = vs
		return p
	}
	float, double, long, uint := protoTensor("", graph.Float, nil, 2), protoTensor("", graph.Double, nil, 2), protoTensor("", graph.Int64, nil, 2), protoTensor("", graph.Uint32, nil, 2)
	float.FloatData, double.DoubleData, long.Int64Data, uint.Uint64Data = []float32{1.5, -2}, []float64{1.5, -2}, []int64{-3, 1 << 40}, []uint64{7, 1 << 31}
	for _, c := range []struct {
		p    *onnxpb.TensorProto
		want []float64
	}{
		{float, []float64{1.5, -2}}, {double, []float64{1.5, -2}}, {long, []float64{-3, 1 << 40}}, {uint, []float64{7, 1 << 31}},
		{half(graph.Int32, -1, 70000), []float64{-1, 70000}}, {half(graph.Int16, -5, 300), []float64{-5, 300}},
		{half(graph.Uint16, 65535), []float64{65535}}, {half(graph.Int8, -128, 5), []float64{-128, 5}},
		{half(graph.Uint8, 255), []float64{255}}, {half(graph.Bool, 1, 0), []float64{1, 0}},
		{half(graph.Float16, 0x3c00, 0xc000), []float64{1, -2}}, {half(graph.BFloat16, 0x3f80), []float64{1}},
	} {
		m := dense()
		c.p.Name = proto.String("extra")
		m.Graph.Initializer = append(m.Graph.Initializer, c.p)
		g, err := Unmarshal(encoded(t, m), "")
		if err != nil {
			t.Fatal(err)
		}
		tensor := g.Value("extra").Init()
		if got, err := tensor.Float64s(); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", tensor.DType, got, err, c.want)
		}
		got, err := Marshal(g, Options{})
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, encoded(t, m), got)
	}
}

func TestLargeTypedFieldsStayInTheFile(t *testing.T) {
	m := dense()
	p := protoTensor("big", graph.Float, nil, 512)
	for i := range 512 {
		p.FloatData = append(p.FloatData, float32(i))
	}
	strings := &onnxpb.TensorProto{Name: proto.String("text"), DataType: proto.Int32(int32(graph.String)), Dims: []int64{2}, StringData: [][]byte{[]byte("a"), {}}}
	m.Graph.Initializer = append(m.Graph.Initializer, p, strings)
	g := mustLoad(t, stored(t, m))
	big := g.Value("big").Init()
	if r := big.Ref(); r == nil || r.Length != 2048 {
		t.Fatalf("reference %v", r)
	}
	if f, err := graph.Data[float32](big); err != nil || f[511] != 511 {
		t.Errorf("%v, %v", f, err)
	}
	got, err := Marshal(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, encoded(t, m), got)
	unpacked := slices.Clone(encoded(t, protoTensor("big", graph.Float, nil, 512)))
	for i := range 512 {
		unpacked = protowire.AppendFixed32(protowire.AppendTag(unpacked, tensorFloatData, protowire.Fixed32Type), math.Float32bits(float32(i)))
	}
	parts, err := splitTensor(span{data: unpacked})
	if err != nil || parts.field != 0 || len(parts.rest.FloatData) != 512 {
		t.Errorf("unpacked elements: field %d, %d elements, %v", parts.field, len(parts.rest.FloatData), err)
	}
}

// branches is an If whose branches read outer values, one of them from two levels down.
func branches() *onnxpb.ModelProto {
	sub := func(name string, nodes ...*onnxpb.NodeProto) *onnxpb.GraphProto {
		return &onnxpb.GraphProto{Name: &name, Node: nodes, Output: []*onnxpb.ValueInfoProto{{Name: &nodes[len(nodes)-1].Output[0]}}}
	}
	attr := func(name string, g *onnxpb.GraphProto) *onnxpb.AttributeProto {
		return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_GRAPH.Enum(), G: g}
	}
	inner := sub("inner", protoNode("Add", "", names("h", "t"), names("i")))
	inner.Initializer = []*onnxpb.TensorProto{weights("unused", 8)}
	m := dense()
	m.Graph.Input = append(m.Graph.Input, &onnxpb.ValueInfoProto{Name: proto.String("cond")})
	m.Graph.Node = append(m.Graph.Node, protoNode("If", "if", names("cond"), names("z"),
		attr("then_branch", sub("then", protoNode("Neg", "", names("y"), names("t")),
			protoNode("If", "nested", names("cond"), names("u"), attr("then_branch", inner), attr("else_branch", sub("same", protoNode("Neg", "", names("t"), names("v"))))))),
		attr("else_branch", sub("else", protoNode("Identity", "", names("y"), names("w2"))))))
	return m
}

func TestSubgraphsCaptureOuterValues(t *testing.T) {
	m := branches()
	g := mustLoad(t, stored(t, m))
	n := g.Value("z").Producer()
	var got []string
	for _, v := range n.Captures() {
		got = append(got, v.Name())
	}
	if slices.Sort(got); !slices.Equal(got, names("cond", "h", "y")) {
		t.Errorf("captures %q", got)
	}
	then := n.Attr("then_branch").G
	if v := then.Value("h"); v == nil || !v.IsOuter() || then.Value("t").IsOuter() {
		t.Error("the middle graph passes h on and defines t")
	}
	if err := check(g); err != nil {
		t.Error(err)
	}
	out, err := Marshal(g.Clone(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, encoded(t, m), out)
}

func TestUnsortedNodesAreSorted(t *testing.T) {
	m := dense()
	slices.Reverse(m.Graph.Node)
	g := mustLoad(t, stored(t, m))
	if g.Nodes()[0].Op != "MatMul" {
		t.Errorf("first node %s", g.Nodes()[0])
	}
}

func TestBadModels(t *testing.T) {
	with := func(change func(*onnxpb.ModelProto)) []byte {
		m := dense()
		change(m)
		return encoded(t, m)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":          {nil, "not an ONNX model"},
		"text":           {[]byte("hello, this is no model"), "not an ONNX model"},
		"html":           {[]byte("<!DOCTYPE html><html></html>"), "not an ONNX model"},
		"another proto":  {encoded(t, entry("a", "b")), "not an ONNX model"},
		"truncated":      {encoded(t, dense())[:2000], "truncated"},
		"no graph":       {with(func(m *onnxpb.ModelProto) { m.Graph = nil }), "no graph"},
		"no opset":       {with(func(m *onnxpb.ModelProto) { m.OpsetImport = nil }), "no opset_import"},
		"twin outputs":   {with(func(m *onnxpb.ModelProto) { m.Graph.Node[1].Output[0] = "h" }), `output "h": the name is taken`},
		"twin inputs":    {with(func(m *onnxpb.ModelProto) { m.Graph.Input = append(m.Graph.Input, protoValue("x")) }), `input "x": the name is taken`},
		"twin weights":   {with(func(m *onnxpb.ModelProto) { m.Graph.Initializer[1].Name = proto.String("w") }), `initializer "w": the name is taken`},
		"undefined":      {with(func(m *onnxpb.ModelProto) { m.Graph.Node[0].Input[1] = "ww" }), `node MatMul "mm": input 1, "ww": nothing defines it`},
		"no such output": {with(func(m *onnxpb.ModelProto) { m.Graph.Output[0].Name = proto.String("q") }), `output "q": nothing defines it`},
		"cycle":          {with(func(m *onnxpb.ModelProto) { m.Graph.Node[0].Input[0] = "y" }), "cycle"},
		"wrong size":     {with(func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Dims[0] = 31 }), `initializer "w": graph: tensor float[31 32] needs`},
		"negative dim":   {with(func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Dims[0] = -1 }), "negative"},
		"other type": {with(func(m *onnxpb.ModelProto) {
			m.Graph.Input = append(m.Graph.Input, protoValue("w", 32, 32))
			m.Graph.Initializer[0].DataType = proto.Int32(6)
		}), "holds int32"},
		"segment": {with(func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Segment = &onnxpb.TensorProto_Segment{} }), "segments"},
		"empty graph attribute": {with(func(m *onnxpb.ModelProto) {
			m.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("body"), Type: onnxpb.AttributeProto_GRAPH.Enum()}}
		}), `attribute "body": it has no value`},
		"external in memory": {with(func(m *onnxpb.ModelProto) { locate(m.Graph.Initializer[0], externalEntries("w", 0, 4096)) }), "in memory"},
	} {
		_, err := Unmarshal(c.data, "")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
		if e, ok := err.(*LoadError); !ok || e.Hint() == "" {
			t.Errorf("%s: %T without a hint", name, err)
		}
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.onnx"))
	var e *LoadError
	if !errors.As(err, &e) || !strings.HasPrefix(e.Hint(), "check the path") {
		t.Errorf("%v", err)
	}
}

func TestAnyTruncationIsAnError(t *testing.T) {
	data := encoded(t, dense())
	for n := range data {
		// A cut between two fields of the model leaves a model, with less in it.
		if g, err := Unmarshal(data[:n], ""); err == nil && g.Check() != nil {
			t.Fatalf("%d of %d bytes were accepted as a broken graph", n, len(data))
		}
	}
}
