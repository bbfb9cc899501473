package models

import (
	"fmt"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

// headed replaces what a fixture computes from its last hidden state by a head that build writes.
func headed(t *testing.T, file string, build func(b *graph.Builder, hidden *graph.Value, width int64) []*graph.Value) *Encoder {
	t.Helper()
	g := load(t, "testdata/"+file+".onnx")
	e := recognise(t, g)
	b := g.Build("head")
	outs := build(b, e.LastHidden, int64(e.Hidden))
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	g.SetOutputs(outs...)
	g.Prune()
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	return recognise(t, g)
}

// dense adds x·W + b under a name.
func dense(b *graph.Builder, name string, x *graph.Value, in, out int64) *graph.Value {
	b = b.Scope(name)
	w := b.Init("weight", graph.TensorOf([]int64{in, out}, make([]float32, in*out)))
	return b.Op("Add", b.Op("MatMul", x, w), b.Init("bias", graph.TensorOf(nil, make([]float32, out))))
}

func firstOf(b *graph.Builder, hidden *graph.Value) *graph.Value {
	return b.With(graph.IntAttr("axis", 1)).Op("Gather", hidden, b.Int(0))
}

func TestHeads(t *testing.T) {
	const bert, roberta, distilbert = "bert_torch2_legacy_op17_tf436", "roberta_torch2_legacy_op14_sdpa", "distilbert_torch2_legacy_op14_eager"
	type build = func(b *graph.Builder, hidden *graph.Value, width int64) []*graph.Value
	one := func(v *graph.Value) []*graph.Value { return []*graph.Value{v} }
	pooled := func(act string) build {
		return func(b *graph.Builder, h *graph.Value, w int64) []*graph.Value {
			x := b.Op("Identity", b.Op(act, dense(b, "dense", firstOf(b, h), w, w)))
			return one(dense(b, "out", x, w, 3))
		}
	}
	for _, c := range []struct {
		name, file               string
		build                    build
		task                     Task
		pooler, classifier, with string
	}{
		{"roberta", roberta, pooled("Tanh"), SequenceClassification, "classifier.dense", "classifier.out_proj", "tanh"},
		{"distilbert", distilbert, pooled("Relu"), SequenceClassification, "pre_classifier", "classifier", "relu"},
		{"first token, no pooler", bert, func(b *graph.Builder, h *graph.Value, w int64) []*graph.Value {
			cut := b.Op("Slice", h, b.Ints(0), b.Ints(1), b.Ints(1))
			return one(dense(b, "out", b.Op("Squeeze", cut, b.Ints(1)), w, 3))
		}, SequenceClassification, "", "classifier", ""},
		{"tokens", bert, func(b *graph.Builder, h *graph.Value, w int64) []*graph.Value {
			return one(dense(b, "out", b.Op("Dropout", h), w, 9))
		}, TokenClassification, "", "classifier", ""},
		{"span", distilbert, func(b *graph.Builder, h *graph.Value, w int64) []*graph.Value {
			parts := b.With(graph.IntAttr("axis", -1)).OpN("Split", 2, dense(b, "out", h, w, 2), b.Ints(1, 1))
			return []*graph.Value{b.Op("Squeeze", parts[0], b.Ints(-1)), b.Op("Squeeze", parts[1], b.Ints(-1))}
		}, QuestionAnswering, "", "qa_outputs", ""},
		{"mean of the tokens", bert, func(b *graph.Builder, h *graph.Value, w int64) []*graph.Value {
			return one(b.With(graph.IntsAttr("axes", 1), graph.IntAttr("keepdims", 0)).Op("ReduceMean", h))
		}, NoTask, "", "", ""},
		{"language model", bert, func(b *graph.Builder, h *graph.Value, w int64) []*graph.Value {
			return one(dense(b, "decoder", b.Op("Relu", dense(b, "transform", h, w, w)), w, 60))
		}, MaskedLM, "", "", ""},
		{"second token", bert, func(b *graph.Builder, h *graph.Value, w int64) []*graph.Value {
			x := b.With(graph.IntAttr("axis", 1)).Op("Gather", h, b.Int(1))
			return one(b.Op("Tanh", dense(b, "dense", x, w, w)))
		}, NoTask, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := headed(t, c.file, c.build)
			name := func(l *Linear) string {
				if l == nil {
					return ""
				}
				return l.Name
			}
			if e.Task != c.task || name(e.Pooler) != c.pooler || name(e.Classifier) != c.classifier || e.PoolerActivation != c.with {
				t.Errorf("task %q, pooler %q (%s), classifier %q", e.Task, name(e.Pooler), e.PoolerActivation, name(e.Classifier))
			}
			if e.LastHidden != e.Layers[len(e.Layers)-1].Output {
				t.Errorf("last hidden state %s", e.LastHidden)
			}
		})
	}
}

// ELECTRA's small sizes project narrow embeddings to the layers' width.
func TestProjectedEmbeddings(t *testing.T) {
	g := load(t, "testdata/bert_torch2_legacy_op17_tf436.onnx")
	e := recognise(t, g)
	norm, h := e.Embeddings.Norm.Output, int64(e.Hidden)
	b := g.Build("embeddings_project")
	y := dense(b, "linear", norm, h, h)
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	mine := b.Nodes()[0]
	if err := g.ReplaceUses(norm, y, func(n *graph.Node) bool { return n == mine }); err != nil {
		t.Fatal(err)
	}
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	e = recognise(t, g)
	if e.Family != "electra" || e.Embeddings.Projection == nil || e.Embeddings.Projection.Output != y {
		t.Fatalf("%s, projection %v", e.Family, e.Embeddings.Projection)
	}
	if got := e.Linears()[0].Name; got != "embeddings_project" {
		t.Errorf("the first linear map is %q", got)
	}
}

func TestParams(t *testing.T) {
	e := recognise(t, loadFixture(t, "bert_torch2_legacy_op14_seqcls").g)
	const h, i, layers = 16, 40, 2
	want := Params{
		Embeddings: (60+32+2)*h + 2*h,
		Layers:     layers * (4*(h*h+h) + h*i + i + i*h + h + 4*h),
		Pooler:     h*h + h,
		Classifier: h*3 + 3,
	}
	if got := e.Params(); got != want || got.Total() != want.Embeddings+want.Layers+want.Pooler+want.Classifier {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestTargets(t *testing.T) {
	for file, want := range map[string]string{
		"bert_torch2_legacy_op14_seqcls":      "[query key value dense]",
		"distilbert_torch2_legacy_op14_eager": "[q_lin k_lin v_lin out_lin lin1 lin2]",
	} {
		if got := fmt.Sprint(recognise(t, load(t, "testdata/"+file+".onnx")).Targets()); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}
