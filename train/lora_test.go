package train_test

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/data"
)

var loraVariants = map[string]func(l *inject.LoRA){
	"dora":        func(l *inject.LoRA) { l.DoRA, l.Dropout = true, 0.1 },
	"dora biases": func(l *inject.LoRA) { l.DoRA, l.Bias = true, "lora_only" },
	"pissa":       func(l *inject.LoRA) { l.Init, l.Dropout = "pissa", 0.1 },
	"olora":       func(l *inject.LoRA) { l.Init = "olora" },
	"lora bias":   func(l *inject.LoRA) { l.UpdateBias = true },
	"embedding":   func(l *inject.LoRA) { l.Modules = inject.ParseNames("word_embeddings") },
	"all linear":  func(l *inject.LoRA) { l.Modules = inject.ParseNames("all-linear") },
	"whole":       func(l *inject.LoRA) { l.ModulesToSave = inject.ParseNames("intermediate") },
}

// The gradients of every form of LoRA through the whole model; DoRA's, whose norms a difference must hold still, on every
// exporter form, the others on one of each kind.
func TestLoRAGradients(t *testing.T) {
	kinds := []string{"bert_torch2_legacy_op14_gemm", "bert_torch2_legacy_op14_sdpa", "bert_torch2_dynamo_op18_sdpa_noopt"}
	for name, set := range loraVariants {
		for _, f := range modelstest.Encoders(t) {
			if name != "dora" && !slices.Contains(kinds, f.Name) {
				continue
			}
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				m := lora()
				set(m)
				g, plan := injected(t, f, inject.Task{Type: "classification", Labels: labels}, m, 0)
				s, err := train.NewStepGraph(g, plan, autodiff.Options{})
				if err != nil {
					t.Fatal(err)
				}
				checkGradients(t, s, g, f, 1)
			})
		}
	}
}

// Loss and gradients are PyTorch's for adapters that PEFT wrote; DoRA's only agree when its norms are detached.
func TestGradientsEqualPEFT(t *testing.T) {
	for _, name := range []string{"dora", "lora_b_bias", "lora_embedding"} {
		t.Run(name, func(t *testing.T) {
			var want struct {
				Labels    []int64
				Loss      float64
				Gradients map[string]modelstest.Array
			}
			graphtest.ReadJSON(t, filepath.Join("testdata", "peft", name+".json"), &want)
			s, a, loss, grads := peftStep(t, name, want.Labels)
			if math.Abs(loss-want.Loss) > 1e-5 {
				t.Errorf("loss %v, PyTorch's is %v", loss, want.Loss)
			}
			if len(s.Layout.Slots) != len(want.Gradients) {
				t.Errorf("%d trainables; PEFT has %d", len(s.Layout.Slots), len(want.Gradients))
			}
			worst := 0.0
			for _, slot := range s.Layout.Slots {
				key := a.Key(s.Plan, slot.Trainable)
				w, ok := want.Gradients[key]
				if !ok || !slices.Equal(w.Shape, slot.Shape) {
					t.Errorf("%s is %v, PyTorch's gradient %v", key, slot.Shape, w.Shape)
					continue
				}
				worst = max(worst, distance(grads[slot.Offset:slot.Offset+slot.Len()], w.Data))
			}
			t.Logf("largest relative distance of a gradient %.1e", worst)
			if !(worst <= 1e-4) {
				t.Errorf("a gradient is off by %.1e of its length", worst)
			}
		})
	}
}

// peftStep computes the loss and the gradients of an adapter folder of inject/format/testdata.
func peftStep(t *testing.T, name string, classes []int64) (*train.StepGraph, *format.Adapter, float64, []float64) {
	t.Helper()
	dir := filepath.Join("..", "inject", "format", "testdata")
	a, err := format.Load(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	g, err := onnxfile.Load(filepath.Join(dir, "base", "seqcls.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	plan := injecttest.Into(t, g, inject.Options{Task: a.Task, Head: a.Head}, a.Methods...)
	values, err := a.Bind(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.SetValues(g, values); err != nil {
		t.Fatal(err)
	}
	s, err := train.NewStepGraph(g, plan, autodiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var given struct{ Inputs map[string]modelstest.Array }
	graphtest.ReadJSON(t, filepath.Join(dir, name, "expected.json"), &given)
	ints := func(name string) []int64 {
		data, _ := graph.Data[int64](given.Inputs[name].Tensor(graph.Int64))
		return data
	}
	shape := given.Inputs["input_ids"].Shape
	b := &data.Batch{Size: int(shape[0]), Length: int(shape[1]), InputIDs: ints("input_ids"), AttentionMask: ints("attention_mask"),
		TokenTypeIDs: ints("token_type_ids"), Indices: make([]int, shape[0])}
	res, err := reference(t, s.Graph).Run(context.Background(), feeds(t, s, g, withLabels(b, classes)), []string{train.LossOutput, train.GradsOutput})
	if err != nil {
		t.Fatal(err)
	}
	loss, _ := res[0].Float64s()
	grads, _ := res[1].Float64s()
	return s, a, loss[0], grads
}

// distance is ‖got − want‖/‖want‖.
func distance(got, want []float64) float64 {
	d, w := 0.0, 0.0
	for i := range want {
		d += (got[i] - want[i]) * (got[i] - want[i])
		w += want[i] * want[i]
	}
	return math.Sqrt(d / w)
}
