package refeval

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// opCase is one entry of testdata/ops/ops.json; make_ops.py tells where its outputs come from.
type opCase struct {
	Name, Op, Domain string
	Opset            int64
	Attrs            map[string]fixtureAttr
	Inputs, Outputs  []*fixture
}

type fixture struct {
	DType string
	Dims  []int64
	Data  []json.RawMessage // numbers, or "nan" and "inf" as strings
}

type fixtureAttr struct {
	Int     *int64
	Ints    []int64
	Float   *float32
	Floats  []float32
	String  *string
	Strings []string
	Tensor  *fixture
}

// viaFloat32 are operators that onnx's reference evaluator computes with float32 constants or tables whatever the input is.
var viaFloat32 = map[string]bool{"Erf": true, "Gelu": true, "HardSwish": true}

// TestOpsAgreeWithTheReferenceEvaluator covers operators as they are from opset 11 to 21, and onnxruntime's own.
func TestOpsAgreeWithTheReferenceEvaluator(t *testing.T) {
	data, err := os.ReadFile("testdata/ops/ops.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []opCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { c.run(t) })
	}
}

func (c opCase) run(t *testing.T) {
	g := graph.New("case")
	spec := graph.NodeSpec{Name: c.Name, Domain: c.Domain, Op: c.Op}
	for name, a := range c.Attrs {
		spec.Attrs = append(spec.Attrs, a.attr(t, name))
	}
	for k, o := range c.Outputs {
		name := ""
		if o != nil {
			name = "y" + strconv.Itoa(k)
		}
		spec.Outputs = append(spec.Outputs, name)
	}
	n, err := g.AddNode(spec)
	if err != nil {
		t.Fatal(err)
	}
	in := make([]*graph.Tensor, len(c.Inputs))
	for k, f := range c.Inputs {
		if f != nil {
			in[k] = f.tensor(t)
		}
	}
	got, err := EvalNode(n, c.Opset, in)
	if err != nil {
		t.Fatal(err)
	}
	for k, f := range c.Outputs {
		if f == nil {
			continue
		}
		want := f.tensor(t)
		tol := 1e-12
		if want.DType == graph.Float || viaFloat32[c.Op] {
			tol = 2e-6
		}
		graphtest.Close(t, got[k], want, tol, tol)
		if got[k].DType != want.DType {
			t.Errorf("output %d is %s, want %s", k, got[k].DType, want.DType)
		}
	}
}

func (a fixtureAttr) attr(t *testing.T, name string) graph.Attr {
	switch {
	case a.Int != nil:
		return graph.IntAttr(name, *a.Int)
	case a.Ints != nil:
		return graph.IntsAttr(name, a.Ints...)
	case a.Float != nil:
		return graph.FloatAttr(name, *a.Float)
	case a.Floats != nil:
		return graph.Attr{Name: name, Kind: graph.AttrFloats, Floats: a.Floats}
	case a.String != nil:
		return graph.StringAttr(name, *a.String)
	case a.Tensor != nil:
		return graph.TensorAttr(name, a.Tensor.tensor(t))
	}
	t.Fatalf("attribute %q has no value", name)
	return graph.Attr{}
}

func (f *fixture) tensor(t *testing.T) *graph.Tensor {
	t.Helper()
	dtype, err := graph.ParseDType(f.DType)
	if err != nil {
		t.Fatal(err)
	}
	dims := make([]int, len(f.Dims))
	for k, d := range f.Dims {
		dims[k] = int(d)
	}
	out := newArray(dtype, dims)
	for k, raw := range f.Data {
		text := string(raw)
		if s, err := strconv.Unquote(text); err == nil {
			text = s
		}
		if out.isFloat() {
			out.f[k], err = strconv.ParseFloat(text, 64)
		} else {
			out.i[k], err = strconv.ParseInt(text, 10, 64)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out.tensor()
}

// TestExactValues pins in float64 what the fixtures give in float32 precision only.
func TestExactValues(t *testing.T) {
	p := compiled(t, `graph (x double[2]) => (erf, gelu, tanh, swish)
opset 20
erf = Erf(x)
gelu = Gelu(x)
tanh = Gelu(x) {approximate="tanh"}
swish = HardSwish(x)`)
	out := run(t, p, map[string]*graph.Tensor{"x": graph.TensorOf(nil, []float64{1, -2})}, "erf", "gelu", "tanh", "swish")
	for k, want := range [][]float64{
		{0.8427007929497149, -0.9953222650189527},
		{0.8413447460685429, -0.0455002638963584},
		{0.8411919906082767, -0.04540230591222498},
		{2. / 3, -1. / 3},
	} {
		graphtest.Close(t, out[k], graph.TensorOf(nil, want), 1e-14, 0)
	}
}

func TestIfReadsTheValuesAroundIt(t *testing.T) {
	g := graphtest.MustParse(t, "graph (x float[2], c bool[]) => ()\nopset 17\nd = Add(x, x)")
	branch := func(op string) *graph.Graph {
		b := graph.New(op)
		b.Opsets[""] = 17
		outer, err := b.AddOuter("d")
		if err != nil {
			t.Fatal(err)
		}
		n, err := b.AddNode(graph.NodeSpec{Op: op, Inputs: []*graph.Value{outer}, Outputs: []string{"out"}})
		if err != nil {
			t.Fatal(err)
		}
		b.AddOutput(n.Output(0))
		return b
	}
	n, err := g.AddNode(graph.NodeSpec{Op: "If", Inputs: []*graph.Value{g.Value("c")}, Outputs: []string{"y"}, Attrs: []graph.Attr{
		{Name: "then_branch", Kind: graph.AttrGraph, G: branch("Neg")}, {Name: "else_branch", Kind: graph.AttrGraph, G: branch("Exp")}}})
	if err != nil {
		t.Fatal(err)
	}
	n.AddCapture(g.Value("d"))
	g.SetOutputs(n.Output(0))
	p, err := New(g)
	if err != nil {
		t.Fatal(err)
	}
	x := graph.TensorOf(nil, []float64{1, 2})
	yes := run(t, p, map[string]*graph.Tensor{"x": x, "c": graph.Scalar(true)}, "y")[0]
	no := run(t, p, map[string]*graph.Tensor{"x": x, "c": graph.Scalar(false)}, "y")[0]
	graphtest.Close(t, yes, graph.TensorOf(nil, []float64{-2, -4}), 0, 0)
	graphtest.Close(t, no, graph.TensorOf(nil, []float64{math.Exp(2), math.Exp(4)}), 1e-15, 0)
}
