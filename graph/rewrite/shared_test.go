package rewrite

import (
	"path/filepath"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// TestOldExporters runs files of PyTorch 1.1 and 1.3 and keras2onnx, which are not part of the repository, before and after.
// The counts are those of the models: LayerNorms of 12 or 24 layers, their embeddings and heads.
func TestOldExporters(t *testing.T) {
	dir := filepath.Dir(graphtest.Shared(t, "graphs/exported/*.onnx", "")[0])
	for name, want := range map[string]struct{ norms, gelus int }{
		"bert_squad_keras2onnx1.6_opset11": {49, 24},
		"bert_squad_torch1.3_opset10":      {25, 12},
		"bert_squad_torch1.3_opset11":      {25, 12},
		"bert_toy_torch1.1_opset10":        {12, 6},
		"gpt2_torch1.3_opset11_negative":   {25, 12},
	} {
		t.Run(name, func(t *testing.T) {
			before, err := onnxfile.Load(filepath.Join(dir, name+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			after := before.Clone()
			report, err := Canonical(after, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := after.Check(); err != nil {
				t.Fatal(err)
			}
			norms := report["fuse-layer-norm"] + report["fuse-layer-norm-tf"]
			gelus := report["fuse-gelu"] + report["fuse-gelu-tanh"]
			if norms != want.norms || gelus != want.gelus {
				t.Errorf("%d LayerNorms and %d GELUs, want %+v: %s", norms, gelus, want, report)
			}
			feeds := zerosAndOnes(before, 2, 7)
			got := outputs(t, after, feeds)
			for i, o := range outputs(t, before, feeds) {
				graphtest.Close(t, got[i], o, 1e-6, 1e-6)
			}
		})
	}
}

// zerosAndOnes feeds every input with what is valid as token, token type and mask; unnamed and named sizes but the first are n.
func zerosAndOnes(g *graph.Graph, batch, n int64) map[string]*graph.Tensor {
	feeds := map[string]*graph.Tensor{}
	for i, v := range g.Inputs() {
		if v.Init() != nil {
			continue
		}
		dims := []int64{batch, n}
		if d := v.Shape[1]; d.Known() {
			dims[1] = d.N
		}
		feeds[v.Name()] = graphtest.Rand(uint64(i), v.DType, dims, 0, 2)
	}
	return feeds
}
