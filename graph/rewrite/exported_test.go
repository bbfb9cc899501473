package rewrite

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// fixtures are files that real exporters wrote, with tiny random weights; beside each stand inputs and PyTorch's outputs.
const fixtures = "../../models/testdata"

type tensorJSON struct {
	Shape []int64   `json:"shape"`
	Data  []float64 `json:"data"`
}

type run struct {
	Inputs, Outputs map[string]tensorJSON
}

func readRuns(t *testing.T, file string) []run {
	t.Helper()
	data, err := os.ReadFile(strings.TrimSuffix(file, ".onnx") + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Runs []run `json:"runs"`
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s.Runs
}

func (r run) feeds(g *graph.Graph) map[string]*graph.Tensor {
	feeds := map[string]*graph.Tensor{}
	for name, in := range r.Inputs {
		if g.Value(name).DType.IsFloat() {
			feeds[name] = graph.FloatTensor(graph.Float, in.Shape, in.Data)
			continue
		}
		ints := make([]int64, len(in.Data))
		for i, x := range in.Data {
			ints[i] = int64(x)
		}
		feeds[name] = graph.TensorOf(in.Shape, ints)
	}
	return feeds
}

// The canonical form computes what the file computes, in fewer nodes, and what PyTorch computed before the export.
func TestExporters(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no exporter files in %s: %v", fixtures, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".onnx"), func(t *testing.T) {
			before, err := onnxfile.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			after, report := rewrite(t, before, Options{})
			t.Logf("%d nodes, then %d: %s", len(before.Nodes()), len(after.Nodes()), report)
			for _, r := range readRuns(t, file) {
				compareRun(t, before, after, r)
			}
		})
	}
}

func compareRun(t *testing.T, before, after *graph.Graph, r run) {
	t.Helper()
	feeds := r.feeds(before)
	got := outputs(t, after, feeds)
	for i, o := range after.Outputs() {
		torch, ok := r.Outputs[o.Name()]
		if !ok {
			t.Errorf("the sidecar has no output %q", o.Name())
			continue
		}
		graphtest.Close(t, got[i], graph.FloatTensor(graph.Double, torch.Shape, torch.Data), 1e-4, 1e-5)
	}
	if _, err := refeval.New(before); err != nil {
		return // an operator that only its decomposition is known of; PyTorch's outputs have to do
	}
	for i, want := range outputs(t, before, feeds) {
		graphtest.Close(t, got[i], want, 1e-6, 1e-6)
	}
}
