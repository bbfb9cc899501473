package models

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// refused recognises g and checks stage, node and a part of the reason.
func refused(t *testing.T, g *graph.Graph, stage string, node *graph.Node, why string) *NotRecognisedError {
	t.Helper()
	_, err := Recognise(g)
	var e *NotRecognisedError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a NotRecognisedError", err)
	}
	if e.Stage != stage || !strings.Contains(e.Why, why) {
		t.Errorf("%q\nwant stage %q and a reason with %q", e.Error(), stage, why)
	}
	if node != nil && e.Node != node {
		t.Errorf("stopped at %s, want %s", e.Node, node)
	}
	return e
}

func TestOtherModelsAreRefused(t *testing.T) {
	for file, want := range map[string]string{
		"negative_gpt2_torch2_legacy_op14":    `layer 0: node Split "/model/h.0/attn/Split": query, key and value come from one fused projection (GPT-2 style)`,
		"negative_prenorm_torch2_legacy_op14": `layer 0: node Add "/Add_1": the residual of the attention skips its LayerNorm: LayerNorm comes before the sublayer (pre-norm)`,
		"negative_mlp_torch2_legacy_op14":     `attention: node MatMul "/down/MatMul": no product of queries and keys leads to the softmax`,
		"bert_ort_all_op14":                   `attention: node com.microsoft.Attention "Attention_0": attention is fused into one onnxruntime operator, so its projections can't be told apart`,
	} {
		t.Run(file, func(t *testing.T) {
			_, err := Recognise(load(t, filepath.Join("testdata", file+".onnx")))
			if want = "models: not a BERT-family encoder: " + want; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			var e *NotRecognisedError
			if errors.As(err, &e) && strings.Contains(file, "ort_all") && e.Hint == "" {
				t.Error("no hint")
			}
		})
	}
}

func TestOldGPT2IsRefused(t *testing.T) {
	for _, file := range graphtest.Shared(t, "graphs/exported/*.onnx", "TestOtherModelsAreRefused") {
		if strings.Contains(file, "negative") {
			e := refused(t, load(t, file), "layer 0", nil, "one fused projection")
			if !e.Node.Is("Split") {
				t.Errorf("stopped at %s", e.Node)
			}
		}
	}
}

// Pieces of transformers and training graphs: none is an encoder, and none may panic.
func TestFragmentsAreRefused(t *testing.T) {
	for _, file := range graphtest.Shared(t, "graphs/fused-and-fragments/*.onnx", "TestPiecesAreRefused") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Recognise(load(t, file))
			var e *NotRecognisedError
			if !errors.As(err, &e) || e.Stage == "" || e.Why == "" {
				t.Errorf("got %v", err)
			}
			t.Log(err)
		})
	}
}

// broken is a change that makes an encoder something else, and where recognition must notice.
type broken struct {
	name  string
	apply func(t *testing.T, e *Encoder) *graph.Node
	stage string
	why   string
}

func cut(t *testing.T, g *graph.Graph, v, repl *graph.Value) {
	t.Helper()
	if err := g.ReplaceUses(v, repl, nil); err != nil {
		t.Fatal(err)
	}
	g.Prune()
}

func TestNearMisses(t *testing.T) {
	for _, file := range []string{"bert_torch2_legacy_op11_tf436", "bert_torch2_legacy_op20_eager", "bert_torch2_dynamo_op18_eager"} {
		for _, b := range nearMisses {
			t.Run(file+"/"+b.name, func(t *testing.T) {
				g := load(t, filepath.Join("testdata", file+".onnx"))
				node := b.apply(t, recognise(t, g))
				refused(t, g, b.stage, node, b.why)
			})
		}
	}
}

var nearMisses = []broken{
	{"attention residual cut", func(t *testing.T, e *Encoder) *graph.Node {
		l := &e.Layers[1]
		cut(t, e.Graph, l.AttentionNorm.Input, l.AttentionOutput.Output)
		return nil
	}, "layer 1", "LayerNorm reads the output of the attention alone"},

	{"feed-forward residual cut", func(t *testing.T, e *Encoder) *graph.Node {
		l := &e.Layers[0]
		cut(t, e.Graph, l.OutputNorm.Input, l.Dense.Output)
		return nil
	}, "layer 0", "LayerNorm reads the output of the feed-forward alone"},

	{"residual from elsewhere", func(t *testing.T, e *Encoder) *graph.Node {
		add := e.Layers[1].AttentionNorm.Input.Producer()
		for i, in := range add.Inputs() {
			if in == e.Layers[1].Input {
				add.SetInput(i, e.Layers[0].Input)
			}
		}
		return add
	}, "layer 1", "the residual of the attention adds"},

	{"softmax over heads", func(t *testing.T, e *Encoder) *graph.Node {
		n := e.Layers[0].Attention.Node
		n.SetAttr(graph.IntAttr("axis", 1))
		return n
	}, "layer 0", "it normalises over axis 1"},

	{"mask missing in one layer", func(t *testing.T, e *Encoder) *graph.Node {
		a := &e.Layers[1].Attention
		for i := range 2 {
			if in := a.MaskNode.Input(i); in != a.Mask {
				cut(t, e.Graph, a.Masked, in)
				break
			}
		}
		return a.Node
	}, "attention mask", "layer 1 has no mask"},

	{"keys of another layer", func(t *testing.T, e *Encoder) *graph.Node {
		n := e.Layers[1].Key.Nodes[0]
		n.SetInput(0, e.Layers[0].Input)
		return n
	}, "layer 1", "cross-attention"},

	{"heads not moved", func(t *testing.T, e *Encoder) *graph.Node {
		n := e.Layers[0].Attention.QueryHeads.Producer()
		n.SetAttr(graph.IntsAttr("perm", 0, 1, 2, 3))
		return e.Layers[0].Query.Nodes[0]
	}, "layer 0", `the query reaches attention with its axes in the order "bshd"`},

	{"context joined in the wrong order", func(t *testing.T, e *Encoder) *graph.Node {
		n := firstUser(e.Layers[0].Attention.Context)
		n.SetAttr(graph.IntsAttr("perm", 0, 2, 3, 1))
		return e.Layers[0].AttentionOutput.Nodes[0]
	}, "layer 0", "the context arrives with its axes"},

	{"no activation", func(t *testing.T, e *Encoder) *graph.Node {
		cut(t, e.Graph, e.Layers[1].ActivationOut, e.Layers[1].Intermediate.Output)
		return nil
	}, "layer 1", "no linear map, pointwise activation and linear map"},

	{"layers side by side", func(t *testing.T, e *Encoder) *graph.Node {
		for _, n := range e.Layers[0].Output.Users() {
			for i, in := range n.Inputs() {
				if in == e.Layers[0].Output {
					n.SetInput(i, e.Layers[0].Input)
				}
			}
		}
		e.Graph.AddOutput(e.Layers[0].Output)
		return e.Layers[1].Query.Nodes[0]
	}, "layer 1", "not the output"},

	{"no embeddings", func(t *testing.T, e *Encoder) *graph.Node {
		in, err := e.Graph.AddInput("inputs_embeds", graph.Float, nil)
		if err != nil {
			t.Fatal(err)
		}
		cut(t, e.Graph, e.Embeddings.WordOut, in)
		return nil
	}, "embeddings", "fed embeddings"},
}

func TestNoMaskAtAll(t *testing.T) {
	g := load(t, "testdata/bert_torch2_legacy_op11_tf436.onnx")
	e := recognise(t, g)
	for i := range e.Layers {
		a := &e.Layers[i].Attention
		for k := range 2 {
			if in := a.MaskNode.Input(k); in != a.Mask {
				cut(t, g, a.Masked, in)
				break
			}
		}
	}
	refused(t, g, "inputs", nil, `the input "attention_mask" int64[batch,sequence] doesn't enter the attention`)
	if err := g.RemoveInput(g.Value("attention_mask")); err != nil {
		t.Fatal(err)
	}
	if e = recognise(t, g); e.AttentionMask != nil || e.Layers[0].Attention.Mask != nil || e.Info().Inputs.Mask != "" {
		t.Errorf("mask %s", e.AttentionMask)
	}
}

// Roles follow the dataflow: whatever feeds the left operand of the scores is the query.
func TestRolesFollowTheProduct(t *testing.T) {
	g := load(t, "testdata/bert_torch2_dynamo_op18_eager.onnx")
	e := recognise(t, g)
	q, k := e.Layers[0].Query.Weight, e.Layers[0].Key.Weight
	e.Layers[0].Query.Nodes[0].SetInput(1, k)
	e.Layers[0].Key.Nodes[0].SetInput(1, q)
	if e = recognise(t, g); e.Layers[0].Query.Weight != k || e.Layers[0].Key.Weight != q {
		t.Error("the weights of query and key were told by something else than their place")
	}
}

func TestSharedWeightsAreRefused(t *testing.T) {
	g := load(t, "testdata/bert_torch2_legacy_op11_tf436.onnx")
	e := recognise(t, g)
	e.Layers[1].Query.Nodes[0].SetInput(1, e.Layers[0].Query.Weight)
	refused(t, g, "layer 1", e.Layers[1].Query.Nodes[0], "shares its weights with layer 0")
}

// A broken file may lack any input of any node; whatever is left must be recognised or refused.
func TestMissingInputsDoNotPanic(t *testing.T) {
	for _, f := range fixtures(t) {
		for i, n := range f.g.Nodes() {
			for k := range n.Inputs() {
				c := f.g.Clone()
				c.Nodes()[i].SetInput(k, nil)
				if _, err := Recognise(c); err != nil && err.Error() == "" {
					t.Error("an error without a text")
				}
			}
		}
	}
}

func TestQuantizedGraphsAreRefused(t *testing.T) {
	g := load(t, "testdata/bert_torch2_legacy_op17_tf436.onnx")
	e := recognise(t, g)
	b := g.Build("q")
	w := e.Layers[0].Query.Nodes[0]
	codes := make([]int8, e.Hidden*e.Hidden)
	q := b.Init("weight", graph.TensorOf([]int64{int64(e.Hidden), int64(e.Hidden)}, codes))
	d := b.Op("DequantizeLinear", q, b.Float(graph.Float, 0.1))
	w.SetInput(1, d)
	if err := g.Sort(); err != nil || b.Err() != nil {
		t.Fatal(err, b.Err())
	}
	if why := refused(t, g, "weights", d.Producer(), "quantized"); why.Hint == "" {
		t.Error("no hint")
	}
}

func TestFusedAttentionOfDecodersIsRefused(t *testing.T) {
	for _, c := range []struct {
		why  string
		edit func(n *graph.Node, e *Encoder)
	}{
		{"causal", func(n *graph.Node, _ *Encoder) { n.SetAttr(graph.IntAttr("is_causal", 1)) }},
		{"caps its scores", func(n *graph.Node, _ *Encoder) { n.SetAttr(graph.FloatAttr("softcap", 30)) }},
		{"cached keys", func(n *graph.Node, e *Encoder) { n.SetInput(4, e.Layers[0].Attention.KeyHeads) }},
		{"its axes in the order", func(n *graph.Node, e *Encoder) { n.SetInput(0, e.Layers[0].Query.Output) }},
	} {
		g := load(t, "testdata/bert_torch2_dynamo_op23_sdpa_tf5.onnx")
		e := recognise(t, g)
		n := e.Layers[0].Attention.Node
		c.edit(n, e)
		refused(t, g, "layer 0", nil, c.why)
	}
}
