package models

import "github.com/peftgraph/peftgraph/graph"

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
	if why := e.fixedSize(); why != nil {
		return why
	}
	return m.others(e, norm, found, constants)
}

// terms takes the sum apart into table lookups and constants that the exporter computed beforehand.
func terms(v *graph.Value) (found []*lookup, constants []*graph.Value, why *NotRecognisedError) {
	v = strip(v)
	if tensorOf(v) != nil {
		return nil, []*graph.Value{v}, nil
	}
	n := producer(v)
	if n.Is("Add", "Sum") {
		for _, in := range n.Inputs() {
			f, c, why := terms(in)
			if why != nil {
				return nil, nil, why
			}
			found, constants = append(found, f...), append(constants, c...)
		}
		return found, constants, nil
	}
	if l := lookupOf(v); l != nil {
		return []*lookup{l}, nil, nil
	}
	if n == nil {
		return nil, nil, refuse(nil, "the graph is fed embeddings, %s, instead of token ids", v)
	}
	return nil, nil, refuse(n, "it is neither a lookup in a constant table nor a constant")
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
		l.node, l.table = n, tableOf(n.Input(0))
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

// tableOf walks up from a table past what changes neither its rows nor their order.
func tableOf(v *graph.Value) *graph.Value {
	for {
		up := handedOn(v)
		if n := producer(v); up == nil && rearranges(n) && !n.Is("Transpose") {
			up = n.Input(0)
		}
		if up == nil {
			return v
		}
		v = up
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
