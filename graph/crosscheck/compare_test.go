package crosscheck

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
)

// sample has each kind of attribute and initializer that both readers know, and some that onnx-go refuses.
func sample(t *testing.T) *graph.Graph {
	t.Helper()
	g := graph.New("sample")
	g.Opsets[""] = 17
	x, err := g.AddInput("x", graph.Float, graph.Shape{graph.Symbol("batch"), graph.Fixed(2)})
	if err != nil {
		t.Fatal(err)
	}
	b := g.Build("s")
	w := b.Init("w", graph.TensorOf([]int64{2, 3}, []float32{1, 2, 3, 4, 5, 6}))
	y := b.Op("MatMul", x, w)
	c := b.With(graph.TensorAttr("value", graph.TensorOf([]int64{3}, []float32{1, 2, 3}))).Op("Constant")
	y = b.Op("Sub", y, c)
	y = b.With(graph.FloatAttr("alpha", .5), graph.IntAttr("axis", 1), graph.IntsAttr("perm", 1, 0), graph.StringAttr("mode", "tanh")).Op("Odd", y, nil, y)
	parts := b.OpN("Split", 2, y, b.Ints(1, 2))
	y = b.Op("Concat", parts[1], parts[0])
	y = b.Op("Mul", y, b.Const(graph.Scalar[float32](2)))
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	g.AddOutput(y)
	return g
}

func saved(t *testing.T, g *graph.Graph, opt onnxfile.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := onnxfile.Save(g, path, opt); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEqual(t *testing.T) {
	g := sample(t)
	r, err := Compare(saved(t, g, onnxfile.Options{}), g)
	if err != nil {
		t.Fatal(err)
	}
	if r.Nodes != len(g.Nodes()) || r.Initializers != len(g.Initializers()) || len(r.Skipped) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestDifferences(t *testing.T) {
	for want, change := range map[string]func(*graph.Graph){
		`is a Sub, not Add`:          func(g *graph.Graph) { g.Nodes()[2].Op = "Add" },
		`from ["s/MatMul" "s/Consta`: func(g *graph.Graph) { g.Nodes()[2].SetInput(1, g.Value("s/w")) },
		`attribute "axis" is 1`:      func(g *graph.Graph) { g.Nodes()[3].SetAttr(graph.IntAttr("axis", 2)) },
		`attribute "alpha" is 0.5`:   func(g *graph.Graph) { g.Nodes()[3].SetAttr(graph.FloatAttr("alpha", .25)) },
		`attribute "perm" is [1 0]`:  func(g *graph.Graph) { g.Nodes()[3].SetAttr(graph.IntsAttr("perm", 0, 1)) },
		`attribute "mode" is tanh`:   func(g *graph.Graph) { g.Nodes()[3].SetAttr(graph.StringAttr("mode", "none")) },
		`attribute "value" is`: func(g *graph.Graph) {
			g.Nodes()[1].SetAttr(graph.TensorAttr("value", graph.TensorOf(nil, []float32{1, 2, 4})))
		},
		`has no attribute "new"`:       func(g *graph.Graph) { g.Nodes()[0].SetAttr(graph.IntAttr("new", 1)) },
		`has an attribute "axis"`:      func(g *graph.Graph) { g.Nodes()[3].RemoveAttr("axis") },
		`initializer "s/w" has other`:  func(g *graph.Graph) { set(g, []int64{2, 3}, 1, 2, 3, 4, 5, 7) },
		`initializer "s/w" has other `: func(g *graph.Graph) { set(g, []int64{3, 2}, 1, 2, 3, 4, 5, 6) },
		`initializers, not`:            func(g *graph.Graph) { _, _ = g.AddInitializer("more", graph.Scalar(int64(1))) },
		`nodes, not`:                   func(g *graph.Graph) { g.Build("n").Op("Neg", g.Value("x")) },
		`inputs ["x"], not`:            func(g *graph.Graph) { _, _ = g.AddInput("z", graph.Float, nil) },
		`outputs ["s/Mul"], not`:       func(g *graph.Graph) { g.SetOutputs(g.Value("s/Concat")) },
		`has outputs ["s/MatMul"]`:     func(g *graph.Graph) { _ = g.Rename(g.Value("s/MatMul"), "other") },
	} {
		g := sample(t)
		path := saved(t, g, onnxfile.Options{})
		change(g)
		_, err := Compare(path, g)
		var d *DifferenceError
		if !errors.As(err, &d) || !strings.Contains(err.Error(), strings.TrimSpace(want)) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want a difference with %q", err, want)
		}
	}
}

func set(g *graph.Graph, dims []int64, data ...float32) {
	_ = g.SetInitializer(g.Value("s/w"), graph.TensorOf(dims, data))
}

func TestWhatOnnxGoRefusesIsSkipped(t *testing.T) {
	g := sample(t)
	half, err := graph.NewTensor(graph.Float16, []int64{1}, []byte{0, 0x3c})
	if err != nil {
		t.Fatal(err)
	}
	b := g.Build("s")
	b.Init("half", half)
	b.Init("empty", graph.TensorOf([]int64{0}, []float32{}))
	b.Init("big", graph.TensorOf(nil, make([]float32, largestTensor)))
	b.With(graph.TensorAttr("value", half)).Op("Constant")
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	r, err := Compare(saved(t, g, onnxfile.Options{}), g)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(r.Skipped, "\n")
	for _, want := range []string{"no float16 tensors", "no empty tensors", "too many", `attribute "value" of node 7`, "as a whole"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q isn't mentioned in\n%s", want, text)
		}
	}
	if r.Nodes != len(g.Nodes()) || r.Initializers != len(g.Initializers())-3 {
		t.Errorf("%+v", r)
	}
	g.Nodes()[2].Op = "Add"
	if _, err := Compare(saved(t, sample(t), onnxfile.Options{}), g); err == nil {
		t.Error("a copy without weights hides a difference")
	}
}

func TestExternalDataIsSkipped(t *testing.T) {
	g := sample(t)
	if _, err := g.AddInitializer("big", graph.TensorOf(nil, make([]float32, 1024))); err != nil {
		t.Fatal(err)
	}
	r, err := Compare(saved(t, g, onnxfile.Options{Weights: onnxfile.ExternalData}), g)
	if err != nil || len(r.Skipped) != 1 || !strings.HasPrefix(r.Skipped[0], "1 initializers") || r.Nodes != len(g.Nodes()) {
		t.Errorf("%+v, %v", r, err)
	}
}

// Inputs with default values are no inputs to onnx-go, but where it gets no initializers it can't tell.
func TestInputsWithDefaults(t *testing.T) {
	g := sample(t)
	if _, err := g.AddInput("s/w", graph.Float, graph.ShapeOf(2, 3)); err != nil {
		t.Fatal(err)
	}
	half, err := graph.NewTensor(graph.Float16, []int64{1}, []byte{0, 0x3c})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, err := Compare(saved(t, g, onnxfile.Options{}), g)
		if err != nil || r.Nodes != len(g.Nodes()) {
			t.Errorf("%+v, %v", r, err)
		}
		g.Build("s").With(graph.TensorAttr("value", half)).Op("Constant") // which onnx-go refuses: it gets a copy without weights
	}
}

// TestReferences compares a file that refers to another one, from an initializer and from an attribute.
func TestReferences(t *testing.T) {
	g := sample(t)
	big := graph.TensorOf(nil, make([]float32, 1024))
	b := g.Build("s")
	b.Init("big", big)
	b.With(graph.TensorAttr("value", big)).Op("Constant")
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	base := saved(t, g, onnxfile.Options{})
	g, err := onnxfile.Load(base)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(base), "reference.onnx")
	if err := onnxfile.Save(g, path, onnxfile.Options{Weights: onnxfile.Reference}); err != nil {
		t.Fatal(err)
	}
	r, err := Compare(path, g)
	if err != nil || r.Nodes != len(g.Nodes()) || r.Initializers != len(g.Initializers())-1 || len(r.Skipped) != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestNoModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.onnx")
	if _, err := Compare(path, sample(t)); err == nil {
		t.Error("a missing file")
	}
	for _, text := range []string{"", "no model"} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Compare(path, sample(t)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// TestRealFiles compares both readings of the recognition fixtures, and of the shared graphs where they are at hand.
func TestRealFiles(t *testing.T) {
	shared := os.Getenv("PEFTGRAPH_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	var files []string
	for _, pattern := range []string{"../../models/testdata/*.onnx", filepath.Join(shared, "graphs/*/*.onnx")} {
		m, _ := filepath.Glob(pattern)
		files = append(files, m...)
	}
	for _, path := range files {
		g, err := onnxfile.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Compare(path, g)
		if err != nil {
			t.Error(err)
		}
		if r.Nodes != len(g.Nodes()) {
			t.Errorf("%s: %d of %d nodes, %q", path, r.Nodes, len(g.Nodes()), r.Skipped)
		}
	}
}

func TestNodesOutOfOrder(t *testing.T) {
	g := sample(t)
	rec := &recorder{}
	for _, n := range g.Nodes() {
		rec.ops = append(rec.ops, operation{name: n.Op, outputs: valueNames(n.Outputs()), inputs: [][]string{valueNames(n.Inputs())}})
	}
	if !rec.ordered() {
		t.Error("a sorted graph is taken for an unsorted one")
	}
	rec.ops[0], rec.ops[3] = rec.ops[3], rec.ops[0]
	if rec.ordered() {
		t.Error("an unsorted graph is taken for a sorted one")
	}
	rec.arrange(g.Nodes())
	for i, n := range g.Nodes() {
		if rec.ops[i].name != n.Op {
			t.Errorf("operation %d is %s, want %s", i, rec.ops[i].name, n)
		}
	}
}
