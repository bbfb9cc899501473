package models

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// change inserts what build makes of v between v and its readers.
func change(t *testing.T, g *graph.Graph, v *graph.Value, build func(b *graph.Builder) *graph.Value) *graph.Node {
	t.Helper()
	b := g.Build("change")
	repl := build(b)
	mine := map[*graph.Node]bool{}
	for _, n := range b.Nodes() {
		mine[n] = true
	}
	if err := errors.Join(b.Err(), g.ReplaceUses(v, repl, func(n *graph.Node) bool { return mine[n] }), g.Sort()); err != nil {
		t.Fatal(err)
	}
	return repl.Producer()
}

// tokens is 0, 1, 2, … over the text's tokens as floats, [sequence].
func tokens(b *graph.Builder, e *Encoder) *graph.Value {
	length := b.With(graph.IntAttr("axis", 0)).Op("Gather", b.Op("Shape", e.InputIDs), b.Int(1))
	return b.With(graph.IntAttr("to", int64(graph.Float))).Op("Cast", b.Op("Range", b.Int(0), length, b.Int(1)))
}

func floatsOf(b *graph.Builder, name string, dims []int64, data ...float64) *graph.Value {
	return b.Init(name, graph.FloatTensor(graph.Float, dims, data))
}

// Whatever else enters the scores or the embeddings is refused where it does.
func TestUnexplainedTermsAreRefused(t *testing.T) {
	const bert, relative = "bert_torch2_legacy_op20_eager", "bert_torch2_legacy_op14_relative_key_query"
	const mismatch = "are not the scaled products of queries and keys"
	type edit = func(t *testing.T, e *Encoder) *graph.Node
	// scores adds a term to what enters layer 1's softmax, and blames the node that does.
	scores := func(term func(b *graph.Builder, e *Encoder) *graph.Value) edit {
		return func(t *testing.T, e *Encoder) *graph.Node {
			v := e.Layers[1].Attention.Masked
			return change(t, e.Graph, v, func(b *graph.Builder) *graph.Value { return b.Op("Add", v, term(b, e)) })
		}
	}
	// at changes a value and blames the node that layer 1's mask enters at.
	at := func(of func(e *Encoder) *graph.Value, build func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value) edit {
		return func(t *testing.T, e *Encoder) *graph.Node {
			change(t, e.Graph, of(e), func(b *graph.Builder) *graph.Value { return build(b, e, of(e)) })
			return nil
		}
	}
	mask := func(e *Encoder) *graph.Value { return e.Layers[0].Attention.Mask }
	product := func(e *Encoder) *graph.Value { return e.Layers[1].Attention.Scores }
	sum := func(e *Encoder) *graph.Value { return e.Embeddings.Norm.Input }
	positionsOf := func(e *Encoder) *graph.Value {
		for _, n := range e.Embeddings.Position.Users() {
			return n.Input(1)
		}
		return nil
	}
	for _, c := range []struct {
		name, file, stage, why string
		edit                   edit
	}{
		{"ALiBi", bert, "layer 1", "a bias per head or of distances (ALiBi)", scores(func(b *graph.Builder, e *Encoder) *graph.Value {
			return b.Op("Mul", floatsOf(b, "slopes", []int64{2, 1, 1}, 0.5, 0.25), tokens(b, e))
		})},
		{"ALiBi of equal slopes …", bert, "layer 1", "a second mask", scores(func(b *graph.Builder, e *Encoder) *graph.Value {
			return b.Op("Mul", b.Float(graph.Float, -0.5), tokens(b, e))
		})},
		{"learned bias per head", bert, "layer 1", "a bias per head", scores(func(b *graph.Builder, e *Encoder) *graph.Value {
			return floatsOf(b, "bias", []int64{2, 1, 1}, 0.1, -0.1)
		})},
		{"one number …", bert, "layer 1", mismatch, scores(func(b *graph.Builder, e *Encoder) *graph.Value { return b.Float(graph.Float, 0.5) })},
		{"second mask …", bert, "layer 1", "a second mask", scores(func(b *graph.Builder, e *Encoder) *graph.Value { return mask(e) })},
		{"content of another part", bert, "layer 1", "depends on the text", scores(func(b *graph.Builder, e *Encoder) *graph.Value {
			return b.Op("MatMul", e.Layers[1].Attention.QueryHeads, b.With(graph.IntsAttr("perm", 0, 1, 3, 2)).Op("Transpose", e.Layers[1].Attention.ValueHeads))
		})},
		{"products twice", bert, "layer 1", "a second term of the queries or keys", scores(func(b *graph.Builder, e *Encoder) *graph.Value { return product(e) })},
		{"scale by length", bert, "layer 1", "depends on the text's length", at(product, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
			size := b.With(graph.IntAttr("axis", 0)).Op("Gather", b.Op("Shape", e.InputIDs), b.Int(1))
			return b.Op("Mul", v, b.With(graph.IntAttr("to", int64(graph.Float))).Op("Cast", size))
		})},
		{"scale per head", bert, "layer 1", "a bias per head", at(product, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
			return b.Op("Mul", v, floatsOf(b, "scale", []int64{2, 1, 1}, 1, 2))
		})},
		{"scale below zero", bert, "layer 1", "multiplied by -0.354", at(product, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
			return b.Op("Mul", v, b.Float(graph.Float, -1))
		})},
		{"keys that fade", bert, "layer 1", mismatch, at(product, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
			return b.Op("Mul", v, b.Op("Exp", b.Op("Neg", tokens(b, e))))
		})},
		{"rotary queries", bert, "layer 1", "stands between the query and its projection",
			at(func(e *Encoder) *graph.Value { return e.Layers[1].Attention.QueryHeads }, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
				angle := b.Op("Unsqueeze", tokens(b, e), b.Ints(1))
				return b.Op("Add", b.Op("Mul", v, b.Op("Cos", angle)), b.Op("Mul", b.Op("Neg", v), b.Op("Sin", angle)))
			})},
		{"values that fade", bert, "layer 1", "stands between the value and its projection",
			at(func(e *Encoder) *graph.Value { return e.Layers[1].Attention.ValueHeads }, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
				return b.Op("Mul", v, b.Op("Unsqueeze", b.Op("Exp", b.Op("Neg", tokens(b, e))), b.Ints(1)))
			})},
		{"causal mask", bert, "layer 0", mismatch, at(mask, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
			seen := b.Op("LessOrEqual", tokens(b, e), b.Op("Unsqueeze", tokens(b, e), b.Ints(1)))
			return b.Op("Add", v, b.Op("Where", seen, b.Float(graph.Float, 0), b.Float(graph.Float, -1e9)))
		})},
		{"mask the other way round", bert, "layer 0", mismatch,
			at(func(e *Encoder) *graph.Value { return e.AttentionMask }, func(b *graph.Builder, _ *Encoder, v *graph.Value) *graph.Value { return b.Op("Sub", b.Int(1), v) })},
		{"mask that hides nothing", bert, "layer 0", "doesn't hide tokens", at(mask, func(b *graph.Builder, _ *Encoder, v *graph.Value) *graph.Value {
			return b.Op("Max", v, b.Float(graph.Float, -1))
		})},
		{"two mask inputs", bert, "attention mask", "besides or instead of", at(mask, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
			in, _ := e.Graph.AddInput("other_mask", graph.Float, nil)
			return b.Op("Mul", v, in)
		})},
		{"mask of token types", bert, "attention mask", "masked by \"token_type_ids\"",
			at(func(e *Encoder) *graph.Value { return e.AttentionMask }, func(b *graph.Builder, e *Encoder, _ *graph.Value) *graph.Value {
				return b.Op("Identity", e.TokenTypeIDs)
			})},
		{"positions by twos", bert, "embeddings", "neither count from a first one nor stay the same", at(positionsOf, func(b *graph.Builder, _ *Encoder, v *graph.Value) *graph.Value {
			return b.Op("Mul", v, b.Int(2))
		})},
		{"positions from the middle on", bert, "embeddings", "depend on the text's length", at(positionsOf, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
			return b.Op("Add", v, b.With(graph.IntAttr("axis", 0)).Op("Gather", b.Op("Shape", e.InputIDs), b.Int(1)))
		})},
		{"rows of the text", bert, "embeddings", "neither count", at(positionsOf, func(b *graph.Builder, e *Encoder, _ *graph.Value) *graph.Value {
			return b.Op("Mul", e.InputIDs, e.InputIDs)
		})},
		{"given positions of RoBERTa", "roberta_torch2_legacy_op14_sdpa", "embeddings", "nothing tells where", at(positionsOf, func(b *graph.Builder, e *Encoder, _ *graph.Value) *graph.Value {
			in, _ := e.Graph.AddInput("position_ids", graph.Int64, nil)
			row := graph.TensorOf([]int64{1, int64(e.Hidden)}, make([]float32, e.Hidden)) // roberta-base has one type
			if err := e.Graph.SetInitializer(e.Embeddings.TokenType, row); err != nil {
				t.Fatal(err)
			}
			return b.Op("Identity", in)
		})},
		{"vector in the sum", bert, "embeddings", "have a token type already", at(sum, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
			return b.Op("Add", v, b.Init("vector", graph.TensorOf(nil, make([]float32, e.Hidden))))
		})},
		{"positions twice", bert, "embeddings", "which have positions already", at(sum, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
			return b.Op("Add", v, b.Op("Gather", e.Embeddings.Position, positionsOf(e)))
		})},
		{"types of two inputs", bert, "inputs", "which is neither ids, mask, token types nor positions",
			at(func(e *Encoder) *graph.Value { return e.TokenTypeIDs }, func(b *graph.Builder, e *Encoder, v *graph.Value) *graph.Value {
				in, _ := e.Graph.AddInput("segments", graph.Int64, nil)
				return b.Op("Mul", v, in)
			})},
		{"no positions", bert, "embeddings", "there are no position embeddings", at(sum, func(b *graph.Builder, e *Encoder, _ *graph.Value) *graph.Value {
			return b.Op("Add", e.Embeddings.WordOut, b.Op("Gather", e.Embeddings.TokenType, e.TokenTypeIDs))
		})},
		{"distances off by one", relative, "layer 1", mismatch, func(t *testing.T, e *Encoder) *graph.Node {
			gather := e.Layers[1].Attention.Distances.Users()[0]
			change(t, e.Graph, gather.Input(1), func(b *graph.Builder) *graph.Value { return b.Op("Add", gather.Input(1), b.Int(1)) })
			return nil
		}},
		{"distances of one side twice …", relative, "layer 1", "again", scores(func(b *graph.Builder, e *Encoder) *graph.Value { return e.Layers[1].Attention.Relative[0] })},
		{"distances behind the scale", relative, "layer 1", mismatch, func(t *testing.T, e *Encoder) *graph.Node {
			a := &e.Layers[1].Attention
			change(t, e.Graph, a.Relative[0], func(b *graph.Builder) *graph.Value { return b.Op("Mul", a.Relative[0], b.Float(graph.Float, 2)) })
			return nil
		}},
		{"distances in one layer", relative, "layer 1", "it knows 0 relative positions, that of layer 0 32", func(t *testing.T, e *Encoder) *graph.Node {
			a := &e.Layers[1].Attention
			for _, v := range a.Relative {
				add := v.Users()[0]
				cut(t, e.Graph, add.Output(0), add.Input(0))
			}
			return a.Node
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := load(t, filepath.Join("testdata", c.file+".onnx"))
			node := c.edit(t, recognise(t, g))
			if strings.HasSuffix(c.name, "…") {
				node = nil // either of the two may be it
			}
			if e := refused(t, g, c.stage, node, c.why); e.Node == nil {
				t.Error("no node is named")
			}
		})
	}
}

// The mask of opset 23's Attention is looked at as any other.
func TestMaskOfFusedAttention(t *testing.T) {
	input := func(e *Encoder) *graph.Value { return e.AttentionMask }
	mask := func(e *Encoder) *graph.Value { return e.Layers[0].Attention.Mask }
	for _, c := range []struct {
		why string
		of  func(e *Encoder) *graph.Value
		by  func(b *graph.Builder, e *Encoder) *graph.Value
	}{
		{"hides or weighs tokens that the mask input shows", input, func(b *graph.Builder, e *Encoder) *graph.Value {
			return b.Op("Sub", b.Int(1), e.AttentionMask)
		}},
		{"hides or weighs tokens that the mask input shows", mask, func(b *graph.Builder, e *Encoder) *graph.Value {
			seen := b.Op("LessOrEqual", tokens(b, e), b.Op("Unsqueeze", tokens(b, e), b.Ints(1)))
			return b.Op("And", mask(e), seen)
		}},
		{"doesn't hide tokens from the attention", input, func(b *graph.Builder, e *Encoder) *graph.Value {
			return b.Op("Max", b.Int(1), e.AttentionMask)
		}},
	} {
		g := load(t, "testdata/bert_torch2_dynamo_op23_sdpa_tf5.onnx")
		e := recognise(t, g)
		change(t, g, c.of(e), func(b *graph.Builder) *graph.Value { return c.by(b, e) })
		refused(t, g, "layer 0", e.Layers[0].Attention.Node, c.why)
	}
}

// A guard against rows that are masked everywhere puts zeros there; anything else would be a term of its own.
func TestGuardsPutZeros(t *testing.T) {
	g := load(t, "testdata/bert_torch2_dynamo_op20_sdpa_tf5.onnx")
	e := recognise(t, g)
	guard := e.Layers[0].Attention.Probs.Producer()
	if !guard.Is("Where") {
		t.Fatalf("probabilities come from %s", guard)
	}
	b := g.Build("guard")
	guard.SetInput(1, b.Float(graph.Float, 1))
	if err := errors.Join(b.Err(), g.Sort()); err != nil {
		t.Fatal(err)
	}
	refused(t, g, "layer 0", nil, "its probabilities are not multiplied with values")
}

func TestRelativePositions(t *testing.T) {
	e := recognise(t, loadFixture(t, "bert_torch2_legacy_op14_relative_key_query").g)
	i := e.Info()
	if i.Family != "bert" || i.Positions != 32 || i.FirstPosition != 0 || i.Inputs.TokenType != "token_type_ids" || i.Inputs.Position != "" {
		t.Errorf("%+v", i)
	}
	for k := range e.Layers {
		a := &e.Layers[k].Attention
		if !a.RelativeToQuery || !a.RelativeToKey || len(a.Relative) != 2 || a.Mask == nil || a.PositionBias != nil {
			t.Errorf("layer %d: %+v", k, a)
		}
	}
	const h, inner, layers, table = 16, 40, 2, 63 * 8
	want := Params{
		Embeddings: (60+2)*h + 2*h,
		Layers:     layers * (4*(h*h+h) + h*inner + inner + inner*h + h + 4*h + table),
		Pooler:     h*h + h,
	}
	if got := e.Params(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := e.Layers[1].Attention.DistancesName; got != "encoder.layer.1.attention.self.distance_embedding" {
		t.Errorf("the table is %q", got)
	}
}

// A file that fixes the length has its positions as a constant: it takes as many tokens as that has rows.
func TestFoldedPositions(t *testing.T) {
	g := load(t, "testdata/bert_torch2_legacy_op20_eager.onnx")
	e := recognise(t, g)
	for _, in := range g.Inputs() {
		in.Shape = graph.ShapeOf(2, 9)
	}
	h := int64(e.Hidden)
	data, err := e.Embeddings.Position.Init().Float64s()
	if err != nil {
		t.Fatal(err)
	}
	b := g.Build("folded")
	rows := b.Init("positions", graph.FloatTensor(graph.Float, []int64{1, 9, h}, data[:9*h]))
	lookup := e.Embeddings.Position.Users()[0].Output(0)
	if err := errors.Join(b.Err(), g.ReplaceUses(lookup, rows, nil)); err != nil {
		t.Fatal(err)
	}
	g.Prune()
	if e = recognise(t, g); e.Family != "bert" || e.Embeddings.Position != nil || e.Info().Positions != 9 || e.Embeddings.TokenType == nil {
		t.Errorf("%s, positions %s, texts of up to %d", e.Family, e.Embeddings.Position, e.Info().Positions)
	}
}

// Sizes that a file fixes are computed with: they must be of some use.
func TestFixedSizes(t *testing.T) {
	for _, dims := range [][]int64{{0, 7}, {2, 0}, {1, 1}, {2, 1 << 40}, {1 << 15, 1 << 15}} {
		g := load(t, "testdata/bert_torch2_legacy_op20_eager.onnx")
		for _, in := range g.Inputs() {
			in.Shape = graph.ShapeOf(dims...)
		}
		refused(t, g, "embeddings", nil, "batches of a size")
	}
	for _, dims := range [][]int64{{3, 2}, {1, 32}} {
		g := load(t, "testdata/bert_torch2_legacy_op20_eager.onnx")
		for _, in := range g.Inputs() {
			in.Shape = graph.ShapeOf(dims...)
		}
		if i := recognise(t, g).Info(); i.Family != "bert" || i.Positions != 32 || i.Inputs.TokenType != "token_type_ids" {
			t.Errorf("%v: %+v", dims, i)
		}
	}
}

// A token type that the exporter made a constant is still a BERT's.
func TestFoldedTokenType(t *testing.T) {
	g := load(t, "testdata/bert_torch2_legacy_op14_notypes.onnx")
	e := recognise(t, g)
	data, err := e.Embeddings.TokenType.Init().Float64s()
	if err != nil {
		t.Fatal(err)
	}
	b := g.Build("folded")
	row := b.Init("type", graph.FloatTensor(graph.Float, []int64{1, 1, int64(e.Hidden)}, data[:e.Hidden]))
	lookup := e.Embeddings.TokenType.Users()[0].Output(0)
	if err := errors.Join(b.Err(), g.ReplaceUses(lookup, row, nil)); err != nil {
		t.Fatal(err)
	}
	g.Prune()
	if e = recognise(t, g); e.Family != "bert" || e.Embeddings.TokenType != nil || e.TypeVocab != 0 || e.Info().Positions != 32 {
		t.Errorf("%s, token types %s", e.Family, e.Embeddings.TokenType)
	}
}

// Models without a mask say so: nothing may be fed that would tell padding from text.
func TestModelsWithoutMask(t *testing.T) {
	for _, file := range graphtest.Shared(t, "cases/*.no-mask*/model.onnx", "TestNoMaskAtAll") {
		if i := recognise(t, load(t, file)).Info(); i.Inputs.Mask != "" || i.Inputs.IDs != "input_ids" || i.Positions != 128 && i.Positions != 130 {
			t.Errorf("%s: %+v", file, i)
		}
	}
}
