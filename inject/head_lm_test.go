package inject_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

var maskedLM = inject.Task{Type: "masked-lm", Kind: models.MaskedLM}

// languageModels are the exporter files of masked language models.
func languageModels(t *testing.T) []*modelstest.Fixture {
	t.Helper()
	out := slices.DeleteFunc(modelstest.Encoders(t), func(f *modelstest.Fixture) bool { return !strings.HasSuffix(f.Class, "ForMaskedLM") })
	if len(out) < 4 {
		t.Fatalf("%d files", len(out))
	}
	return out
}

// A file's own head is taken by itself, frozen; before training the logits are the base's, with either of its two kinds.
func TestAFilesOwnLanguageModelHead(t *testing.T) {
	for _, f := range languageModels(t) {
		for _, c := range []struct {
			asked, got inject.HeadKind
			trained    int // parameters of the head
		}{
			{inject.HeadAuto, inject.HeadOwnLM, 0},
			{inject.HeadTunedLM, inject.HeadTunedLM, 16*16 + 16 + 2*16 + 60},
		} {
			t.Run(f.Name+"/"+string(c.got), func(t *testing.T) {
				base := f.Load(t)
				want := outputs(t, f, base, []string{"logits"})["logits"]
				g, plan := injected(t, f, "lora", inject.Options{Task: maskedLM, Head: c.asked})
				if plan.Head.Kind != c.got || plan.Logits != "logits" || plan.Task.Outputs() != 60 {
					t.Fatalf("head %q, logits %q, %d outputs", plan.Head.Kind, plan.Logits, plan.Task.Outputs())
				}
				head := 0
				for _, tr := range plan.Trainables {
					if tr.Method == "head" {
						head += tr.Len()
					}
				}
				if head != c.trained {
					t.Errorf("the head trains %d parameters, want %d", head, c.trained)
				}
				graphtest.Close(t, outputs(t, f, g, []string{"logits"})["logits"], want, 0, 1e-12)

				injecttest.Move(t, g, plan, 0.4)
				trained := outputs(t, f, g, []string{"logits"})["logits"]
				if graphtest.Differ(trained, want, 0, 1e-3) == nil {
					t.Error("other parameters don't change the logits")
				}
				if _, err := inject.Merge(g, plan); err != nil {
					t.Fatal(err)
				}
				mustCheck(t, g)
				graphtest.Close(t, outputs(t, f, g, []string{"logits"})["logits"], trained, 1e-5, 1e-5)
			})
		}
	}
}

// A new head with the parameters of the file's own computes what that does: its decoder is the embeddings' table, as in the
// models that these files were exported from.
func TestANewLanguageModelHead(t *testing.T) {
	for _, f := range languageModels(t) {
		t.Run(f.Name, func(t *testing.T) {
			base := f.Load(t)
			own := injecttest.Recognise(t, base)
			want := outputs(t, f, base, []string{"logits"})["logits"]
			g, plan := injected(t, f, "head-only", inject.Options{Task: maskedLM, Head: inject.HeadLM})
			if tables := tablesOf(g, 60, 16); tables > tablesOf(base, 60, 16) {
				t.Errorf("%d tables of the vocabulary's size", tables)
			}
			values := map[string]*graph.Tensor{}
			put := func(target, role string, v *graph.Value, swap bool) {
				data, err := v.Init().Float64s()
				if err != nil {
					t.Fatal(err)
				}
				tr := plan.Find("head", target, role)
				if swap {
					data = swapped(data, 16)
				}
				values[tr.Name] = graph.FloatTensor(graph.Float, tr.Shape, data)
			}
			put("transform.dense", "weight", own.Transform.Dense.Weight, !own.Transform.Dense.Transposed)
			put("transform.dense", "bias", own.Transform.Dense.Bias, false)
			put("transform.LayerNorm", "weight", own.Transform.Norm.Scale, false)
			put("transform.LayerNorm", "bias", own.Transform.Norm.Bias, false)
			put("classifier", "bias", own.Classifier.Bias, false)
			if err := plan.SetValues(g, values); err != nil {
				t.Fatal(err)
			}
			graphtest.Close(t, outputs(t, f, g, []string{plan.Logits})[plan.Logits], want, 1e-6, 1e-6)
		})
	}
}

// swapped is the transpose of a square matrix.
func swapped(m []float64, n int) []float64 {
	out := make([]float64, len(m))
	for i := range m {
		out[i%n*n+i/n] = m[i]
	}
	return out
}

// tablesOf counts matrices of a size, either way round.
func tablesOf(g *graph.Graph, rows, columns int64) (n int) {
	for _, v := range g.Initializers() {
		if d := v.Init().Dims; slices.Equal(d, []int64{rows, columns}) || slices.Equal(d, []int64{columns, rows}) {
			n++
		}
	}
	return n
}

func TestLanguageModelHeadsThatDontFit(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	for _, c := range []struct {
		opt  inject.Options
		says string
	}{
		{inject.Options{Task: maskedLM, Head: inject.HeadOwnLM}, "--head own-lm: the model was exported without a masked language model's head; use lm"},
		{inject.Options{Task: maskedLM, Head: inject.HeadTunedLM}, "--head tuned-lm: the model was exported without a masked language model's head; use lm"},
		{inject.Options{Task: maskedLM, Head: inject.HeadMean}, "--head mean: it is no head for masked-lm"},
		{inject.Options{Task: maskedLM, HeadDrop: 0.1}, "--head-dropout: the head lm has none; leave it out"},
		{inject.Options{Task: inject.Task{Type: "regression"}, Head: inject.HeadLM}, "--head lm: it is no head for sequence-classification"},
	} {
		_, err := inject.Inject(injecttest.Recognise(t, f.Load(t)), nil, c.opt)
		if err == nil || !strings.HasSuffix(err.Error(), c.says) {
			t.Errorf("%q, want %q", err, c.says)
		}
	}
}

// A base that was adapted to a domain, merged and left with its own outputs is a base as before: it is recognised, and any
// task can be injected again.
func TestAnAdaptedBaseTakesAnotherTask(t *testing.T) {
	for _, name := range []string{"bert_torch2_legacy_op14_sdpa", "bert_torch2_legacy_op14_mlm", "distilbert_torch2_legacy_op14_mlm"} {
		f := modelstest.Encoder(t, name)
		for _, method := range []string{"lora", "full"} {
			t.Run(name+"/"+method, func(t *testing.T) {
				base := f.Load(t)
				kept := names(base.Outputs())
				before := outputs(t, f, base, kept)
				g, plan := injected(t, f, method, inject.Options{Task: maskedLM})
				injecttest.Move(t, g, plan, 0.4)
				want := outputs(t, f, g, kept)
				if unmerged, err := inject.Merge(g, plan); err != nil || len(unmerged) > 0 {
					t.Fatal(unmerged, err)
				}
				var outs []*graph.Value
				for _, n := range kept {
					outs = append(outs, g.Value(n))
				}
				g.SetOutputs(outs...)
				g.RemoveMeta(inject.MetadataKey)
				g.Prune()
				mustCheck(t, g)
				if v := g.Value("peft/head/classifier/bias"); v != nil {
					t.Errorf("%q is left", v.Name())
				}
				got := outputs(t, f, g, kept)
				for _, n := range kept {
					graphtest.Close(t, got[n], want[n], 1e-5, 1e-5)
				}
				if graphtest.Differ(got[kept[0]], before[kept[0]], 0, 1e-3) == nil {
					t.Error("nothing was adapted")
				}
				again := injecttest.Into(t, g, inject.Options{Task: inject.Task{Type: "classification", Labels: []string{"a", "b"}}}, lora())
				if again.Encoder.Hidden != 16 || len(again.Sites) == 0 || again.Logits != "logits" {
					t.Errorf("the new plan: %+v", again)
				}
				for _, n := range kept {
					if n != again.Logits {
						graphtest.Close(t, outputs(t, f, g, []string{n})[n], want[n], 1e-5, 1e-5)
					}
				}
			})
		}
	}
}

func lora() *inject.LoRA {
	return &inject.LoRA{R: 2, Alpha: 2, Bias: "none", Init: "default", Targets: inject.Targets{Modules: inject.ParseNames("re:.*(query|q_lin)")}}
}
