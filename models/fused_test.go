package models

import (
	"errors"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

// fuse rewrites the layers of a recognised encoder as onnxruntime's optimizer does when its attention fusion is off:
// SkipLayerNormalization with the bias of the product before it, and BiasGelu.
func fuse(t *testing.T, e *Encoder) {
	t.Helper()
	g := e.Graph
	g.Opsets[contrib] = 1
	b := g.Build("fused")
	replace := func(old, repl *graph.Value) {
		if b.Err() != nil {
			t.Fatal(b.Err())
		}
		if err := g.ReplaceUses(old, repl, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range e.Layers {
		l := &e.Layers[i]
		product := func(l *Linear) *graph.Value { return l.Nodes[0].Output(0) }
		skip := func(l *Linear, residual *graph.Value, n *Norm) *graph.Value {
			eps := graph.FloatAttr("epsilon", float32(n.Eps))
			return b.In(contrib).With(eps).Op("SkipLayerNormalization", product(l), residual, n.Scale, n.Bias, l.Bias)
		}
		input := l.Input
		if i > 0 {
			input = e.Layers[i-1].Output
		}
		y := skip(&l.AttentionOutput, input, &l.AttentionNorm)
		replace(l.AttentionNorm.Output, y)
		replace(l.ActivationOut, b.In(contrib).Op("BiasGelu", product(&l.Intermediate), l.Intermediate.Bias))
		out := skip(&l.Dense, y, &l.OutputNorm)
		replace(l.Output, out)
		l.Output = out
	}
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	g.Prune()
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
}

func TestFusedSumsAndActivations(t *testing.T) {
	f := loadFixture(t, "bert_torch2_legacy_op17_tf436")
	fuse(t, recognise(t, f.g))
	e := recognise(t, f.g)
	for i := range e.Layers {
		l := &e.Layers[i]
		for _, part := range []*Linear{&l.AttentionOutput, &l.Intermediate, &l.Dense} {
			if part.BiasNode == nil || part.BiasNode.Domain != contrib || part.Bias == nil {
				t.Errorf("%s: bias %s added by %s", part.Name, part.Bias, part.BiasNode)
			}
		}
		if l.AttentionNorm.Skip == nil || l.OutputNorm.Skip == nil || l.Query.BiasNode != nil {
			t.Errorf("layer %d: norms %v, %v", i, l.AttentionNorm.Skip, l.OutputNorm.Skip)
		}
	}
	for i, run := range f.Runs {
		proveValues(t, e, f.Feeds(f.g, i), run.Outputs)
	}
}

// Models exported without a mask input may still add a mask of their own making: all zeros, as wide as the scores.
func TestConstantMask(t *testing.T) {
	g := load(t, "testdata/bert_torch2_legacy_op17_tf436.onnx")
	e := recognise(t, g)
	b := g.Build("mask")
	value := graph.TensorAttr("value", graph.TensorOf(nil, []float32{0}))
	length := b.Op("Gather", b.Op("Shape", e.InputIDs), b.Ints(1))
	zeros := b.With(value).Op("ConstantOfShape", b.With(graph.IntAttr("axis", 0)).Op("Concat", b.Ints(1, 1, 1), length))
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	if err := g.ReplaceUses(e.Layers[0].Attention.Mask, zeros, nil); err != nil {
		t.Fatal(err)
	}
	g.Prune()
	if err := errors.Join(g.Sort(), g.RemoveInput(e.AttentionMask)); err != nil {
		t.Fatal(err)
	}
	e = recognise(t, g)
	a := &e.Layers[0].Attention
	if e.AttentionMask != nil || a.Mask != zeros || a.PositionBias != nil || e.Family != "bert" {
		t.Errorf("mask input %s, mask %s, position bias %s, %s", e.AttentionMask, a.Mask, a.PositionBias, e.Family)
	}
}
