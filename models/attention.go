package models

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// findAttention returns the nodes around which attention may be: each Softmax behind which there is a product of two
// computed values, and each Attention of opset 23, in order.
func (m *matcher) findAttention() []*graph.Node {
	var out []*graph.Node
	for _, n := range m.g.Nodes() {
		switch {
		case n.Is("Attention"):
			out = append(out, n)
		case n.Is("Softmax"):
			if _, why := m.scoresOf(n); why == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// scored is what stands between q·kᵀ and the softmax.
type scored struct {
	m       *matcher
	product *graph.Node
	terms   []maskTerm // nearest to the softmax first
}

// maskTerm is a value that is added to the scores or selects among them, and the node that does it.
type maskTerm struct {
	value *graph.Value
	node  *graph.Node
}

// scoresOf walks up from a softmax to the product q·kᵀ past scaling and masks.
func (m *matcher) scoresOf(softmax *graph.Node) (*scored, *NotRecognisedError) {
	s := &scored{m: m}
	if why := s.walk(softmax.Input(0)); why != nil {
		return nil, why
	}
	return s, nil
}

func (s *scored) walk(v *graph.Value) *NotRecognisedError {
	v = strip(v)
	n := producer(v)
	switch {
	case n.Is("MatMul") && tensorOf(strip(n.Input(0))) == nil && !isWeight(n.Input(1)):
		s.product = n
		return nil
	case unscaled(n) != nil:
		return s.walk(unscaled(n))
	case n.Is("Add"):
		return s.either(n, 0, 1, 1, 0)
	case n.Is("Sub", "Mul", "Max"):
		return s.either(n, 0, 1)
	case n.Is("Where"):
		return s.either(n, 2, 0, 1, 0)
	}
	return refuse(n, "no product of queries and keys leads to the softmax")
}

// either tries the pairs (operand that leads to the product, operand that is the mask) in turn, and prefers products of two
// projections: a term may be a product too.
func (s *scored) either(n *graph.Node, pairs ...int) *NotRecognisedError {
	var first *NotRecognisedError
	var found *scored
	for i := 0; i < len(pairs); i += 2 {
		try := &scored{m: s.m, terms: append(s.terms[:len(s.terms):len(s.terms)], maskTerm{n.Input(pairs[i+1]), n})}
		why := try.walk(n.Input(pairs[i]))
		switch {
		case why == nil && try.projected():
			*s = *try
			return nil
		case why == nil && found == nil:
			found = try
		case first == nil || first.Node == nil:
			first = why
		}
	}
	if found == nil {
		return first
	}
	*s = *found
	return nil
}

// projected reports whether both operands of the product are outputs of linear maps.
func (s *scored) projected() bool {
	_, q := s.m.headPath(s.product.Input(0), "query")
	_, k := s.m.headPath(s.product.Input(1), "key")
	return q == nil && k == nil
}

func isWeight(v *graph.Value) bool {
	_, _, ok := weightOf(v)
	return ok
}

// isScale reports whether v may be one number that depends on nothing but constants and sizes, such as √d. What it does to the
// scores is seen in a trial: see [matcher.account].
func isScale(v *graph.Value) bool {
	if t := tensorOf(v); t != nil {
		return t.Len() == 1
	}
	return v != nil && shapeDerived(v) && rankOf(v) <= 1
}

// attend matches attention around a Softmax (or an Attention node) up to the three projections.
func (m *matcher) attend(n *graph.Node) (*Layer, []maskTerm, *NotRecognisedError) {
	if n.Is("Attention") {
		return m.attendFused(n)
	}
	if axis := n.Int("axis", defaultAxis(m.g)); axis != -1 && axis != 3 {
		return nil, nil, refuse(n, "it normalises over axis %d, attention over the last one", axis)
	}
	s, why := m.scoresOf(n)
	if why != nil {
		return nil, nil, why
	}
	a := Attention{Node: n, Scores: s.product.Output(0), Masked: n.Input(0)}
	context, why := contextOf(n)
	if why != nil {
		return nil, nil, why
	}
	a.Probs, a.Context = context.Input(0), context.Output(0)
	l := &Layer{Attention: a}
	why = m.project(l, s.product.Input(0), s.product.Input(1), context.Input(1), "bhds")
	return l, s.terms, why
}

func defaultAxis(g *graph.Graph) int64 {
	if g.Opset() >= 13 {
		return -1
	}
	return 1
}

// contextOf returns the product probs·v. Exporters put guards against fully masked rows and dropout before it.
func contextOf(softmax *graph.Node) (*graph.Node, *NotRecognisedError) {
	v := softmax.Output(0)
	for {
		next, why := contextStep(v)
		if why != nil {
			return nil, why
		}
		if next.Is("MatMul") {
			return next, nil
		}
		v = next.Output(0)
	}
}

func contextStep(v *graph.Value) (*graph.Node, *NotRecognisedError) {
	for _, n := range dataUsers(v) {
		switch {
		case n.Is("MatMul") && n.Input(0) == v,
			guardsNaN(n, v),
			handedOn(n.Output(0)) == v:
			return n, nil
		}
	}
	return nil, refuse(producer(v), "its probabilities are not multiplied with values")
}

// guardsNaN reports whether n replaces v by 0 where it is no number: in rows that are masked everywhere.
func guardsNaN(n *graph.Node, v *graph.Value) bool {
	if !n.Is("Where") || n.Input(2) != v {
		return false
	}
	is := producer(strip(n.Input(0)))
	zero, ok := constScalar(n.Input(1))
	return is.Is("IsNaN") && strip(is.Input(0)) == strip(v) && ok && zero == 0
}

// attendFused reads ai.onnx's Attention(Q, K, V, mask), opset 23.
func (m *matcher) attendFused(n *graph.Node) (*Layer, []maskTerm, *NotRecognisedError) {
	if n.Float("softcap", 0) != 0 {
		return nil, nil, refuse(n, "attention caps its scores, which no BERT does")
	}
	if n.Int("is_causal", 0) != 0 {
		return nil, nil, refuse(n, "attention is causal: a decoder")
	}
	if n.Input(4) != nil || n.Input(5) != nil {
		return nil, nil, refuse(n, "attention reads cached keys and values: a decoder")
	}
	l := &Layer{Attention: Attention{Node: n, Context: n.Output(0)}}
	var terms []maskTerm
	if mask := n.Input(3); mask != nil {
		terms = append(terms, maskTerm{mask, n})
	}
	return l, terms, m.project(l, n.Input(0), n.Input(1), n.Input(2), "bhsd")
}

// project traces query, key and value from the operands of attention to linear maps of one common input. keyOrder is the
// order of axes in which the key arrives.
func (m *matcher) project(l *Layer, q, k, v *graph.Value, keyOrder string) *NotRecognisedError {
	query, why := m.headPath(q, "query")
	if why != nil {
		return why
	}
	key, why := m.headPath(k, "key")
	if why != nil {
		return why
	}
	value, why := m.headPath(v, "value")
	if why != nil {
		return why
	}
	in := origin(query.linear.Input)
	for _, p := range []*headPath{key, value} {
		if other := origin(p.linear.Input); other != in {
			return refuse(p.linear.Nodes[0], "the %s is projected from %s, the query from %s: cross-attention", p.role, other, in)
		}
	}
	for _, p := range []struct {
		path *headPath
		want string
	}{{query, "bhsd"}, {key, keyOrder}, {value, "bhsd"}} {
		if why := p.path.check(p.want); why != nil {
			return why
		}
	}
	l.Input = in
	l.Query, l.Key, l.Value = *query.linear, *key.linear, *value.linear
	a := &l.Attention
	a.QueryHeads, a.KeyHeads, a.ValueHeads = query.heads, key.heads, value.heads
	a.KeyTransposed = keyOrder == "bhds"
	return m.setHeads(query, key, value)
}

// setHeads learns the number of heads and their size from the first of the paths that tells.
func (m *matcher) setHeads(paths ...*headPath) *NotRecognisedError {
	out := paths[0].linear.Out
	for _, p := range paths {
		h, d := p.split()
		switch {
		case h > 0 && out%h == 0:
			d = out / h
		case d > 0 && out%d == 0:
			h = out / d
		default:
			continue
		}
		if m.heads != 0 && (m.heads != h || m.headDim != d) {
			return refuse(p.linear.Nodes[0], "%d heads of size %d, after %d of size %d in the layer before: pruned heads", h, d, m.heads, m.headDim)
		}
		m.heads, m.headDim = h, d
		return nil
	}
	return refuse(paths[0].linear.Nodes[0], "nothing tells into how many heads its %d features are split", out)
}

// headPath is the way from a projection to the operand of attention: splitting into heads, moving axes, scaling.
type headPath struct {
	role   string
	linear *Linear
	steps  []*graph.Node // from the projection down
	heads  *graph.Value  // the value behind all steps, before a scaling that comes last
}

func (m *matcher) headPath(v *graph.Value, role string) (*headPath, *NotRecognisedError) {
	p := &headPath{role: role, heads: v}
	scaledOnly := true
	for {
		if l := m.linearOf[v]; l != nil {
			p.linear = l
			return p, nil
		}
		n, up := producer(v), handedOn(v)
		switch {
		case up != nil:
		case rearranges(n):
			up = n.Input(0)
			p.steps = append([]*graph.Node{n}, p.steps...)
			scaledOnly = false
		default:
			if up = unscaled(n); up == nil || role == "value" && !byNumber(n) {
				return nil, m.notProjected(v, role)
			}
			if scaledOnly {
				p.heads = up
			}
		}
		v = up
	}
}

// byNumber reports whether one operand of n is a number that the file holds.
func byNumber(n *graph.Node) bool {
	_, first := constScalar(n.Input(0))
	_, second := constScalar(n.Input(1))
	return first || second
}

// unscaled returns what n multiplies by a number, or nil when it does no such thing.
func unscaled(n *graph.Node) *graph.Value {
	switch {
	case n.Is("Mul", "Div") && isScale(n.Input(1)):
		return n.Input(0)
	case n.Is("Mul") && isScale(n.Input(0)):
		return n.Input(1)
	}
	return nil
}

// notProjected explains why v does not lead up to a linear map of its own.
func (m *matcher) notProjected(v *graph.Value, role string) *NotRecognisedError {
	n := producer(v)
	if n.Is("Split", "Slice", "Gather") && m.linearOf[origin(n.Input(0))] != nil {
		return refuse(n, "query, key and value come from one fused projection (GPT-2 style)")
	}
	if n == nil {
		return refuse(nil, "the %s is %s, which no linear map computes", role, v)
	}
	if n.Is("MatMul", "Gemm") {
		return refuse(n, "the %s is not projected by a constant weight matrix", role)
	}
	return refuse(n, "it stands between the %s and its projection", role)
}

// check follows the axes along the path: batch, sequence, heads and head features must arrive in the order want.
func (p *headPath) check(want string) *NotRecognisedError {
	order := "bshd"
	for _, n := range p.steps {
		next, ok := permute(order, n)
		if !ok {
			return refuse(n, "it doesn't arrange the %s as heads of [batch, sequence, features]", p.role)
		}
		order = next
	}
	if order != want {
		return refuse(p.linear.Nodes[0], "the %s reaches attention with its axes in the order %q instead of %q", p.role, order, want)
	}
	return nil
}

// permute returns the order of axes after n. A Reshape keeps it: it only joins neighbours or parts them again. How they are
// joined at a Transpose follows from the rank.
func permute(order string, n *graph.Node) (string, bool) {
	if !n.Is("Transpose") {
		return order, true
	}
	perm := n.Ints("perm")
	var axes []string
	switch {
	case len(perm) == 4:
		axes = []string{order[0:1], order[1:2], order[2:3], order[3:4]}
	case len(perm) == 3 && order == "bshd":
		axes = []string{"b", "s", "hd"}
	case len(perm) == 3:
		axes = []string{order[0:2], order[2:3], order[3:4]}
	default:
		return "", false
	}
	out := ""
	for _, i := range perm {
		if i < 0 || int(i) >= len(axes) {
			return "", false
		}
		out += axes[i]
	}
	return out, len(out) == 4
}

// split returns the number of heads and their size as the Reshape before the first Transpose gives them; 0 where it doesn't.
func (p *headPath) split() (heads, size int) {
	for _, n := range p.steps {
		if n.Is("Transpose") {
			break
		}
		if n.Is("Reshape") {
			if e := shapeEntries(n.Input(1)); len(e) == 4 {
				heads, size = int(max(e[2], 0)), int(max(e[3], 0))
			} else if s := n.Output(0).Shape; s.Rank() == 4 {
				heads, size = known(s[2]), known(s[3])
			}
		}
	}
	return heads, size
}

func known(d graph.Dim) int {
	if d.Known() && d.N < math.MaxInt32 {
		return int(d.N)
	}
	return 0
}
