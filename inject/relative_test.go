package inject_test

import (
	"context"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

const relative = "bert_torch2_legacy_op14_relative_key_query"

// Virtual tokens that are the embeddings of words, before the text, compute what the base computes on these words and the
// text: their distances are those of tokens, the text's are the same, and they take positions off it.
func TestPromptOfWordsIsTheirText(t *testing.T) {
	for _, name := range []string{relative, "bert_torch2_legacy_op20_eager"} {
		t.Run(name, func(t *testing.T) {
			f := modelstest.Encoder(t, name)
			words, text := []int64{7, 31}, []int64{12, 5, 40, 9, 22}
			want := hiddenOf(t, f.Load(t), append(append([]int64{}, words...), text...))

			g := f.Load(t)
			enc := injecttest.Recognise(t, g)
			table, err := enc.Embeddings.Word.Init().Float64s()
			if err != nil {
				t.Fatal(err)
			}
			m := &inject.Prompt{Placement: placed(len(words), inject.LayoutPEFT, inject.CombinePrefix, inject.PoolCLS), Init: "random"}
			plan, err := inject.Inject(enc, []inject.Method{m}, inject.Options{Task: inject.Task{Type: "regression"}, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			var rows []float64
			for _, w := range words {
				rows = append(rows, table[int(w)*enc.Hidden:int(w+1)*enc.Hidden]...)
			}
			values, err := plan.Values(g)
			if err != nil {
				t.Fatal(err)
			}
			values[plan.Find("prompt", "prompt_encoder", "prompt_embeddings").Name] = graph.FloatTensor(graph.Float, []int64{int64(len(words)), int64(enc.Hidden)}, rows)
			if err := plan.SetValues(g, values); err != nil {
				t.Fatal(err)
			}
			got := hiddenOf(t, g, text)
			behind := graph.FloatTensor(graph.Double, got.Dims, floats(t, want)[len(words)*enc.Hidden:])
			graphtest.Close(t, got, behind, 1e-9, 1e-9)
			if plan.Encoder.Positions != f.MaxPositions-len(words) {
				t.Errorf("%d positions are left of %d", plan.Encoder.Positions, f.MaxPositions)
			}
		})
	}
}

// hiddenOf computes last_hidden_state of one text.
func hiddenOf(t *testing.T, g *graph.Graph, ids []int64) *graph.Tensor {
	t.Helper()
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	dims := []int64{1, int64(len(ids))}
	mask := make([]int64, len(ids))
	for i := range mask {
		mask[i] = 1
	}
	out, err := p.Run(context.Background(), map[string]*graph.Tensor{
		"input_ids": graph.TensorOf(dims, ids), "attention_mask": graph.TensorOf(dims, mask), "token_type_ids": graph.TensorOf(dims, make([]int64, len(ids))),
	}, []string{"last_hidden_state"})
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func floats(t *testing.T, x *graph.Tensor) []float64 {
	t.Helper()
	out, err := x.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A prefix has keys without a place in the sequence; a model that knows tokens by their distance has no score for it.
func TestPrefixNeedsPositions(t *testing.T) {
	for _, layout := range []string{inject.LayoutPEFT, inject.LayoutAdapterHub} {
		enc := injecttest.Recognise(t, modelstest.Encoder(t, relative).Load(t))
		_, err := inject.Inject(enc, []inject.Method{&inject.Prefix{Tokens: 2, Layout: layout, Init: "random"}}, inject.Options{})
		if err == nil || !strings.Contains(err.Error(), "distance_embedding") || !strings.Contains(err.Error(), "--method prompt") {
			t.Errorf("layout %s: %v", layout, err)
		}
	}
}

// More virtual tokens than the model knows distances for are refused in either layout.
func TestVirtualTokensWithinTheDistances(t *testing.T) {
	for _, layout := range []string{inject.LayoutPEFT, inject.LayoutAdapterHub} {
		f := modelstest.Encoder(t, relative)
		m := &inject.Prompt{Placement: placed(f.MaxPositions, layout, inject.CombinePrefix, inject.PoolFirst), Init: "random"}
		_, err := inject.Inject(injecttest.Recognise(t, f.Load(t)), []inject.Method{m}, inject.Options{})
		if err == nil || !strings.Contains(err.Error(), "distances within 32 tokens") {
			t.Errorf("layout %s: %v", layout, err)
		}
	}
}

// Full fine-tuning trains the tables of distances, but not those of frozen layers.
func TestFullTrainsDistances(t *testing.T) {
	enc := injecttest.Recognise(t, modelstest.Encoder(t, relative).Load(t))
	plan, err := inject.Inject(enc, []inject.Method{&inject.Full{Layers: []int{1}}}, inject.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const table = "encoder.layer.%s.attention.self.distance_embedding"
	if plan.Find("full", strings.ReplaceAll(table, "%s", "0"), "weight") == nil || plan.Find("full", strings.ReplaceAll(table, "%s", "1"), "weight") != nil {
		t.Error("the tables of layers 0 and 1 should be trained and frozen")
	}
}
