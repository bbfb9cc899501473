package inject_test

import (
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// loraVariants are settings whose graphs differ in form.
var loraVariants = map[string]func(l *inject.LoRA){
	"rslora":       func(l *inject.LoRA) { l.RSLoRA, l.RankPattern = true, inject.Pattern{".*1.*": 3} },
	"all-linear":   func(l *inject.LoRA) { l.Modules, l.R = inject.ParseNames("all-linear"), 2 },
	"gaussian":     func(l *inject.LoRA) { l.Init = "gaussian" },
	"random":       func(l *inject.LoRA) { l.Init = "random" },
	"orthogonal":   func(l *inject.LoRA) { l.Init, l.R = "orthogonal", 4 },
	"pissa":        func(l *inject.LoRA) { l.Init, l.R = "pissa", 3 },
	"olora":        func(l *inject.LoRA) { l.Init, l.R, l.Dropout = "olora", 3, 0.1 },
	"dora":         func(l *inject.LoRA) { l.DoRA = true },
	"dora-dropout": func(l *inject.LoRA) { l.DoRA, l.Dropout = true, 0.1 },
	"dora-biases":  func(l *inject.LoRA) { l.DoRA, l.Bias, l.Modules = true, "all", inject.ParseNames("all-linear") },
	"lora-bias":    func(l *inject.LoRA) { l.UpdateBias = true },
	"lora-biases":  func(l *inject.LoRA) { l.UpdateBias, l.Bias = true, "lora_only" },
	"embedding":    func(l *inject.LoRA) { l.Modules.List = append(l.Modules.List, "word_embeddings") },
	"whole-biases": func(l *inject.LoRA) { l.ModulesToSave, l.Bias = inject.ParseNames("intermediate"), "all" },
	"whole-module": func(l *inject.LoRA) { l.ModulesToSave = inject.ParseNames("intermediate,classifier") },
}

func TestLoRAVariantsOnEveryExporterForm(t *testing.T) {
	for name, set := range loraVariants {
		for _, f := range modelstest.Encoders(t) {
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				l := method(t, f, "lora").(*inject.LoRA)
				set(l)
				if *f.Family == "distilbert" && len(l.ModulesToSave.List) > 0 {
					l.ModulesToSave = inject.ParseNames("ffn")
				}
				matrix(t, f, l)
			})
		}
	}
}

func TestLoRARefusals(t *testing.T) {
	for want, set := range map[string]func(l *inject.LoRA){
		"--rank 0":               func(l *inject.LoRA) { l.R = 0 },
		"--rank 1000":            func(l *inject.LoRA) { l.R = 1000 },
		"--dropout 1":            func(l *inject.LoRA) { l.Dropout = 1 },
		"--bias \"some\"":        func(l *inject.LoRA) { l.Bias = "some" },
		"--init \"eva\"":         func(l *inject.LoRA) { l.Init = "eva" },
		"must be even":           func(l *inject.LoRA) { l.Init, l.R = "orthogonal", 3 },
		"rank 20":                func(l *inject.LoRA) { l.Init, l.R = "pissa", 20 },
		"--dora: not with":       func(l *inject.LoRA) { l.Init, l.DoRA = "olora", true },
		"--lora-bias: not with":  func(l *inject.LoRA) { l.UpdateBias, l.DoRA = true, true },
		"--lora-bias: only with": func(l *inject.LoRA) { l.UpdateBias, l.Init = true, "gaussian" },
		"--dora: not on":         func(l *inject.LoRA) { l.DoRA, l.Modules = true, inject.ParseNames("word_embeddings") },
		"--lora-bias: not on":    func(l *inject.LoRA) { l.UpdateBias, l.Modules = true, inject.ParseNames("word_embeddings") },
		"\"encoder.poolr\"":      func(l *inject.LoRA) { l.ModulesToSave = inject.ParseNames("encoder.poolr") },
		"embedding tables":       func(l *inject.LoRA) { l.ModulesToSave = inject.ParseNames("embeddings") },
		"must be names":          func(l *inject.LoRA) { l.ModulesToSave = inject.ParseNames("re:.*") },
		"--rank-pattern":         func(l *inject.LoRA) { l.RankPattern = inject.Pattern{"query": 1.5} },
	} {
		f := modelstest.Encoder(t, "bert_torch2_legacy_op14_gemm")
		l := method(t, f, "lora").(*inject.LoRA)
		set(l)
		enc := injecttest.Recognise(t, f.Load(t))
		if _, err := inject.Inject(enc, []inject.Method{l}, inject.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// Norms are constants once training is over, and nothing as large as a weight is stored for them.
func TestFoldedDoRA(t *testing.T) {
	for _, name := range []string{"bert_torch2_legacy_op14_gemm", "bert_torch2_legacy_op14_sdpa"} {
		f := modelstest.Encoder(t, name)
		l := method(t, f, "lora").(*inject.LoRA)
		l.DoRA = true
		g, plan := injectedWith(t, f, l, inject.Options{Task: inject.Task{Type: "regression"}})
		injecttest.Move(t, g, plan, 0.4)
		before := hashes(t, g)
		want := outputs(t, f, g, []string{plan.Logits})[plan.Logits]
		if err := inject.Fold(g); err != nil {
			t.Fatal(err)
		}
		mustCheck(t, g)
		graphtest.Close(t, outputs(t, f, g, []string{plan.Logits})[plan.Logits], want, 1e-5, 1e-6)
		for _, n := range g.Nodes() {
			if inject.Detached(n) {
				t.Errorf("%s is left", n)
			}
		}
		for _, v := range g.Initializers() {
			if before[v.Name()] == "" && v.Init().Len() >= int64(f.Hidden*f.Hidden) {
				t.Errorf("%s is new and as large as a weight", v)
			}
		}
	}
}

// A model whose values come afterwards needs no decomposition of the base's weights, and then computes the same: also with what
// PiSSA and OLoRA took off the base, which is the adapter's and isn't found again from the base.
func TestUnsetStartsAreGivenTheirValues(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_gemm")
	for _, name := range []string{"pissa", "olora", "dora", "rslora"} {
		injectUnset := func(unset bool) (*graph.Graph, *inject.Plan) {
			l := method(t, f, "lora").(*inject.LoRA)
			loraVariants[name](l)
			return injectedWith(t, f, l, inject.Options{Task: inject.Task{Type: "regression"}, Seed: 3, Unset: unset})
		}
		g, plan := injectUnset(false)
		injecttest.Move(t, g, plan, 0.4)
		values, err := plan.Values(g)
		if err != nil {
			t.Fatal(err)
		}
		opened, same := injectUnset(true)
		if !plan.Same(same) {
			t.Errorf("%s: the plans differ", name)
		}
		for _, tr := range same.Tensors() {
			start, err := graph.Data[float32](opened.Value(tr.Name).Init())
			if err != nil {
				t.Fatal(err)
			}
			fromBase := map[string]bool{"pissa": true, "olora": true, "norm": true}[tr.Init]
			if unset := start[0] != start[0]; unset != fromBase {
				t.Errorf("%s: %s is %v, its start %s", name, tr.Name, start[0], tr.Init)
			}
		}
		if err := same.SetValues(opened, values); err != nil {
			t.Fatal(err)
		}
		logits := func(g *graph.Graph) *graph.Tensor { return outputs(t, f, g, []string{plan.Logits})[plan.Logits] }
		graphtest.Close(t, logits(opened), logits(g), 0, 0)
	}
}
