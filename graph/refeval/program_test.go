package refeval

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

const linear = `graph "linear" (x float[batch,2], skip float[batch,2]) => (y float[batch,2])
opset 17
init w float[2,2] = [1,2,3,4]
init skip float[1,2] = [10,20]
xw = MatMul(x, w) "layer/MatMul"
y = Add(xw, skip) "layer/Add"
`

func compiled(t *testing.T, text string) *Program {
	t.Helper()
	p, err := New(graphtest.MustParse(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func run(t *testing.T, p *Program, feeds map[string]*graph.Tensor, fetches ...string) []*graph.Tensor {
	t.Helper()
	out, err := p.Run(context.Background(), feeds, fetches)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRunFeedsFetchesAndOverrides(t *testing.T) {
	p := compiled(t, strings.Replace(linear, "skip float[batch,2]", "skip float[?,2]", 1))
	third := 1. / 3
	x := graph.TensorOf([]int64{1, 2}, []float64{third, 1})
	out := run(t, p, map[string]*graph.Tensor{"x": x}, "y", "xw", "w")
	if out[0].DType != graph.Double {
		t.Errorf("a float output is %s, want double", out[0].DType)
	}
	graphtest.Close(t, out[0], graph.TensorOf([]int64{1, 2}, []float64{third + 13, 2*third + 24}), 1e-15, 0)
	graphtest.Close(t, out[1], graph.TensorOf([]int64{1, 2}, []float64{third + 3, 2*third + 4}), 1e-15, 0)
	graphtest.Close(t, out[2], graph.TensorOf([]int64{2, 2}, []float64{1, 2, 3, 4}), 0, 0)

	feeds := map[string]*graph.Tensor{"x": x, "skip": graph.TensorOf([]int64{1, 2}, []float32{0, 0}), "w": graph.TensorOf([]int64{2, 2}, []float64{0, third, 0, 0})}
	graphtest.Close(t, run(t, p, feeds, "y")[0], graph.TensorOf([]int64{1, 2}, []float64{0, third * third}), 1e-15, 0)
	graphtest.Close(t, run(t, p, map[string]*graph.Tensor{"x": x}, "y")[0], out[0], 0, 0)

	y := run(t, p.Declared(), map[string]*graph.Tensor{"x": x}, "y")[0]
	if f, err := graph.Data[float32](y); err != nil || f[0] != float32(third+13) {
		t.Errorf("declared output %v, %v", f, err)
	}
}

func TestRunErrorsSayWhere(t *testing.T) {
	p := compiled(t, linear)
	good := graph.TensorOf([]int64{1, 2}, []float64{1, 1})
	for _, c := range []struct {
		feeds map[string]*graph.Tensor
		fetch string
		want  string
	}{
		{nil, "y", `input "x" float[batch,2] is not fed (read by node MatMul "layer/MatMul")`},
		{map[string]*graph.Tensor{"x": graph.TensorOf([]int64{1, 3}, make([]float64, 3))}, "y", "shape [1 3]"},
		{map[string]*graph.Tensor{"x": graph.TensorOf([]int64{1, 2}, make([]int64, 2))}, "y", "int64, declared"},
		{map[string]*graph.Tensor{"x": nil}, "y", "no tensor"},
		{map[string]*graph.Tensor{"wx": good}, "y", `feed "wx"`},
		{map[string]*graph.Tensor{"x": good}, "z", `fetch "z"`},
		{map[string]*graph.Tensor{"x": good, "skip": graph.TensorOf([]int64{3, 2}, make([]float64, 6))}, "y", ""},
	} {
		_, err := p.Run(context.Background(), c.feeds, []string{c.fetch})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	wide := compiled(t, strings.ReplaceAll(linear, "init w float[2,2] = [1,2,3,4]", "init w float[3,2]"))
	if _, err := wide.Run(context.Background(), map[string]*graph.Tensor{"x": good}, []string{"y"}); err == nil || !strings.Contains(err.Error(), `MatMul "layer/MatMul"`) {
		t.Errorf("a product that doesn't fit: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Run(ctx, map[string]*graph.Tensor{"x": good}, []string{"y"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOnlyWhatAFetchNeedsIsComputed(t *testing.T) {
	p := compiled(t, "graph (x int64[], z int64[]) => (a int64[], b int64[])\nopset 13\na = Div(x, z)\nb = Neg(x)")
	feeds := map[string]*graph.Tensor{"x": graph.Scalar[int64](4), "z": graph.Scalar[int64](0)}
	if v, _ := run(t, p, feeds, "b")[0].Int64s(); v[0] != -4 {
		t.Errorf("b is %v", v)
	}
	if _, err := p.Run(context.Background(), feeds, []string{"a"}); err == nil || !strings.Contains(err.Error(), "division by zero") {
		t.Errorf("a: %v", err)
	}
}

func TestUnsupportedIsTyped(t *testing.T) {
	for _, text := range []string{
		"graph (x float[1]) => (y)\nopset 13\ny = Frobnicate(x) \"f\"",
		"graph (x float[1]) => (y)\nopset 13\ny = Gelu(x) \"f\"", // since 20
	} {
		_, err := New(graphtest.MustParse(t, text))
		var u *UnsupportedError
		if !errors.As(err, &u) || u.Node.Name != "f" || !strings.Contains(err.Error(), u.Op) {
			t.Errorf("%v", err)
		}
	}
}

// A part without semantics stops only the runs that need it.
func TestPartialProgram(t *testing.T) {
	g := graphtest.MustParse(t, "graph (x float[1]) => (y, z)\nopset 13\ny = Frobnicate(x) \"f\"\nz = Neg(x)")
	p, err := NewPartial(g)
	if err != nil {
		t.Fatal(err)
	}
	feeds := map[string]*graph.Tensor{"x": graph.TensorOf(nil, []float32{2})}
	if z, _ := run(t, p, feeds, "z")[0].Float64s(); z[0] != -2 {
		t.Errorf("z is %v", z)
	}
	_, err = p.Run(context.Background(), feeds, []string{"y"})
	var u *UnsupportedError
	if !errors.As(err, &u) || u.Node.Name != "f" {
		t.Errorf("y: %v", err)
	}
}

func TestEvalNodeKeepsTypes(t *testing.T) {
	g := graphtest.MustParse(t, `graph (a float[2], b int32[2], h float16[1]) => (y)
opset 17
y = Div(a, a) "float"
s = Add(b, b) "int"
e, n = Split(a) {axis=0} "split"
q = Sqrt(h) "half"`)
	eval := func(value string, in ...*graph.Tensor) *graph.Tensor {
		out, err := EvalNode(g.Value(value).Producer(), 17, in)
		if err != nil {
			t.Fatal(err)
		}
		return out[g.Value(value).OutputIndex()]
	}
	f, err := graph.Data[float32](eval("y", graph.TensorOf(nil, []float32{1, 2}), graph.TensorOf(nil, []float32{3, 3})))
	if err != nil || f[0] != float32(1./3) {
		t.Errorf("float: %v %v", f, err)
	}
	i, err := graph.Data[int32](eval("s", graph.TensorOf(nil, []int32{math.MaxInt32, 1}), graph.TensorOf(nil, []int32{1, 1})))
	if err != nil || i[0] != math.MinInt32 || i[1] != 2 {
		t.Errorf("int32: %v %v", i, err)
	}
	if f, err = graph.Data[float32](eval("n", graph.TensorOf(nil, []float32{1, 2}))); err != nil || len(f) != 1 || f[0] != 2 {
		t.Errorf("second output: %v %v", f, err)
	}
	if q := eval("q", graph.FloatTensor(graph.Float16, nil, nil)); q.DType != graph.Float16 {
		t.Errorf("half: %s", q.DType)
	}
}

func TestHostileNodesAreErrors(t *testing.T) {
	huge := graph.TensorOf(nil, []int64{1 << 40})
	for text, in := range map[string][]*graph.Tensor{
		"y = ConstantOfShape(x) \"huge\"":              {huge},
		"y = ConstantOfShape(x) \"negative\"":          {graph.TensorOf(nil, []int64{-1})},
		"y = Expand(x, x) \"wide\"":                    {graph.TensorOf(nil, []float32{1}), huge},
		"y = Expand(x, x) \"overflow\"":                {graph.TensorOf(nil, []float32{1}), graph.TensorOf(nil, []int64{1 << 32, 1 << 32})},
		"y = Tile(x, x) \"many\"":                      {graph.TensorOf(nil, []float32{1}), huge},
		"y = Range(x, x, x) \"endless\"":               {graph.Scalar(0.), graph.Scalar(1e300), graph.Scalar(1.)},
		"y = Pad(x, x) \"wide\"":                       {graph.TensorOf(nil, []float32{1}), graph.TensorOf(nil, []int64{0, 1 << 50})},
		"y = Constant() {value=3} \"no tensor\"":       nil,
		"y = Transpose(x) {perm=[0,0]} \"repeated\"":   {graph.TensorOf([]int64{1, 1}, []float32{1})},
		"y = Split(x) {num_outputs=0} \"none\"":        {huge},
		"y = Gather(x, x) {axis=7} \"axis\"":           {huge, huge},
		"y = Reshape(x, x) \"two free\"":               {huge, graph.TensorOf(nil, []int64{-1, -1})},
		"y = Slice(x, x, x, x, x) \"no step\"":         {huge, huge, huge, graph.TensorOf(nil, []int64{0}), graph.TensorOf(nil, []int64{0})},
		"y = MatMul(x, x) \"strings\"":                 {huge},
		"y = Add(x, x) \"types\"":                      {huge, graph.Scalar(1.)},
		"y = ReduceSum(x, x) \"axes\"":                 {huge, graph.Scalar(1.)},
		"y = GatherND(x, x) {batch_dims=-1} \"batch\"": {huge, huge},
	} {
		g, err := graphtest.Parse("graph (x int64[1]) => (y)\nopset 18\n" + text)
		if err != nil {
			t.Fatal(err)
		}
		n := g.Nodes()[0]
		if _, err := EvalNode(n, 18, in); err == nil || !strings.Contains(err.Error(), n.Name) {
			t.Errorf("%s: %v, want an error that names the node", text, err)
		}
	}
}

func BenchmarkTinyMLP(b *testing.B) {
	g, err := graphtest.Parse(`graph (x float[8,32]) => (y)
opset 17
init w float[32,64]
init v float[64,32]
h = MatMul(x, w)
a = Erf(h)
z = MatMul(a, v)
s = Add(z, x)
y = Softmax(s)`)
	if err != nil {
		b.Fatal(err)
	}
	p, err := New(g)
	if err != nil {
		b.Fatal(err)
	}
	feeds := map[string]*graph.Tensor{"x": graphtest.Rand(1, graph.Float, []int64{8, 32}, -1, 1)}
	for b.Loop() {
		if _, err := p.Run(context.Background(), feeds, []string{"y"}); err != nil {
			b.Fatal(err)
		}
	}
}
