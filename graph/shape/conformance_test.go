package shape_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx" // registers the official operator tests
	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"gorgonia.org/tensor"
)

// dataDependent are operators whose output's size depends on more than int64 inputs; OneHot's depth may be of any type.
var dataDependent = []string{"NonZero", "OneHot"}

// compareOutput checks that what was inferred of v is what it has, and that all of it was inferred.
func compareOutput(t *testing.T, v *graph.Value, dtype graph.DType, dims []int64) {
	t.Helper()
	if v.DType != dtype {
		t.Errorf("%s, it is %s", v, dtype)
	}
	if !v.Shape.Compatible(graph.ShapeOf(dims...)) {
		t.Errorf("%s, its dimensions are %v", v, dims)
	}
	if got, ok := v.Shape.Dims(); (!ok || !slices.Equal(got, dims)) && !slices.Contains(dataDependent, v.Producer().Op) {
		t.Errorf("%s is not known in full, its dimensions are %v", v, dims)
	}
}

// fixture is a tensor as refeval's test data have it, made with onnx's reference evaluator.
type fixture struct {
	DType string
	Dims  []int64
	Data  []json.RawMessage
}

func (f *fixture) dtype(t *testing.T) graph.DType {
	t.Helper()
	d, err := graph.ParseDType(f.DType)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// addTo adds the tensor to a graph: integers as constants, since shapes may depend on them, everything else as inputs.
func (f *fixture) addTo(t *testing.T, g *graph.Graph, name string) *graph.Value {
	t.Helper()
	dtype := f.dtype(t)
	var v *graph.Value
	var err error
	if dtype == graph.Int64 {
		data := make([]int64, len(f.Data))
		for i, raw := range f.Data {
			if err := json.Unmarshal(raw, &data[i]); err != nil {
				t.Fatal(err)
			}
		}
		v, err = g.AddInitializer(name, graph.TensorOf(append([]int64{}, f.Dims...), data))
	} else {
		v, err = g.AddInput(name, dtype, graph.ShapeOf(f.Dims...))
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type opCase struct {
	Name, Op, Domain string
	Opset            int64
	Attrs            map[string]struct {
		Int     *int64
		Ints    []int64
		Float   *float32
		Floats  []float32
		String  *string
		Strings []string
		Tensor  *fixture
	}
	Inputs, Outputs []*fixture
}

// graph builds a graph of the case's one node.
func (c *opCase) graph(t *testing.T) *graph.Node {
	t.Helper()
	g := graph.New("case")
	g.Opsets[""], g.Opsets[c.Domain] = c.Opset, c.Opset
	spec := graph.NodeSpec{Name: c.Name, Domain: c.Domain, Op: c.Op}
	for name, a := range c.Attrs {
		switch {
		case a.Int != nil:
			spec.Attrs = append(spec.Attrs, graph.IntAttr(name, *a.Int))
		case a.Ints != nil:
			spec.Attrs = append(spec.Attrs, graph.IntsAttr(name, a.Ints...))
		case a.Float != nil:
			spec.Attrs = append(spec.Attrs, graph.FloatAttr(name, *a.Float))
		case a.Floats != nil:
			spec.Attrs = append(spec.Attrs, graph.Attr{Name: name, Kind: graph.AttrFloats, Floats: a.Floats})
		case a.String != nil:
			spec.Attrs = append(spec.Attrs, graph.StringAttr(name, *a.String))
		case a.Tensor != nil:
			dtype := a.Tensor.dtype(t)
			size := dtype.Size()
			for _, d := range a.Tensor.Dims {
				size *= d
			}
			x, err := graph.NewTensor(dtype, a.Tensor.Dims, make([]byte, size))
			if err != nil {
				t.Fatal(err)
			}
			spec.Attrs = append(spec.Attrs, graph.TensorAttr(name, x))
		}
	}
	for i, f := range c.Inputs {
		var v *graph.Value
		if f != nil {
			v = f.addTo(t, g, fmt.Sprint("x", i))
		}
		spec.Inputs = append(spec.Inputs, v)
	}
	for i, f := range c.Outputs {
		name := ""
		if f != nil {
			name = fmt.Sprint("y", i)
		}
		spec.Outputs = append(spec.Outputs, name)
	}
	n, err := g.AddNode(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := shape.Infer(g); err != nil {
		t.Fatal(err)
	}
	return n
}

func opCases(t *testing.T) []opCase {
	t.Helper()
	data, err := os.ReadFile("../refeval/testdata/ops/ops.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []opCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// TestOps infers single nodes and compares with what onnx's reference evaluator and onnxruntime computed.
func TestOps(t *testing.T) {
	for _, c := range opCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			n := c.graph(t)
			for i, f := range c.Outputs {
				if f != nil {
					compareOutput(t, n.Output(i), f.dtype(t), f.Dims)
				}
			}
		})
	}
}

// TestOfficialOperatorTests infers the official ONNX operator tests that onnx-go carries, opsets 6 to 10, whose declared
// outputs are taken away first.
func TestOfficialOperatorTests(t *testing.T) {
	ran := 0
	for _, build := range testbackend.FindAllTestsMatching(regexp.MustCompile("")) {
		tc := build()
		g, err := onnxfile.Unmarshal(tc.ModelB, "")
		if err != nil {
			t.Fatal(err)
		}
		want := forgetOutputs(g)
		freezeIntegers(t, g, tc.Input)
		t.Run(tc.Title, func(t *testing.T) {
			info, err := shape.Analyse(g)
			if err != nil {
				t.Fatal(err)
			}
			if len(info.Unknown()) > 0 {
				return // an operator that no BERT has, such as Conv
			}
			ran++
			for i, o := range g.Outputs() {
				dims, _ := want[i].Shape.Dims()
				compareOutput(t, o, want[i].DType, dims)
			}
		})
	}
	if t.Logf("%d official tests ran", ran); ran < 250 {
		t.Errorf("only %d official tests ran", ran)
	}
}

// forgetOutputs returns the declared types of the outputs and takes them off.
func forgetOutputs(g *graph.Graph) []graph.Value {
	var want []graph.Value
	for _, o := range g.Outputs() {
		want = append(want, graph.Value{DType: o.DType, Shape: o.Shape})
		o.DType, o.Shape = graph.Undefined, nil
	}
	return want
}

// freezeIntegers makes constants of integer inputs, since shapes may depend on them. onnx-go carries each tensor of one element
// as a float.
func freezeIntegers(t *testing.T, g *graph.Graph, inputs []tensor.Tensor) {
	t.Helper()
	for i, v := range slices.Clone(g.Inputs()) {
		dims, ok := v.Shape.Dims()
		if v.DType != graph.Int64 || !ok {
			continue
		}
		var data []int64
		switch x := inputs[i].Data().(type) {
		case []int64:
			data = x
		case float32:
			data = []int64{int64(x)}
		default:
			t.Fatalf("input %s is a %T", v, x)
		}
		if _, err := g.AddInitializer(v.Name(), graph.TensorOf(dims, data)); err != nil {
			t.Fatal(err)
		}
		if err := g.RemoveInput(v); err != nil {
			t.Fatal(err)
		}
	}
}

// definitions are operators that refeval doesn't compute or whose results are random, with what their definitions say.
var definitions = []struct{ text, want string }{
	{"y = RandomNormal() {shape=[2,3]}", "float[2,3]"},
	{"y = RandomUniform() {shape=[2,3], dtype=11}", "double[2,3]"},
	{"y = RandomNormalLike(x)", "float[batch,4,8]"},
	{"y = RandomUniformLike(x) {dtype=11}", "double[batch,4,8]"},
	{"y = Bernoulli(x) {dtype=9}", "bool[batch,4,8]"},
	{"y, s, z = DynamicQuantizeLinear(x)", "uint8[batch,4,8]"},
	{"q, y, z = DynamicQuantizeLinear(x)", "float[]"},
	{"q = QuantizeLinear(x, scale, zero)\ny = DequantizeLinear(q, scale, zero)", "float[batch,4,8]"},
	{"y = QuantizeLinear(x, scale, zero)", "int8[batch,4,8]"},
	{"q, s, z = DynamicQuantizeLinear(x)\ny = MatMulInteger(q, w8, z)", "int32[batch,4,3]"},
	{"y = com.microsoft.DynamicQuantizeMatMul(x, w8, scale)", "float[batch,4,3]"},
	{"y = com.microsoft.MatMulNBits(x, blocks, scale) {K=8, N=3, bits=4, block_size=16}", "float[batch,4,3]"},
	{"y = com.microsoft.MultiHeadAttention(x, x, x) {num_heads=2}", "float[batch,4,8]"},
}

func TestDefinitions(t *testing.T) {
	for _, c := range definitions {
		g := graphtest.MustParse(t, definition(c.text))
		if err := shape.Infer(g); err != nil {
			t.Errorf("%v\n%s", err, g)
		}
		y := g.Value("y")
		if got := y.DType.String() + y.Shape.String(); got != c.want {
			t.Errorf("%s computes %s, want %s", y.Producer(), got, c.want)
		}
	}
}

// definition completes the text of a graph.
func definition(nodes string) string {
	return `graph "t" (x float[batch,4,8]) => (y undefined[...])
opset 21
opset com.microsoft 1
init scale float[] = [0.5]
init zero int8[] = [1]
init w8 uint8[8,3]
init blocks uint8[3,1,8]
` + strings.ReplaceAll(nodes, "\n", " \"\"\n") + ` ""
`
}

// Every rule must have been compared with something that ran: here, or in the files of exporters.
func TestEveryRuleIsCovered(t *testing.T) {
	seen := map[string]bool{}
	see := func(n *graph.Node) {
		name := n.Op
		if n.Domain != "" {
			name = n.Domain + "." + n.Op
		}
		seen[name] = true
	}
	for _, c := range opCases(t) {
		see(&graph.Node{Domain: c.Domain, Op: c.Op})
	}
	for _, build := range testbackend.FindAllTestsMatching(regexp.MustCompile("")) {
		g, err := onnxfile.Unmarshal(build().ModelB, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range g.Nodes() {
			see(n)
		}
	}
	for _, file := range exporterFiles(t) {
		g, _ := load(t, file)
		for _, n := range g.Nodes() {
			see(n)
		}
	}
	for _, c := range definitions {
		for _, n := range graphtest.MustParse(t, definition(c.text)).Nodes() {
			see(n)
		}
	}
	for _, name := range shape.Names() {
		if !seen[name] {
			t.Errorf("the rule of %s is compared with nothing", name)
		}
	}
}
