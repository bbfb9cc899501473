package format

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
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

// written returns the folder that a test writes an adapter into. With PEFTGRAPH_WRITE=DIR it is DIR/FORMAT/NAME, where
// the scripts testdata/check_*.py load it with the format's own library; otherwise it is gone after the test.
func written(t *testing.T, format, name string) string {
	t.Helper()
	if keep := os.Getenv("PEFTGRAPH_WRITE"); keep != "" {
		return filepath.Join(keep, format, name)
	}
	return filepath.Join(t.TempDir(), name)
}

// An adapter that is injected, changed as training would and saved computes the same once it is loaded onto a fresh base.
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
					opt.Task, opt.Head = threeLabels, inject.HeadPooler
				}
				l := &inject.LoRA{R: 2, Alpha: 5, Bias: "none", Init: "default", Targets: inject.Targets{Modules: inject.ParseNames("query,key,value")}}
				set(l)
				again, loaded, want := f.rewritten(t, folder, l, opt)
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

// rewritten injects a method on f's base, moves every trainable, writes the adapter for PEFT, and returns a fresh base with
// what PEFT would read of it, which must compute the outputs of the first.
func (f *fixture) rewritten(t *testing.T, name string, m inject.Method, opt inject.Options) (*graph.Graph, *inject.Plan, map[string]modelstest.Array) {
	t.Helper()
	enc := f.encoder(t)
	plan, err := inject.Inject(enc, []inject.Method{m}, opt)
	if err != nil {
		t.Fatal(err)
	}
	move(t, enc.Graph, plan)
	want := f.outputs(t, enc.Graph)
	if opt.Task.Type != "" {
		delete(want, "pooler_output") // of the base's own pooler, which a head may replace
	}
	f.dir = written(t, HFPEFT, name)
	save(t, f.dir, enc.Graph, plan)
	f.writeExpected(t, f.dir, want)
	again, loaded := f.load(t, f.dir)
	if trained := plan.Find("head", "pooler.dense", "weight") != nil; loaded.Head.Kind != plan.Head.Kind && !trained {
		t.Errorf("the head is read as %s, and was %s", loaded.Head.Kind, plan.Head.Kind)
	}
	if d := f.differ(t, again, want); !(d <= 1e-6) {
		t.Errorf("loaded again, outputs differ by %.1e", d)
	}
	return again, loaded, want
}

// move stands in for training: every trainable gets other values.
func move(t *testing.T, g *graph.Graph, plan *inject.Plan) {
	t.Helper()
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
}

// writeExpected writes what the scripts compare with.
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

// The other methods that start here, with a head and without.
func TestWrittenPEFTMethods(t *testing.T) {
	place := inject.Placement{Tokens: 3, Layout: inject.LayoutPEFT, Combine: inject.CombinePrefix, Pool: inject.PoolFirst}
	for name, m := range map[string]inject.Method{
		"ia3":              &inject.IA3{Init: true},
		"ia3_feed_forward": &inject.IA3{Init: true, Targets: inject.Targets{Modules: inject.ParseNames("query,intermediate.dense")}, FeedForward: inject.ParseNames("intermediate.dense")},
		"prefix":           &inject.Prefix{Tokens: 3, Layout: inject.LayoutPEFT, Init: "zero"},
		"prefix_projected": &inject.Prefix{Tokens: 3, Projection: true, Hidden: 12, Layout: inject.LayoutPEFT, Init: "random"},
		"prompt":           &inject.Prompt{Placement: place, Init: "vocab"},
		"p_tuning":         &inject.PTuning{Placement: place, Hidden: 12},
	} {
		t.Run(name, func(t *testing.T) {
			f := fixtureOf(t, "lora_seqcls")
			f.Base = "seqcls.onnx"
			f.rewritten(t, "written_"+name, m, inject.Options{Task: threeLabels, Head: inject.HeadPooler})
		})
	}
}

var threeLabels = inject.Task{Type: "classification", Labels: []string{"a", "b", "c"}}

// Heads that Hugging Face's models have go under their names there; the others don't pass for one of them: PEFT takes such
// an adapter for the bare encoder's.
func TestWrittenPEFTHeads(t *testing.T) {
	lora := func(modules string) inject.Method {
		return &inject.LoRA{R: 2, Alpha: 5, Bias: "none", Init: "default", Targets: inject.Targets{Modules: inject.ParseNames(modules)}}
	}
	for _, c := range []struct {
		base, name, task string
		head             inject.HeadKind
		method           inject.Method
	}{
		{"encoder.onnx", "mean", "FEATURE_EXTRACTION", inject.HeadMean, lora("query")},
		{"encoder.onnx", "cls", "FEATURE_EXTRACTION", inject.HeadCLS, lora("query")},
		{"encoder.onnx", "relu", "FEATURE_EXTRACTION", inject.HeadPreClassifier, lora("query")},
		{"encoder.onnx", "new_pooler", "SEQ_CLS", inject.HeadNewPooler, lora("query")},
		{"encoder.onnx", "prefix_mean", "FEATURE_EXTRACTION", inject.HeadMean, &inject.Prefix{Tokens: 3, Layout: inject.LayoutPEFT, Init: "random"}},
		{"roberta", "roberta", "SEQ_CLS", inject.HeadNewPooler, lora("query")},
		{"roberta_sequence", "roberta_cls", "FEATURE_EXTRACTION", inject.HeadCLS, lora("query")},
		{"distilbert", "distilbert", "SEQ_CLS", inject.HeadPreClassifier, lora("q_lin")},
		{"distilbert_sequence", "distilbert_tanh", "FEATURE_EXTRACTION", inject.HeadNewPooler, lora("q_lin")},
		{"distilbert_sequence", "distilbert_mean", "FEATURE_EXTRACTION", inject.HeadMean, lora("q_lin")},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fixtureOf(t, "lora_seqcls")
			if filepath.Ext(c.base) == "" {
				f = fixtureOf(t, "families/roberta_hub_lora")
			}
			f.Base = c.base
			if c.name == "prefix_mean" {
				clear(f.Inputs["token_type_ids"].Data) // PEFT's bare encoders with prefixes read over them
			}
			f.rewritten(t, "head_"+c.name, c.method, inject.Options{Task: threeLabels, Head: c.head})
			var task string
			config, err := readConfig(filepath.Join(f.dir, hfConfigFile))
			if err == nil {
				err = read(config, "task_type", &task)
			}
			if err != nil || task != c.task {
				t.Errorf("task_type %q, want %q: %v", task, c.task, err)
			}
		})
	}
}
