package format

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/graphtest"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/models/modelstest"
)

// writtenLoRAs are adapters that start here, not in PEFT.
var writtenLoRAs = map[string]func(l *inject.LoRA){
	"default": func(l *inject.LoRA) {},
	"rslora":  func(l *inject.LoRA) { l.RSLoRA, l.R, l.RankPattern = true, 4, inject.Pattern{"value": 2} },
	"patterns": func(l *inject.LoRA) {
		l.AlphaPattern, l.Exclude = inject.Pattern{"query": 3}, inject.ParseNames("0.attention.self.key")
	},
	"all_linear":  func(l *inject.LoRA) { l.Modules = inject.ParseNames("all-linear") },
	"regex":       func(l *inject.LoRA) { l.Modules = inject.ParseNames(`re:.*layer\.1.*(key|output\.dense)`) },
	"layers":      func(l *inject.LoRA) { l.Layers, l.LayersIn = []int{1}, "layer" },
	"biases":      func(l *inject.LoRA) { l.Bias = "all" },
	"lora_bias":   func(l *inject.LoRA) { l.UpdateBias, l.Bias = true, "lora_only" },
	"dora":        func(l *inject.LoRA) { l.DoRA, l.Modules = true, inject.ParseNames("all-linear") },
	"embedding":   func(l *inject.LoRA) { l.Modules = inject.ParseNames("word_embeddings,value") },
	"pissa":       func(l *inject.LoRA) { l.Init, l.R = "pissa", 3 },
	"pissa_rs":    func(l *inject.LoRA) { l.Init, l.R, l.RSLoRA = "pissa", 3, true },
	"olora":       func(l *inject.LoRA) { l.Init, l.R, l.AlphaPattern = "olora", 3, inject.Pattern{"query": 3} },
	"orthogonal":  func(l *inject.LoRA) { l.Init, l.R = "orthogonal", 4 },
	"whole":       func(l *inject.LoRA) { l.ModulesToSave = inject.ParseNames("pooler,1.intermediate") },
	"whole_layer": func(l *inject.LoRA) { l.ModulesToSave, l.Bias = inject.ParseNames("pooler,layer.1"), "all" },
	"whole_norms": func(l *inject.LoRA) { l.ModulesToSave = inject.ParseNames("LayerNorm") },
	"whole_dense": func(l *inject.LoRA) { l.ModulesToSave = inject.ParseNames("output.dense") },
}

// An adapter that is injected, changed as training would and saved computes the same once it is loaded onto a fresh base. With
// PEFTGRAPH_WRITE=DIR the folders stay there for testdata/check_peft.py, which loads them with PEFT.
func TestWrittenPEFTFolders(t *testing.T) {
	for name, set := range writtenLoRAs {
		for _, head := range []bool{true, false} {
			folder := name
			if !head {
				folder += "_encoder"
			}
			t.Run(folder, func(t *testing.T) {
				f := fixtureOf(t, "lora_seqcls")
				opt := inject.Options{Seed: 11}
				f.Base = "encoder.onnx"
				if head {
					f.Base = "seqcls.onnx"
					opt.Task, opt.Head = inject.Task{Type: "classification", Labels: []string{"a", "b", "c"}}, inject.HeadPooler
				}
				g, plan := f.trained(t, set, opt)
				want := f.outputs(t, g)
				dir := t.TempDir()
				if keep := os.Getenv("PEFTGRAPH_WRITE"); keep != "" {
					dir = filepath.Join(keep, folder)
				}
				save(t, dir, g, plan)
				f.writeExpected(t, dir, want)

				again, loaded := f.load(t, dir)
				if d := f.differ(t, again, want); !(d <= 1e-6) {
					t.Errorf("loaded again, outputs differ by %.1e", d)
				}
				if _, err := inject.Merge(again, loaded); err != nil {
					t.Fatal(err)
				}
				if d := f.differ(t, again, want); !(d <= 1e-5) {
					t.Errorf("merged, outputs differ by %.1e", d)
				}
			})
		}
	}
}

// trained injects on f's base and moves every trainable.
func (f *fixture) trained(t *testing.T, set func(*inject.LoRA), opt inject.Options) (*graph.Graph, *inject.Plan) {
	t.Helper()
	g, err := onnxfile.Load(filepath.Join("testdata", "base", f.Base))
	if err != nil {
		t.Fatal(err)
	}
	enc, err := models.Recognise(g)
	if err != nil {
		t.Fatal(err)
	}
	l := &inject.LoRA{R: 2, Alpha: 5, Bias: "none", Init: "default", Targets: inject.Targets{Modules: inject.ParseNames("query,key,value")}}
	set(l)
	plan, err := inject.Inject(enc, []inject.Method{l}, opt)
	if err != nil {
		t.Fatal(err)
	}
	values, err := plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	for i, tr := range plan.Trainables {
		x, err := values[tr.Name].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		d, _ := graphtest.Rand(uint64(i+1), graph.Double, tr.Shape, -0.3, 0.3).Float64s()
		for k := range d {
			d[k] += x[k]
		}
		values[tr.Name] = graph.FloatTensor(graph.Float, tr.Shape, d)
	}
	if err := plan.SetValues(g, values); err != nil {
		t.Fatal(err)
	}
	return g, plan
}

// writeExpected writes what check_peft.py compares with.
func (f *fixture) writeExpected(t *testing.T, dir string, want map[string]modelstest.Array) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"base": f.Base, "inputs": f.Inputs, "with": want})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "expected.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
}
