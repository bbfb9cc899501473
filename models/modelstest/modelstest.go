// Package modelstest gives tests the exporter files of models/testdata with the truth that was written beside them.
package modelstest

import (
	"encoding/json"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
)

// A Fixture is one exporter file and what its sidecar says of it.
type Fixture struct {
	Name, Path string
	Family     *string `json:"family"` // nil for a file that is no encoder
	Class      string  `json:"class"`
	Layers     int     `json:"layers"`
	Hidden     int     `json:"hidden"`
	Runs       []struct {
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

// Dir returns models/testdata, wherever the test runs.
func Dir() string {
	_, file, _, _ := goruntime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "testdata")
}

// Encoders returns the files that must be recognised.
func Encoders(t testing.TB) []*Fixture {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Dir(), "*_*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no exporter files in %s: %v", Dir(), err)
	}
	var out []*Fixture
	for _, file := range files {
		f := read(t, file)
		// ort_all has onnxruntime's fused Attention, which is refused; opset 23 has one that the reference evaluator lacks.
		if f.Family != nil && *f.Family != "albert" && !strings.HasPrefix(f.Name, "bert_ort_all") && !strings.Contains(f.Name, "_op23_") {
			out = append(out, f)
		}
	}
	return out
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
	data, err := os.ReadFile(strings.TrimSuffix(file, ".onnx") + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, f); err != nil {
		t.Fatal(err)
	}
	return f
}
