package models

import (
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

// Params counts the elements of an encoder's parameters, part by part. A tensor that several parts share counts once.
type Params struct {
	Embeddings, Layers, Pooler, Classifier int64
}

// Total is the sum over all parts.
func (p Params) Total() int64 { return p.Embeddings + p.Layers + p.Pooler + p.Classifier }

// Params counts the parameters that recognition found. What stands after the last hidden state and is neither pooler nor
// classifier is not counted.
func (e *Encoder) Params() Params {
	seen := map[*graph.Value]bool{}
	count := func(vs ...*graph.Value) (n int64) {
		for _, v := range vs {
			if t := tensorOf(v); t != nil && !seen[v] {
				seen[v] = true
				n += t.Len()
			}
		}
		return n
	}
	linear := func(l *Linear) int64 {
		if l == nil {
			return 0
		}
		return count(l.Weight, l.Bias)
	}
	emb := &e.Embeddings
	p := Params{Embeddings: count(emb.Word, emb.Position, emb.TokenType, emb.Norm.Scale, emb.Norm.Bias) + linear(emb.Projection)}
	for i := range e.Layers {
		l := &e.Layers[i]
		for _, part := range []*Linear{&l.Query, &l.Key, &l.Value, &l.AttentionOutput, &l.Intermediate, &l.Dense} {
			p.Layers += linear(part)
		}
		p.Layers += count(l.Attention.Distances)
		p.Layers += count(l.AttentionNorm.Scale, l.AttentionNorm.Bias, l.OutputNorm.Scale, l.OutputNorm.Bias)
	}
	p.Pooler = linear(e.Pooler)
	for _, l := range e.HeadLinears() {
		p.Classifier += linear(l)
	}
	if t := e.Transform; t != nil {
		p.Classifier += count(t.Norm.Scale, t.Norm.Bias)
	}
	return p
}

// Targets returns the last parts of the linear maps' module names, each once, in model order: what users name to choose
// modules ("query", "value", "dense").
func (e *Encoder) Targets() []string {
	var out []string
	for _, l := range e.Linears() {
		if slices.Contains(e.HeadLinears(), l) {
			continue
		}
		name := l.Name[strings.LastIndex(l.Name, ".")+1:]
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
