// Package modelstest gives tests the exporter files of models/testdata with the truth that was written beside them.
package modelstest

import (
	"context"
	"math"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// A Fixture is one exporter file and what make_exports.py wrote beside it from the PyTorch model.
type Fixture struct {
	Name, Path   string
	Family       *string `json:"family"` // nil for a file that is no encoder
	Class        string  `json:"class"`
	Layers       int     `json:"layers"`
	Hidden       int     `json:"hidden"`
	Heads        int     `json:"heads"`
	Intermediate int     `json:"intermediate"`
	Vocab        int     `json:"vocab"`
	MaxPositions int     `json:"max_positions"`
	TypeVocab    int     `json:"type_vocab"`
	Eps          float64 `json:"layer_norm_eps"`
	Activation   string  `json:"activation"`
	Linears      []struct {
		Module string `json:"module"`
		In     int    `json:"in"`
		Out    int    `json:"out"`
		Bias   bool   `json:"bias"`
	} `json:"linears"`
	Runs []struct {
		Inputs, Outputs map[string]Array
	} `json:"runs"`
}

// An Array is a tensor in JSON.
type Array struct {
	Shape []int64   `json:"shape"`
	Data  []float64 `json:"data"`
}

// Tensor converts the array to the element type that a graph declares.
func (a Array) Tensor(dtype graph.DType) *graph.Tensor {
	switch dtype {
	case graph.Float, graph.Double:
		return graph.FloatTensor(dtype, a.Shape, a.Data)
	case graph.Int32:
		return graph.TensorOf(a.Shape, convert[int32](a.Data))
	}
	return graph.TensorOf(a.Shape, convert[int64](a.Data))
}

func convert[T int32 | int64](data []float64) []T {
	out := make([]T, len(data))
	for i, v := range data {
		out[i] = T(v)
	}
	return out
}

// Feeds returns the inputs of run i in g's types.
func (f *Fixture) Feeds(g *graph.Graph, i int) map[string]*graph.Tensor {
	feeds := map[string]*graph.Tensor{}
	for name, a := range f.Runs[i].Inputs {
		if v := g.Value(name); v != nil && v.IsInput() {
			feeds[name] = a.Tensor(v.DType)
		}
	}
	return feeds
}

// Evaluate computes values of g by the reference evaluator, from integer inputs.
func Evaluate(t testing.TB, g *graph.Graph, inputs map[string]Array, fetches ...string) []*graph.Tensor {
	t.Helper()
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	feeds := map[string]*graph.Tensor{}
	for name, a := range inputs {
		feeds[name] = a.Tensor(graph.Int64)
	}
	out, err := p.Run(context.Background(), feeds, fetches)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Distance returns the largest difference of an element of x from the one that is wanted.
func (a Array) Distance(t testing.TB, x *graph.Tensor) float64 {
	t.Helper()
	got, err := x.Float64s()
	if err != nil || !slices.Equal(x.Dims, a.Shape) {
		t.Fatalf("a tensor of %v, want %v: %v", x.Dims, a.Shape, err)
	}
	worst := 0.0
	for i, v := range a.Data {
		worst = max(worst, math.Abs(got[i]-v)) // NaN stays
	}
	return worst
}

// Dir returns models/testdata, wherever the test runs.
func Dir() string {
	_, file, _, _ := goruntime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "models", "testdata")
}

// All returns every exporter file; PEFTGRAPH_EXPORTS may name a folder with more of them (make_exports.py --all --out).
func All(t testing.TB) []*Fixture {
	t.Helper()
	var out []*Fixture
	for _, folder := range []string{Dir(), os.Getenv("PEFTGRAPH_EXPORTS")} {
		files, _ := filepath.Glob(filepath.Join(folder, "*_*.onnx"))
		if len(files) == 0 && folder != "" {
			t.Fatalf("no exporter files in %s", folder)
		}
		for _, file := range files {
			out = append(out, read(t, file))
		}
	}
	return out
}

// IsEncoder says that the file must be recognised; ort_all has onnxruntime's fused Attention, which is refused.
func (f *Fixture) IsEncoder() bool {
	return f.Family != nil && *f.Family != "albert" && !strings.HasPrefix(f.Name, "bert_ort_all")
}

// IsRelative says that the model knows tokens by their distance, so that no prefix goes before them.
func (f *Fixture) IsRelative() bool { return strings.Contains(f.Name, "_relative_") }

// Encoders returns the files that must be recognised and that the reference evaluator runs: not opset 23's Attention.
func Encoders(t testing.TB) []*Fixture {
	t.Helper()
	return slices.DeleteFunc(All(t), func(f *Fixture) bool { return !f.IsEncoder() || strings.Contains(f.Name, "_op23_") })
}

// Encoder returns one file by name, without ".onnx".
func Encoder(t testing.TB, name string) *Fixture {
	t.Helper()
	return read(t, filepath.Join(Dir(), name+".onnx"))
}

// Load reads the fixture's graph.
func (f *Fixture) Load(t testing.TB) *graph.Graph {
	t.Helper()
	g, err := onnxfile.Load(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func read(t testing.TB, file string) *Fixture {
	t.Helper()
	f := &Fixture{Path: file, Name: strings.TrimSuffix(filepath.Base(file), ".onnx")}
	graphtest.ReadJSON(t, strings.TrimSuffix(file, ".onnx")+".json", f)
	return f
}
