package models

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

// Recognise finds the BERT-family encoder in a graph as an exporter wrote it and changes nothing. It goes by structure:
// attention is a Softmax between two products, its three projections read one value, residual sums are normalised, layers
// follow each other. Names play no part but to tell families apart that compute the same.
//
// A graph that is something else gives a *[NotRecognisedError].
func Recognise(g *graph.Graph) (*Encoder, error) {
	m := newMatcher(g)
	e, why := m.encoder()
	if why != nil {
		return nil, why
	}
	return e, nil
}

func (m *matcher) encoder() (*Encoder, *NotRecognisedError) {
	if why := m.quantized(); why != nil {
		return nil, why
	}
	e := &Encoder{Graph: m.g}
	anchors := m.findAttention()
	if len(anchors) == 0 {
		return nil, m.noAttention()
	}
	for i, n := range anchors {
		l, why := m.attentionLayer(e, n)
		if why != nil {
			return nil, why.during(fmt.Sprintf("layer %d", i))
		}
		e.Layers = append(e.Layers, *l)
	}
	if why := m.embed(e); why != nil {
		return nil, why.during("embeddings")
	}
	if why := m.masks(e); why != nil {
		return nil, why.during("attention mask")
	}
	m.sizes(e)
	if why := m.otherInputs(e); why != nil {
		return nil, why.during("inputs")
	}
	if why := m.account(e); why != nil {
		return nil, why
	}
	m.head(e)
	if why := m.family(e); why != nil {
		return nil, why.during("family")
	}
	return e, nil
}

// attentionLayer matches the layer around an attention node and checks that it continues the one before.
func (m *matcher) attentionLayer(e *Encoder, n *graph.Node) (*Layer, *NotRecognisedError) {
	l, terms, why := m.attend(n)
	if why != nil {
		return nil, why
	}
	if why := m.sortTerms(l, terms); why != nil {
		return nil, why
	}
	if why := m.layer(l); why != nil {
		return nil, why
	}
	if len(e.Layers) == 0 {
		return l, nil
	}
	if before := &e.Layers[len(e.Layers)-1]; l.Input != before.Output {
		return nil, refuse(l.Query.Nodes[0], "the layer reads %s, not the output %s of the layer before", l.Input, before.Output)
	}
	if first := &e.Layers[0]; first.positions() != l.positions() {
		return nil, refuse(l.Attention.Node, "it knows %d relative positions, that of layer 0 %d", l.positions(), first.positions())
	}
	for i := range e.Layers {
		if e.Layers[i].Query.Weight == l.Query.Weight {
			return nil, refuse(l.Query.Nodes[0], "it shares its weights with layer %d (ALBERT style)", i).
				hint("layers that share weights can't be adapted one by one; use a BERT, RoBERTa, DistilBERT or ELECTRA")
		}
	}
	return l, nil
}

// sizes reads the sizes off the weights.
func (m *matcher) sizes(e *Encoder) {
	l := &e.Layers[0]
	e.LastHidden = e.Layers[len(e.Layers)-1].Output
	e.Hidden, e.Intermediate = l.Query.In, l.Intermediate.Out
	e.Heads, e.HeadDim, e.Activation = m.heads, m.headDim, m.activation
	e.LayerNormEps = l.OutputNorm.Eps
	rows := func(v *graph.Value) int {
		if v == nil {
			return 0
		}
		dims := tensorOf(v).Dims
		return int(dims[len(dims)-2])
	}
	e.Vocab, e.TypeVocab = rows(e.Embeddings.Word), rows(e.Embeddings.TokenType)
	switch {
	case e.Embeddings.Position != nil:
		e.MaxPositions = rows(e.Embeddings.Position)
	case l.Attention.Distances != nil:
		e.MaxPositions = l.positions()
	default:
		e.MaxPositions = m.folded
	}
}

// quantized refuses graphs whose weights are integers.
func (m *matcher) quantized() *NotRecognisedError {
	for _, n := range m.g.Nodes() {
		if quantizedOps[n.Op] {
			return refuse(n, "the graph is quantized").during("weights").hint("start from the model in floating point and quantize after training")
		}
	}
	return nil
}

// noAttention explains a graph without any attention that can be taken apart.
func (m *matcher) noAttention() *NotRecognisedError {
	const stage = "attention"
	for _, n := range m.g.Nodes() {
		if n.Domain == contrib && fusedAttention[n.Op] {
			return refuse(n, "attention is fused into one onnxruntime operator, so its projections can't be told apart").during(stage)
		}
	}
	for _, n := range m.g.Nodes() {
		if n.Is("Softmax") {
			_, why := m.scoresOf(n)
			return why.during(stage)
		}
	}
	return refuse(nil, "the graph has no Softmax between two MatMuls").during(stage)
}

var fusedAttention = map[string]bool{
	"Attention": true, "MultiHeadAttention": true, "PackedAttention": true, "PackedMultiHeadAttention": true,
	"QAttention": true, "QOrderedAttention": true, "GroupQueryAttention": true, "LongformerAttention": true,
	"DecoderMaskedSelfAttention": true, "DecoderMaskedMultiHeadAttention": true,
}

var quantizedOps = map[string]bool{
	"MatMulInteger": true, "QLinearMatMul": true, "DynamicQuantizeMatMul": true, "MatMulNBits": true, "MatMulIntegerToFloat": true,
	"DynamicQuantizeLinear": true, "DequantizeLinear": true,
}
