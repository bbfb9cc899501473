package inject_test

import (
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

// fused is a fixture whose layers end as onnxruntime's optimizer writes them: sum, bias and LayerNorm in one node, bias and
// activation in another.
func fused(t *testing.T, f *modelstest.Fixture) *graph.Graph {
	t.Helper()
	const contrib = "com.microsoft"
	g := f.Load(t)
	e := injecttest.Recognise(t, g)
	g.Opsets[contrib] = 1
	b := g.Build("fused")
	product := func(l *models.Linear) *graph.Value { return l.Nodes[0].Output(0) }
	skip := func(l *models.Linear, residual *graph.Value, n *models.Norm) *graph.Value {
		eps := graph.FloatAttr("epsilon", float32(n.Eps))
		return b.In(contrib).With(eps).Op("SkipLayerNormalization", product(l), residual, n.Scale, n.Bias, l.Bias)
	}
	replace := func(old, repl *graph.Value) *graph.Value {
		if b.Err() != nil {
			t.Fatal(b.Err())
		}
		if err := g.ReplaceUses(old, repl, nil); err != nil {
			t.Fatal(err)
		}
		return repl
	}
	input := e.Layers[0].Input
	for i := range e.Layers {
		l := &e.Layers[i]
		y := replace(l.AttentionNorm.Output, skip(&l.AttentionOutput, input, &l.AttentionNorm))
		replace(l.ActivationOut, b.In(contrib).Op("BiasGelu", product(&l.Intermediate), l.Intermediate.Bias))
		input = replace(l.Output, skip(&l.Dense, y, &l.OutputNorm))
	}
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	g.Prune()
	mustCheck(t, g)
	return g
}

// What a method adds means the same where the optimizer has fused the base: the same parameters give the same hidden states,
// and merging works there too.
func TestMethodsOnFusedLayers(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op17_tf436")
	for name, m := range map[string]func() inject.Method{
		"pfeiffer":   func() inject.Method { return &inject.Adapter{Config: "pfeiffer"} },
		"houlsby":    func() inject.Method { return &inject.Adapter{Config: "houlsby"} },
		"parallel":   func() inject.Method { return &inject.Adapter{Config: "parallel"} },
		"ia3":        func() inject.Method { return &inject.IA3{Init: true} },
		"bitfit":     func() inject.Method { return &inject.BitFit{} },
		"full":       func() inject.Method { return &inject.Full{} },
		"lora dense": func() inject.Method { return loraOn("output.dense,intermediate.dense") },
	} {
		t.Run(name, func(t *testing.T) {
			run := func(g *graph.Graph) (injected, merged *graph.Tensor) {
				plan := injecttest.Into(t, g, inject.Options{Task: inject.Task{Type: "regression"}, Head: inject.HeadMean}, m())
				injecttest.Move(t, g, plan, 0.4)
				injected = outputs(t, f, g, []string{plan.Logits})[plan.Logits]
				if _, err := inject.Merge(g, plan); err != nil {
					t.Fatal(err)
				}
				return injected, outputs(t, f, g, []string{plan.Logits})[plan.Logits]
			}
			want, _ := run(f.Load(t))
			got, merged := run(fused(t, f))
			// The fused activation has √2 in float64, the base in float32.
			graphtest.Close(t, got, want, 1e-7, 1e-7)
			graphtest.Close(t, merged, want, 1e-5, 1e-5)
		})
	}
}

func loraOn(targets string) *inject.LoRA {
	return &inject.LoRA{R: 2, Alpha: 4, Bias: "none", Init: "default", Targets: inject.Targets{Modules: inject.ParseNames(targets)}}
}

// IA3 scales what comes after the bias, which is out of reach inside a fused node.
func TestIA3RefusesFusedBias(t *testing.T) {
	g := fused(t, modelstest.Encoder(t, "bert_torch2_legacy_op17_tf436"))
	enc := injecttest.Recognise(t, g)
	m := &inject.IA3{Init: true, Targets: inject.Targets{Modules: inject.ParseNames("intermediate.dense")}}
	if _, err := inject.Inject(enc, []inject.Method{m}, inject.Options{}); err == nil || !strings.Contains(err.Error(), "operator fusion") {
		t.Errorf("got %v, want an error about operator fusion", err)
	}
}
