package refeval

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/graphtest"
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
