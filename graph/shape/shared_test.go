package shape_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/shape"
)

// sharedGraphs returns a folder of graphs that are not part of the repository, beside it or at PEFTGRAPH_SHARED.
func sharedGraphs(t *testing.T, folder string) []string {
	t.Helper()
	root := os.Getenv("PEFTGRAPH_SHARED")
	if root == "" {
		root = "../../../shared"
	}
	files, _ := filepath.Glob(filepath.Join(root, "graphs", folder, "*.onnx"))
	if len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no graphs in %s/graphs/%s: set PEFTGRAPH_SHARED", root, folder)
		}
		t.Skipf("SKIPPED: no graphs in %s: set PEFTGRAPH_SHARED to the folder that has graphs/%s", root, folder)
	}
	return files
}

// Old exporters: PyTorch 1.1 and 1.3, keras2onnx. The rank of every floating value must be known.
func TestOldExporters(t *testing.T) {
	for _, file := range sharedGraphs(t, "exported") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if strings.HasSuffix(file, "_asis.onnx") {
				wantBroken(t, file)
				return
			}
			g, info := load(t, file)
			if ops := info.Unknown(); len(ops) > 0 {
				t.Errorf("operators without a rule: %v", ops)
			}
			for _, n := range g.Nodes() {
				for _, o := range n.Outputs() {
					if o != nil && (o.DType == 0 || o.DType.IsFloat() && o.Shape == nil) {
						t.Errorf("%s: %s", n, o)
					}
				}
			}
			for _, o := range g.Outputs() {
				t.Logf("output %s", o)
			}
		})
	}
}

// wantBroken: this file concatenates vectors and a scalar. onnxruntime refuses it at the same node.
func wantBroken(t *testing.T, file string) {
	t.Helper()
	g, err := onnxfile.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := shape.Infer(g); err == nil || !strings.Contains(err.Error(), `"265"`) {
		t.Errorf("error %v, want one that names the node of \"265\"", err)
	}
}
