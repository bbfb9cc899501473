package models

import (
	"fmt"
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// encoder writes the whole graph.
func (e *emitter) encoder() {
	e.inputs()
	bias := e.maskBias()
	x := e.embeddings()
	for i := range e.c.Layers {
		x = e.layer(x, bias, fmt.Sprintf(e.f.layer, i))
	}
	e.output(x, "last_hidden_state")
	e.head(x)
}

func (e *emitter) inputs() {
	add := func(name string) *graph.Value {
		v, err := e.g.AddInput(name, graph.Int64, graph.Shape{graph.Symbol("batch"), graph.Symbol("sequence")})
		e.fail(err)
		return v
	}
	e.ids, e.mask = add("input_ids"), add("attention_mask")
	if e.p.tokenTypes {
		e.types = add("token_type_ids")
	}
	m := e.at("shape")
	size := m.op("Shape", e.ids)
	e.batch = m.op("Slice", size, m.b.Ints(0), m.b.Ints(1))
	e.sequence = m.op("Slice", size, m.b.Ints(1), m.b.Ints(2))
}

// output makes v an output of the graph under that name.
func (e *emitter) output(v *graph.Value, name string) {
	if e.failed != nil {
		return
	}
	e.fail(e.g.Rename(v, name))
	e.g.AddOutput(v)
}

// maskBias is (1 - mask)·min [batch, 1, 1, sequence], which is added to the scores: 0 for a token, the smallest float for
// padding. It is finite, so that a row of padding alone has no NaN.
func (e *emitter) maskBias() *graph.Value {
	m := e.at("mask")
	kept := m.with("Cast", []graph.Attr{graph.IntAttr("to", int64(graph.Float))}, e.unsqueeze(m, e.mask, 1, 2))
	return m.op("Mul", m.op("Sub", m.b.Float(graph.Float, 1), kept), m.b.Float(graph.Float, -math.MaxFloat32))
}

// embeddings is LayerNorm(word + token type + position).
func (e *emitter) embeddings() *graph.Value {
	m, h := e.at("embeddings"), int64(e.c.Hidden)
	x := m.op("Gather", e.parameter("embeddings.word_embeddings.weight", int64(e.c.Vocab), h), e.ids)
	if e.c.TypeVocab > 0 {
		types := e.types
		if types == nil {
			types = m.b.Ints(0) // [1], broadcast over batch and sequence
		}
		table := e.parameter("embeddings.token_type_embeddings.weight", int64(e.c.TypeVocab), h)
		x = m.op("Add", x, m.op("Gather", table, types))
	}
	table := e.parameter("embeddings.position_embeddings.weight", int64(e.c.MaxPositions), h)
	x = m.op("Add", x, m.op("Gather", table, e.positions()))
	return e.norm(x, "embeddings.LayerNorm")
}

// positions are 0, 1, 2, … [1, sequence] or, in RoBERTa, padding + cumsum(id ≠ padding) for tokens and padding for padding
// [batch, sequence].
func (e *emitter) positions() *graph.Value {
	m := e.at("embeddings.position_ids")
	if e.p.countsTokens {
		padding := m.b.Int(int64(e.c.PadToken))
		token := m.with("Cast", []graph.Attr{graph.IntAttr("to", int64(graph.Int64))}, m.op("Not", m.op("Equal", e.ids, padding)))
		return m.op("Add", m.op("Mul", m.op("CumSum", token, m.b.Int(1)), token), padding)
	}
	ids := make([]int64, e.c.MaxPositions)
	for i := range ids {
		ids[i] = int64(i)
	}
	all, err := e.g.AddInitializer(e.prefix+"embeddings.position_ids", graph.TensorOf([]int64{1, int64(len(ids))}, ids))
	e.fail(err)
	return m.op("Slice", all, m.b.Ints(0), e.sequence, m.b.Ints(1))
}

// layer is one transformer layer with norms after the residual sums (post-LN), Vaswani et al. 2017, arXiv:1706.03762.
func (e *emitter) layer(x, bias *graph.Value, at string) *graph.Value {
	h, inner := e.c.Hidden, e.c.Intermediate
	y := e.linear(e.attention(x, bias, at), at+e.f.attentionOutput, h, h, e.tokens(int64(h)))
	x = e.norm(e.at(at+e.f.attentionOutput).op("Add", y, x), at+e.f.attentionNorm)
	y = e.linear(x, at+e.f.intermediate, h, inner, e.tokens(int64(inner)))
	y = e.activation(y, e.c.Activation, at+e.f.intermediate)
	y = e.linear(y, at+e.f.dense, inner, h, e.tokens(int64(h)))
	return e.norm(e.at(at+e.f.dense).op("Add", y, x), at+e.f.outputNorm)
}

func (e *emitter) activation(x *graph.Value, name, module string) *graph.Value {
	if e.failed != nil {
		return nil
	}
	m := e.at(module)
	y := buildActivations[name](m.b.Scope("act"), x)
	e.fail(m.b.Err())
	return y
}

// attention is softmax(q·kᵀ/√d + bias)·v per head, merged to [batch, sequence, hidden].
func (e *emitter) attention(x, bias *graph.Value, at string) *graph.Value {
	h, heads := e.c.Hidden, int64(e.c.Heads)
	size := int64(h) / heads
	split := func(module string, perm ...int64) *graph.Value {
		y := e.linear(x, at+module, h, h, e.tokens(heads, size))
		return e.at(at+module).with("Transpose", []graph.Attr{graph.IntsAttr("perm", perm...)}, y)
	}
	q, k, v := split(e.f.query, 0, 2, 1, 3), split(e.f.key, 0, 2, 3, 1), split(e.f.value, 0, 2, 1, 3)
	m := e.at(at + "attention")
	scores := m.op("Mul", m.op("MatMul", q, k), m.b.Float(graph.Float, 1/math.Sqrt(float64(size))))
	probs := m.with("Softmax", []graph.Attr{graph.IntAttr("axis", 3)}, m.op("Add", scores, bias))
	context := m.with("Transpose", []graph.Attr{graph.IntsAttr("perm", 0, 2, 1, 3)}, m.op("MatMul", probs, v))
	return m.op("Reshape", context, e.tokens(int64(h)))
}
