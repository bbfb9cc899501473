package models

import (
	"errors"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// oldForms write parts of an encoder as exporters before 2021 did. Real files of theirs are larger than this repository's
// fixtures: see TestOldExporters.
var oldForms = map[string]func(b *graph.Builder, e *Encoder) error{
	"sizes picked by vectors": func(b *graph.Builder, e *Encoder) error {
		for _, n := range headSplits(e) {
			size := b.Op("Shape", n.Input(0))
			n.SetInput(1, join(b, b.Op("Gather", size, vector(b, 0)), b.Op("Gather", size, vector(b, 1)), vector(b, int64(e.Heads)), vector(b, -1)))
		}
		return nil
	},
	"TensorFlow's LayerNorm": func(b *graph.Builder, e *Encoder) error {
		for _, n := range e.Norms() {
			if err := e.Graph.ReplaceUses(n.Output, tensorFlowNorm(b, n), nil); err != nil {
				return err
			}
		}
		return nil
	},
	"tokens in one row": func(b *graph.Builder, e *Encoder) error {
		sizes, h := b.Op("Shape", e.InputIDs), int64(e.Hidden)
		for _, n := range headSplits(e) {
			n.SetInput(1, join(b, sizes, vector(b, int64(e.Heads), int64(e.HeadDim))))
		}
		for i := range e.Layers {
			e.Layers[i].AttentionOutput.Input.Producer().SetInput(1, vector(b, -1, h))
		}
		for v, shape := range map[*graph.Value]*graph.Value{
			e.Embeddings.Norm.Output: vector(b, -1, h),
			e.LastHidden:             join(b, sizes, vector(b, h)),
		} {
			reshaped := b.Op("Reshape", v, shape)
			if err := e.Graph.ReplaceUses(v, reshaped, func(n *graph.Node) bool { return n == reshaped.Producer() }); err != nil {
				return err
			}
		}
		return nil
	},
}

// headSplits returns the Reshapes that split query, key and value into heads.
func headSplits(e *Encoder) []*graph.Node {
	var out []*graph.Node
	for i := range e.Layers {
		for _, l := range []Linear{e.Layers[i].Query, e.Layers[i].Key, e.Layers[i].Value} {
			for _, n := range l.Output.Users() {
				if n.Is("Reshape") {
					out = append(out, n)
				}
			}
		}
	}
	return out
}

// vector is a Constant node, as exporters write it.
func vector(b *graph.Builder, values ...int64) *graph.Value {
	return b.With(graph.TensorAttr("value", graph.TensorOf([]int64{int64(len(values))}, values))).Op("Constant")
}

func join(b *graph.Builder, parts ...*graph.Value) *graph.Value {
	return b.With(graph.IntAttr("axis", 0)).Op("Concat", parts...)
}

// tensorFlowNorm writes x·k + (bias − mean·k) with k = scale/√(variance + ε).
func tensorFlowNorm(b *graph.Builder, n *Norm) *graph.Value {
	mean := func(v *graph.Value) *graph.Value { return b.With(graph.IntsAttr("axes", -1)).Op("ReduceMean", v) }
	m := mean(n.Input)
	d := b.Op("Sub", n.Input, m)
	variance := mean(b.Op("Mul", d, d))
	k := b.Op("Mul", b.Op("Reciprocal", b.Op("Sqrt", b.Op("Add", variance, b.Float(graph.Float, n.Eps)))), n.Scale)
	return b.Op("Add", b.Op("Mul", n.Input, k), b.Op("Sub", n.Bias, b.Op("Mul", m, k)))
}

// Whatever the form, and without a shape declared inside the graph, the parts are the same and compute PyTorch's outputs.
func TestOldForms(t *testing.T) {
	for name, write := range oldForms {
		t.Run(name, func(t *testing.T) {
			f := loadFixture(t, "bert_torch2_legacy_op17_tf436")
			g := f.g
			b := g.Build("old")
			if err := errors.Join(write(b, recognise(t, g)), b.Err()); err != nil {
				t.Fatal(err)
			}
			g.Prune()
			if err := errors.Join(g.Sort(), g.Check()); err != nil {
				t.Fatal(err)
			}
			for _, v := range g.Values() {
				if v.Producer() != nil {
					v.Shape = nil
				}
			}
			e := recognise(t, g)
			checkSizes(t, e, f.Fixture, true)
			for i, run := range f.Runs {
				// The rewritten outputs have other names.
				proveValues(t, e, f.Feeds(g, i), map[string]modelstest.Array{
					g.Outputs()[0].Name(): run.Outputs["last_hidden_state"], g.Outputs()[1].Name(): run.Outputs["pooler_output"],
				})
			}
		})
	}
}

// Every piece of an encoder up to some value: without a whole layer it is refused, with a stage and a reason.
func TestPiecesAreRefused(t *testing.T) {
	for _, file := range []string{"bert_torch2_legacy_op17_tf436", "bert_torch2_dynamo_op18_eager", "distilbert_torch2_legacy_op14_eager"} {
		g := load(t, "testdata/"+file+".onnx")
		whole := recognise(t, g)
		short := map[*graph.Value]bool{}
		ancestors(whole.Layers[0].OutputNorm.Input, func(v *graph.Value) { short[v] = true })
		for i, v := range g.Values() {
			if v.Producer() == nil {
				continue
			}
			piece := g.Clone()
			piece.SetOutputs(piece.Values()[i])
			piece.Prune()
			e, err := Recognise(piece)
			var refusal *NotRecognisedError
			switch {
			case err != nil && (!errors.As(err, &refusal) || refusal.Stage == "" || refusal.Why == ""):
				t.Errorf("%s up to %s: got %v", file, v, err)
			case err == nil && (short[v] || len(e.Layers) > len(whole.Layers)):
				t.Errorf("%s up to %s: taken for an encoder of %d layers", file, v, len(e.Layers))
			}
		}
	}
}
