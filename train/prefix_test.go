package train_test

import (
	"context"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/internal/runtimetest"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
)

// virtualTokens are the methods that make sequences longer, in each placement.
func virtualTokens() map[string]inject.Method {
	place := func(layout, combine, pool string) inject.Placement {
		return inject.Placement{Tokens: 3, Layout: layout, Combine: combine, Pool: pool}
	}
	return map[string]inject.Method{
		"prefix":            &inject.Prefix{Tokens: 3, Layout: inject.LayoutPEFT, Init: "random"},
		"prefix projection": &inject.Prefix{Tokens: 3, Layout: inject.LayoutAdapterHub, Init: "random", Projection: true, Hidden: 5},
		"prompt":            &inject.Prompt{Placement: place(inject.LayoutPEFT, inject.CombinePrefix, inject.PoolFirst), Init: "vocab"},
		"prompt after bos":  &inject.Prompt{Placement: place(inject.LayoutAdapterHub, inject.CombineAfterBOS, inject.PoolCLS), Init: "uniform"},
		"p-tuning":          &inject.PTuning{Placement: place(inject.LayoutPEFT, inject.CombinePrefix, inject.PoolCLS), Hidden: 5},
	}
}

// The gradients of learned keys, values and embeddings through the whole model on every exporter form, and the forward pass
// of the training graph. A ReLU's kink within reach of the differences would show, so P-tuning's parameters are all checked.
func TestVirtualTokenGradientsOnEveryExporterForm(t *testing.T) {
	for name, m := range virtualTokens() {
		for _, f := range modelstest.Encoders(t) {
			if f.IsRelative() && strings.HasPrefix(name, "prefix") {
				continue // refused
			}
			t.Run(name+"/"+f.Name, func(t *testing.T) {
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

// Deployed with constants, each form runs on onnxruntime and computes what the reference evaluator does: onnxruntime trusts
// the sizes that a file states, and virtual tokens change them.
func TestVirtualTokensInOnnxruntime(t *testing.T) {
	ort := runtimetest.Open(t)
	fixtures := append(modelstest.Encoders(t), modelstest.Encoder(t, "bert_torch2_dynamo_op23_sdpa_tf5"))
	for name, m := range virtualTokens() {
		for _, f := range fixtures {
			if f.IsRelative() && strings.HasPrefix(name, "prefix") {
				continue // refused
			}
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				g, plan := injected(t, f, inject.Task{Type: "classification", Labels: labels}, m, 0)
				if _, err := inject.Merge(g, plan); err != nil {
					t.Fatal(err)
				}
				model, err := onnxfile.Marshal(g, onnxfile.Options{})
				if err != nil {
					t.Fatal(err)
				}
				s, err := ort.NewSession(context.Background(), model, runtime.Options{Threads: 1})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				for run := range f.Runs {
					fed, fetch := f.Feeds(g, run), []string{plan.Logits}
					got, err := s.Run(context.Background(), fed, fetch)
					if err != nil {
						t.Fatal(err)
					}
					want, err := reference(t, g).Run(context.Background(), fed, fetch)
					if err != nil {
						t.Fatal(err)
					}
					graphtest.Close(t, got[0], want[0], 1e-4, 1e-5)
				}
			})
		}
	}
}
