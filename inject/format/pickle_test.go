package format

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/safetensors"
	"github.com/peftgraph/peftgraph/inject"
)

// A PEFT folder whose tensors are a pickle gives what PyTorch computed; a pickle that would run something is refused.
func TestPEFTPickle(t *testing.T) {
	f := fixtureOf(t, "lora_pickle")
	g, plan := f.load(t, f.dir)
	if d := f.differ(t, g, f.With); !(d <= parity) {
		t.Errorf("outputs differ from PyTorch's by %.1e", d)
	}
	if _, err := inject.Merge(g, plan); err != nil {
		t.Fatal(err)
	}
	dir := copyFolder(t, "lora_pickle")
	replaced(hfPickleFile, "../../graph/torchfile/testdata/evil_zip.bin")(t, dir)
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "system") || !strings.Contains(err.Error(), filepath.Join(dir, hfPickleFile)) {
		t.Errorf("got %v", err)
	}
}

// Adapters of models in half precision are widened: their numbers are the same.
func TestHalfPrecision(t *testing.T) {
	f := fixtureOf(t, "lora_seqcls")
	for _, dtype := range []graph.DType{graph.Float16, graph.BFloat16} {
		dir := copyFolder(t, "lora_seqcls")
		path := filepath.Join(dir, hfTensorFile)
		c, err := safetensors.Open(filepath.Join(f.dir, hfTensorFile))
		if err != nil {
			t.Fatal(err)
		}
		for key, x := range c.Tensors {
			data, err := x.Float64s()
			if err != nil {
				t.Fatal(err)
			}
			c.Tensors[key] = graph.FloatTensor(dtype, x.Dims, data)
		}
		remove(t, path)
		if err := safetensors.Save(path, c); err != nil {
			t.Fatal(err)
		}
		g, plan := f.load(t, dir)
		if d := f.differ(t, g, f.With); !(d <= 0.05) || d == 0 {
			t.Errorf("%s: outputs differ from PyTorch's by %.1e", dtype, d)
		}
		const a = "base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight"
		values, err := plan.Values(g)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := c.Tensors[a].Float64s()
		if d := farthest(t, values[plan.Find("lora", "encoder.layer.0.attention.self.query", "lora_A").Name], want); d != 0 {
			t.Errorf("%s: widening changed a value by %v", dtype, d)
		}
	}
}
