package inject_test

import (
	"math"
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

// However a mask is applied, a prefix is seen: each way of masking the same fixture gives the same logits with the same prefix.
func TestPrefixUnderEveryMask(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_gelu_new")
	hidden := func(rewrite func(p *graph.Patch, a *models.Attention) *graph.Value) *graph.Tensor {
		g := f.Load(t)
		enc := injecttest.Recognise(t, g)
		for i := range enc.Layers {
			a := &enc.Layers[i].Attention
			if rewrite == nil {
				continue
			}
			p := g.NewPatch("test")
			p.Shunt(a.Masked, p.Typed(rewrite(p, a), graph.Float, nil))
			if err := p.Apply(); err != nil {
				t.Fatal(err)
			}
		}
		g.Prune()
		enc = injecttest.Recognise(t, g)
		out := enc.LastHidden.Name()
		m := &inject.Prefix{Tokens: 3, Layout: inject.LayoutAdapterHub, Init: "random"}
		if _, err := inject.Inject(enc, []inject.Method{m}, inject.Options{Seed: 6}); err != nil {
			t.Fatal(err)
		}
		mustCheck(t, g)
		return outputs(t, f, g, []string{out})[out]
	}
	want := hidden(nil)
	zero := func(p *graph.Patch) *graph.Value { return p.Float(graph.Float, 0) }
	masked := func(p *graph.Patch, a *models.Attention) *graph.Value { return p.Op("Less", a.Mask, zero(p)) }
	for name, rewrite := range map[string]func(p *graph.Patch, a *models.Attention) *graph.Value{
		"where masked": func(p *graph.Patch, a *models.Attention) *graph.Value {
			return p.Op("Where", masked(p, a), p.Float(graph.Float, -math.MaxFloat32), scores(a))
		},
		"where visible": func(p *graph.Patch, a *models.Attention) *graph.Value {
			return p.Op("Where", p.Op("Not", masked(p, a)), scores(a), p.Float(graph.Float, -math.MaxFloat32))
		},
		"expanded to the scores": func(p *graph.Patch, a *models.Attention) *graph.Value {
			s := scores(a)
			return p.Op("Add", p.Op("Expand", a.Mask, p.Op("Shape", s)), s)
		},
		"subtracted": func(p *graph.Patch, a *models.Attention) *graph.Value {
			return p.Op("Sub", scores(a), p.Op("Neg", a.Mask))
		},
	} {
		t.Run(name, func(t *testing.T) {
			graphtest.Close(t, hidden(rewrite), want, 1e-6, 1e-6)
		})
	}
}

// scores is what the mask is applied to.
func scores(a *models.Attention) *graph.Value {
	return a.MaskNode.Input(1 - slices.Index(a.MaskNode.Inputs(), a.Mask))
}
