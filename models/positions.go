package models

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
)

// maxTypes is the most rows of a table that an input indexes to be token types rather than positions, where nothing else
// tells.
const maxTypes = 15

// role is what a table besides the words' is for.
type role int

const (
	given     role = iota // an input says the rows
	positions             // row offset+k for token k
	types                 // one row for every token
)

// others tells the position and token type embeddings apart: computed rows count for positions and stay the same for types.
// Of two tables whose rows are given, that of positions is the larger; of one, it is the one that is missing.
func (m *matcher) others(e *Encoder, norm *Norm, found []*lookup, constants []*graph.Value) *NotRecognisedError {
	slots := &embeddingSlots{m: m, e: e, positions: e.Layers[0].Attention.Distances != nil}
	var inputs []*lookup
	for _, l := range found {
		if l.out == e.Embeddings.WordOut {
			continue
		}
		kind, offset, why := m.roleOf(e, l)
		if why != nil {
			return why
		}
		if kind == given {
			inputs = append(inputs, l)
			continue
		}
		if why := slots.take(kind, l, offset); why != nil {
			return why
		}
	}
	for _, c := range constants {
		if why := slots.constant(norm, c); why != nil {
			return why
		}
	}
	if why := slots.given(inputs); why != nil {
		return why
	}
	if !slots.positions {
		return refuse(norm.Nodes[0], "there are no position embeddings")
	}
	if t := e.Embeddings.TokenType; e.PositionIDs != nil && t != nil && tensorOf(t).Dims[0] == 1 {
		return refuse(firstUser(e.PositionIDs), "%s gives the positions and there is one token type, as in RoBERTa, whose positions start behind padding's: nothing tells where", e.PositionIDs).
			hint("export the model without position_ids, so that it counts them itself")
	}
	m.types = slots.types
	return nil
}

// embeddingSlots are the terms of the sum, each of which may be there once.
type embeddingSlots struct {
	m                *matcher
	e                *Encoder
	positions, types bool
}

func (s *embeddingSlots) take(kind role, l *lookup, offset int) *NotRecognisedError {
	switch {
	case kind == positions && s.positions:
		return refuse(l.node, "it adds positions to the embeddings, which have positions already")
	case kind == types && s.types:
		return refuse(l.node, "it adds token types to the embeddings, which have a token type already")
	case kind == positions:
		s.positions = true
		s.e.Embeddings.Position, s.e.PositionIDs, s.e.PositionOffset = l.table, l.input, offset
	default:
		s.types = true
		s.e.Embeddings.TokenType, s.e.TokenTypeIDs = l.table, l.input
	}
	return nil
}

// given assigns tables whose rows are given.
func (s *embeddingSlots) given(ls []*lookup) *NotRecognisedError {
	switch {
	case len(ls) > 2:
		return refuse(ls[2].node, "a fourth table is added to the word, position and token type embeddings")
	case len(ls) == 2 && ls[0].rows == ls[1].rows:
		return refuse(ls[1].node, "%s and %s index tables of %d rows: nothing tells positions from token types", ls[0].input, ls[1].input, ls[0].rows)
	case len(ls) == 2:
		p, t := ls[0], ls[1]
		if p.rows < t.rows {
			p, t = t, p
		}
		if why := s.take(positions, p, 0); why != nil {
			return why
		}
		return s.take(types, t, 0)
	case len(ls) == 1 && (s.positions || !s.types && ls[0].rows <= maxTypes):
		return s.take(types, ls[0], 0)
	case len(ls) == 1:
		return s.take(positions, ls[0], 0)
	}
	return nil
}

// constant takes a term that the exporter computed: the row of a token type that all tokens have, or a row for each position
// of a length that the file fixes.
func (s *embeddingSlots) constant(norm *Norm, v *graph.Value) *NotRecognisedError {
	node, t := firstUser(v), tensorOf(v)
	width := int64(0)
	if s := tensorOf(norm.Scale); s != nil {
		width = s.Len()
	}
	data, err := t.Float64s()
	if err != nil || width == 0 || len(t.Dims) == 0 || t.Dims[len(t.Dims)-1] != width {
		return refuse(node, "a constant of %v is added to the embeddings: neither positions nor a token type", t.Dims)
	}
	rows := t.Len() / width
	same := true
	for i := range data {
		same = same && data[i] == data[i%int(width)]
	}
	switch {
	case same && s.types, !same && s.positions:
		return refuse(node, "it adds %s to embeddings that have positions and token types already", v)
	case same:
		s.types = true
		return nil
	case rows != t.Dims[len(t.Dims)-2]:
		return refuse(node, "a constant of %v is added to the embeddings: other positions in each text of a batch", t.Dims)
	}
	s.positions, s.m.folded = true, int(rows)
	return nil
}

// roleOf says what the rows are that a lookup picks, by computing them for texts of two lengths. offset is the row of the
// first token.
func (m *matcher) roleOf(e *Encoder, l *lookup) (kind role, offset int, why *NotRecognisedError) {
	if l.input != nil {
		return given, 0, nil
	}
	program, err := refeval.NewPartial(m.g)
	if err != nil {
		return 0, 0, refuse(l.node, "its rows can't be followed: %v", err)
	}
	if l.indices == nil {
		first, err := firstRow(newTrial(e, program, e.trialLengths()[0], false), l)
		if err != nil {
			return 0, 0, refuse(l.node, "its rows can't be followed: %v", err)
		}
		return positions, first, nil
	}
	for i, length := range e.trialLengths() {
		k, o, err := rowsOf(newTrial(e, program, length, false), l)
		if err != nil {
			return 0, 0, refuse(l.node, "its rows can't be followed: %v", err)
		}
		if i > 0 && (k != kind || o != offset) {
			return 0, 0, refuse(l.node, "the rows of %s that it picks depend on the text's length", l.table)
		}
		kind, offset = k, o
	}
	return kind, offset, nil
}

// rowsOf computes which rows a Gather picks.
func rowsOf(t *trial, l *lookup) (role, int, error) {
	v, err := t.value(l.indices)
	if err != nil {
		return 0, 0, err
	}
	rows, err := v.Int64s()
	if err != nil || len(rows) == 0 || len(rows) != 1 && len(rows)%t.length != 0 {
		return 0, 0, fmt.Errorf("indices of %v for %d tokens", v.Dims, t.length)
	}
	counts, same := true, true
	for i, r := range rows {
		counts = counts && r == rows[0]+int64(i%t.length)
		same = same && r == rows[0]
	}
	switch {
	case same:
		return types, int(rows[0]), nil
	case counts && rows[0] >= 0:
		return positions, int(rows[0]), nil
	}
	return 0, 0, fmt.Errorf("they neither count from a first one nor stay the same")
}

// firstRow computes where a Slice of a table starts.
func firstRow(t *trial, l *lookup) (int, error) {
	n := l.node
	starts, axes := n.Ints("starts"), n.Ints("axes")
	if starts == nil {
		v, err := t.value(n.Input(1))
		if err != nil {
			return 0, err
		}
		if starts, err = v.Int64s(); err != nil {
			return 0, err
		}
		axes, _ = constInts(n.Input(3))
		if steps, ok := constInts(n.Input(4)); n.Input(4) != nil && (!ok || len(steps) != 1 || steps[0] != 1) {
			return 0, fmt.Errorf("it leaves rows out")
		}
	}
	rank := int64(rankOf(n.Input(0)))
	if len(starts) != 1 || starts[0] < 0 || len(axes) > 1 || len(axes) == 0 && rank != 2 || len(axes) == 1 && axes[0] != rank-2 && axes[0] != -2 {
		return 0, fmt.Errorf("it cuts more than rows")
	}
	return int(starts[0]), nil
}
