package models

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// lookup is one term of the embeddings: rows of a constant table.
type lookup struct {
	table, indices *graph.Value
	out            *graph.Value // as it enters the sum
	rows           int64
	input          *graph.Value // the graph input that the indices are, or nil when they are computed
	node           *graph.Node
}

// embed matches LayerNorm(word + position + token type) in front of the first layer.
func (m *matcher) embed(e *Encoder) *NotRecognisedError {
	first := e.Layers[0].Input
	if l := m.linearOf[first]; l != nil {
		e.Embeddings.Projection = l
		first = origin(l.Input)
	}
	norm := m.normOf[first]
	if n := producer(first); norm == nil && n != nil && n.Op == "EmbedLayerNormalization" {
		return refuse(n, "the embeddings are fused into one onnxruntime operator")
	}
	if norm == nil {
		return refuse(producer(first), "no LayerNorm of embeddings comes before the first layer")
	}
	if norm.Skip != nil || norm.Input == nil {
		return refuse(norm.Nodes[0], "the embeddings' sum is fused into their LayerNorm")
	}
	e.Embeddings.Norm = *norm
	found, constants, why := terms(norm.Input)
	if why != nil {
		return why
	}
	if why := e.words(norm, found); why != nil {
		return why
	}
	return e.others(norm, found, constants)
}

// terms takes the sum apart into table lookups and constants that the exporter computed beforehand.
func terms(v *graph.Value) (found []*lookup, constants int, why *NotRecognisedError) {
	v = strip(v)
	if tensorOf(v) != nil {
		return nil, 1, nil
	}
	n := producer(v)
	if n.Is("Add", "Sum") {
		for _, in := range n.Inputs() {
			f, c, why := terms(in)
			if why != nil {
				return nil, 0, why
			}
			found, constants = append(found, f...), constants+c
		}
		return found, constants, nil
	}
	if l := lookupOf(v); l != nil {
		return []*lookup{l}, 0, nil
	}
	if n == nil {
		return nil, 0, refuse(nil, "the graph is fed embeddings, %s, instead of token ids", v)
	}
	return nil, 0, refuse(n, "it is neither a lookup in a constant table nor a constant")
}

// lookupOf reads a Gather from a table, or a Slice of a table (the positions 0, 1, 2, …).
func lookupOf(v *graph.Value) *lookup {
	l := &lookup{out: v}
	for {
		n := producer(v)
		switch {
		case rearranges(n) && !n.Is("Transpose"), n.Is("Expand"), handedOn(v) != nil:
			v = n.Input(0)
			continue
		case n.Is("Gather") && n.Int("axis", 0) == 0:
			l.indices = n.Input(1)
		case !n.Is("Slice"):
			return nil
		}
		l.node, l.table = n, origin(n.Input(0))
		t := tensorOf(l.table)
		if t == nil || !t.DType.IsFloat() || len(t.Dims) < 2 {
			return nil
		}
		l.rows = t.Dims[len(t.Dims)-2]
		if in := origin(l.indices); l.indices != nil && in.IsInput() && in.Init() == nil {
			l.input = in
		}
		return l
	}
}

// words finds the word embeddings: the largest of the tables that are indexed by an input itself.
func (e *Encoder) words(norm *Norm, found []*lookup) *NotRecognisedError {
	var word *lookup
	for _, l := range found {
		if l.input != nil && (word == nil || l.rows > word.rows) {
			word = l
		}
	}
	if word == nil {
		return refuse(norm.Nodes[0], "none of the embeddings is looked up by an input of the graph")
	}
	e.Embeddings.Word, e.Embeddings.WordOut, e.InputIDs = word.table, word.out, word.input
	return nil
}

// others tells the position and token type embeddings apart: positions are computed rather than given, and where both are
// given or both are computed, there are more positions than types.
func (e *Encoder) others(norm *Norm, found []*lookup, constants int) *NotRecognisedError {
	rest := slices.DeleteFunc(slices.Clone(found), func(l *lookup) bool { return l.out == e.Embeddings.WordOut })
	slices.SortStableFunc(rest, func(a, b *lookup) int {
		switch {
		case a.input == nil && b.input != nil:
			return -1
		case a.input != nil && b.input == nil:
			return 1
		}
		return int(b.rows - a.rows)
	})
	if len(rest) > 2 {
		return refuse(rest[2].node, "a fourth table is added to the word, position and token type embeddings")
	}
	if len(rest) == 1 && rest[0].input != nil && constants > 0 && rest[0].rows < 16 {
		rest = append([]*lookup{nil}, rest...) // the positions are folded into a constant
	}
	if len(rest) == 0 && constants == 0 {
		return refuse(norm.Nodes[0], "there are no position embeddings")
	}
	for i, l := range rest {
		switch {
		case l == nil:
		case i == 0:
			e.Embeddings.Position, e.PositionIDs = l.table, l.input
			e.PositionOffset = positionOffset(l.indices)
		default:
			e.Embeddings.TokenType, e.TokenTypeIDs = l.table, l.input
		}
	}
	return nil
}

// positionOffset returns the first token's position where positions are counted from the ids, padding left out:
// cumsum(ids ≠ padding) + padding (RoBERTa); 0 where they just count from 0.
func positionOffset(indices *graph.Value) int {
	if !countsTokens(indices) {
		return 0
	}
	if _, padding, ok := splitAdd(producer(strip(indices))); ok {
		return int(padding) + 1
	}
	return 1
}

// countsTokens reports whether a running sum leads to the indices.
func countsTokens(v *graph.Value) bool {
	seen := map[*graph.Value]bool{}
	var visit func(*graph.Value) bool
	visit = func(v *graph.Value) bool {
		if seen[v] || producer(v) == nil {
			return false
		}
		seen[v] = true
		return producer(v).Is("CumSum") || slices.ContainsFunc(producer(v).Inputs(), visit)
	}
	return visit(v)
}
