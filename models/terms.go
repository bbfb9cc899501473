package models

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// content is what a value is computed from: inputs of the graph, outputs of linear maps and LayerNorms, where the walk ends,
// and constants of more than one number that say more than a size.
type content struct {
	inputs, computed, tables []*graph.Value
}

func (m *matcher) contentOf(v *graph.Value) (c content) {
	ancestorsUpTo(v, func(v *graph.Value) bool { return m.linearOf[v] != nil || m.normOf[v] != nil }, func(v *graph.Value) {
		switch t := tensorOf(v); {
		case m.linearOf[v] != nil || m.normOf[v] != nil:
			c.computed = append(c.computed, v)
		case t != nil:
			if t.DType.IsFloat() && !isUniform(t) {
				c.tables = append(c.tables, v)
			}
		case producer(v) == nil:
			c.inputs = append(c.inputs, v)
		}
	})
	return c
}

// isUniform reports whether all elements are one number.
func isUniform(t *graph.Tensor) bool {
	if t.Len() <= 1 {
		return true
	}
	data, err := t.Float64s()
	return err == nil && !slices.ContainsFunc(data, func(x float64) bool { return x != data[0] })
}

// sortTerms finds out what each value is that enters the scores: a product of queries or keys with learned distances, a bias
// that was learned and depends on no input (MPNet's), or a mask, be it a constant one. Anything else is refused.
func (m *matcher) sortTerms(l *Layer, terms []maskTerm) *NotRecognisedError {
	a := &l.Attention
	for _, t := range terms {
		c := m.contentOf(t.value)
		var why *NotRecognisedError
		switch {
		case len(c.computed) > 0:
			why = m.relative(l, t, c)
		case len(c.tables) > 0:
			why = a.positionBias(t, c)
		case tensorOf(t.value) != nil && tensorOf(t.value).Len() == 1:
			// one number for all scores: what it does is seen in a trial
		case a.Mask != nil:
			why = refuse(t.node, "it applies a second mask to the scores, %s", t.value)
		default:
			a.Mask, a.MaskNode = t.value, t.node
		}
		if why != nil {
			return why
		}
	}
	return nil
}

// positionBias takes a learned bias of relative positions: rows of one table [buckets, heads].
func (a *Attention) positionBias(t maskTerm, c content) *NotRecognisedError {
	switch table := tensorOf(c.tables[0]); {
	case len(c.inputs) > 0:
		return refuse(t.node, "a learned or constant table, %s, and the input %s together enter the scores", c.tables[0], c.inputs[0])
	case len(c.tables) > 1 || len(table.Dims) != 2 || !t.node.Is("Add"):
		return refuse(t.node, "it applies the constant %s to the scores: a bias per head or of distances (ALiBi), which is no mask", c.tables[0])
	case a.PositionBias != nil:
		return refuse(t.node, "it adds a second bias of positions to the scores, %s", t.value)
	}
	a.PositionBias = t.value
	return nil
}

// relative takes the product of queries or keys, or of both, with rows of one table of distances.
func (m *matcher) relative(l *Layer, t maskTerm, c content) *NotRecognisedError {
	a := &l.Attention
	for _, v := range c.computed {
		if v != l.Query.Output && v != l.Key.Output {
			return refuse(t.node, "%s enters the scores, which depends on the text and is neither a mask nor the layer's queries and keys", t.value)
		}
	}
	if len(c.tables) != 1 || len(c.inputs) > 0 || !t.node.Is("Add") {
		return refuse(t.node, "a second term of the queries or keys, %s, enters the scores", t.value)
	}
	table := c.tables[0]
	if d := tensorOf(table).Dims; len(d) != 2 || d[0]%2 == 0 || d[1] != int64(m.headDim) || a.Distances != nil && a.Distances != table {
		return refuse(t.node, "a product of queries or keys with %s enters the scores: no table of the distances between tokens, [2·positions-1, %d]", table, m.headDim)
	}
	query, key := slices.Contains(c.computed, l.Query.Output), slices.Contains(c.computed, l.Key.Output)
	if query && a.RelativeToQuery || key && a.RelativeToKey {
		return refuse(t.node, "it adds the relative positions of one side to the scores again")
	}
	a.Distances, a.Relative = table, append(a.Relative, t.value)
	a.RelativeToQuery, a.RelativeToKey = a.RelativeToQuery || query, a.RelativeToKey || key
	return nil
}

// positions returns how many tokens the layer's table of distances serves; 0 when it has none.
func (l *Layer) positions() int {
	if l.Attention.Distances == nil {
		return 0
	}
	return int(tensorOf(l.Attention.Distances).Dims[0]+1) / 2
}

// masks checks that all layers are masked alike and finds the input behind the masks.
func (m *matcher) masks(e *Encoder) *NotRecognisedError {
	first := e.Layers[0].Attention.Mask
	for i := range e.Layers {
		a := &e.Layers[i].Attention
		if (a.Mask == nil) != (first == nil) {
			if first != nil {
				return refuse(a.Node, "layer %d has no mask where others have one", i)
			}
			return refuse(a.MaskNode, "layer %d has a mask where layers before it have none", i)
		}
		for _, v := range m.contentOf(a.Mask).inputs {
			switch {
			case v == e.InputIDs || v == e.AttentionMask:
			case e.AttentionMask == nil && i == 0 && v != e.TokenTypeIDs && v != e.PositionIDs:
				e.AttentionMask = v
			default:
				return refuse(a.MaskNode, "layer %d is masked by %s, besides or instead of %s", i, v, e.AttentionMask)
			}
		}
	}
	if v := e.AttentionMask; v != nil && v.Shape != nil && v.Shape.Rank() != 2 {
		return refuse(firstUser(v), "the mask input %s is not [batch, sequence]", v)
	}
	return nil
}

// otherInputs refuses inputs that the encoder reads and nothing explains, and, when nothing masks the attention, inputs that
// may have been made for it.
func (m *matcher) otherInputs(e *Encoder) *NotRecognisedError {
	reached := map[*graph.Value]bool{}
	ancestors(e.LastHidden, func(v *graph.Value) { reached[v] = true })
	for _, v := range m.g.Inputs() {
		known := v == e.InputIDs || v == e.AttentionMask || v == e.TokenTypeIDs || v == e.PositionIDs
		switch {
		case v.Init() != nil || known:
		case reached[v]:
			return refuse(firstUser(v), "the encoder reads %s, which is neither ids, mask, token types nor positions", v)
		case e.AttentionMask == nil && (v.Shape == nil || v.Shape.Rank() == 2):
			return refuse(firstUser(v), "the input %s doesn't enter the attention, and nothing else tells padding from text", v).
				hint("export the model so that its attention mask is applied, or without the input")
		}
	}
	return nil
}
