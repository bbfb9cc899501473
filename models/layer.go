package models

import (
	"github.com/peftgraph/peftgraph/graph"
)

// matcher holds what is found in a graph before parts are put together.
type matcher struct {
	g          *graph.Graph
	linears    []*Linear
	linearOf   map[*graph.Value]*Linear   // by Output
	linearsOn  map[*graph.Value][]*Linear // by the origin of Input
	normOf     map[*graph.Value]*Norm     // by Output
	sums       map[*graph.Value][]*sum    // residual sums by the origin of either operand
	activated  map[*Linear][]*activated   // by the linear map whose output is activated
	heads      int
	headDim    int
	activation string
	folded     int  // rows of positions that the exporter made a constant
	types      bool // token types are added to the embeddings, be it as a constant
}

// sum is a residual connection: a LayerNorm and the two values whose sum it normalises.
type sum struct {
	norm *Norm
	node *graph.Node // the Add, or the SkipLayerNormalization
	a, b *graph.Value
}

// activated says that to reads the activation of from's output.
type activated struct {
	from, to *Linear
	out      *graph.Value
	name     string
}

func newMatcher(g *graph.Graph) *matcher {
	m := &matcher{
		g: g, linears: findLinears(g),
		linearOf: map[*graph.Value]*Linear{}, linearsOn: map[*graph.Value][]*Linear{}, normOf: map[*graph.Value]*Norm{},
		sums: map[*graph.Value][]*sum{}, activated: map[*Linear][]*activated{},
	}
	for _, l := range m.linears {
		m.linearOf[l.Output] = l
		in := origin(l.Input)
		m.linearsOn[in] = append(m.linearsOn[in], l)
	}
	for _, n := range findNorms(g) {
		m.normOf[n.Output] = n
		if s := sumBefore(n); s != nil {
			for _, v := range []*graph.Value{s.a, s.b} {
				m.sums[origin(v)] = append(m.sums[origin(v)], s)
			}
		}
	}
	for _, l := range m.linears {
		if a := m.activationBefore(l); a != nil {
			m.activated[a.from] = append(m.activated[a.from], a)
		}
	}
	return m
}

func sumBefore(n *Norm) *sum {
	if n.Skip != nil {
		return &sum{n, n.Skip, n.Skip.Input(0), n.Skip.Input(1)}
	}
	if add := producer(strip(n.Input)); add.Is("Add") {
		return &sum{n, add, add.Input(0), add.Input(1)}
	}
	return nil
}

// activationBefore returns the linear map whose output reaches l through a pointwise function, or nil.
func (m *matcher) activationBefore(l *Linear) *activated {
	out := origin(l.Input)
	if m.linearOf[out] != nil || m.normOf[out] != nil {
		return nil
	}
	vars, params := leaves(out, func(v *graph.Value) bool { return m.linearOf[v] != nil || m.normOf[v] != nil })
	if len(vars) != 1 || len(params) > 1 {
		return nil
	}
	from := m.linearOf[vars[0]]
	if from == nil || from.Out != l.In {
		return nil
	}
	var bias *graph.Value
	if len(params) == 1 {
		if from.BiasNode == nil || from.Bias != params[0] {
			return nil
		}
		bias = params[0]
	}
	name := activationName(out, vars[0], bias)
	if name == "" {
		return nil
	}
	return &activated{from, l, out, name}
}

// layer completes l, whose attention is matched: the output projection, its residual LayerNorm, the feed-forward part.
func (m *matcher) layer(l *Layer) *NotRecognisedError {
	out, why := m.attentionOutput(l.Attention.Context)
	if why != nil {
		return why
	}
	l.AttentionOutput = *out
	norm, why := m.residual(out, l.Input, "attention")
	if why != nil {
		return why
	}
	l.AttentionNorm = *norm
	up, why := m.feedForward(norm)
	if why != nil {
		return why
	}
	l.Intermediate, l.Dense, l.ActivationOut = *up.from, *up.to, up.out
	if norm, why = m.residual(up.to, norm.Output, "feed-forward"); why != nil {
		return why
	}
	l.OutputNorm, l.Output = *norm, norm.Output
	if m.activation != "" && m.activation != up.name {
		return refuse(producer(up.out), "its activation is %s, that of the layers before %s", up.name, m.activation)
	}
	m.activation = up.name
	return nil
}

// attentionOutput returns the linear map that reads the context with its heads joined again.
func (m *matcher) attentionOutput(context *graph.Value) (*Linear, *NotRecognisedError) {
	readers := m.linearsOn[origin(context)]
	if len(readers) != 1 {
		return nil, refuse(firstUser(context), "%d linear maps read the attention's context, expected attention.output.dense alone", len(readers))
	}
	order := "bhsd"
	for _, n := range stepsBetween(context, readers[0].Input) {
		var ok bool
		if order, ok = permute(order, n); !ok {
			return nil, refuse(n, "it doesn't join the heads of the context")
		}
	}
	if order != "bshd" {
		return nil, refuse(readers[0].Nodes[0], "the context arrives with its axes in the order %q instead of %q", order, "bshd")
	}
	return readers[0], nil
}

// stepsBetween returns the nodes that rearrange a on its way to b.
func stepsBetween(a, b *graph.Value) []*graph.Node {
	var out []*graph.Node
	for v := b; v != a && producer(v) != nil; v = producer(v).Input(0) {
		if rearranges(producer(v)) {
			out = append([]*graph.Node{producer(v)}, out...)
		}
	}
	return out
}

// firstUser returns a node that reads v, or nil.
func firstUser(v *graph.Value) *graph.Node {
	if users := dataUsers(v); len(users) > 0 {
		return users[0]
	}
	return nil
}

// residual returns the LayerNorm of l's output plus skip.
func (m *matcher) residual(l *Linear, skip *graph.Value, part string) (*Norm, *NotRecognisedError) {
	found := m.sums[l.Output]
	if len(found) == 0 {
		return nil, m.noResidual(l, part)
	}
	s := found[0]
	other := origin(s.b)
	if other == l.Output {
		other = origin(s.a)
	}
	if other == origin(skip) {
		return s.norm, nil
	}
	if n := m.normOf[skip]; n != nil && n.Input != nil && origin(n.Input) == other {
		return nil, refuse(s.node, "the residual of the %s skips its LayerNorm: LayerNorm comes before the sublayer (pre-norm)", part)
	}
	return nil, refuse(s.node, "the residual of the %s adds %s, not the part's input %s", part, other, skip)
}

// noResidual says what happens to the output of a part that enters no sum before a LayerNorm.
func (m *matcher) noResidual(l *Linear, part string) *NotRecognisedError {
	for _, norm := range m.normOf {
		if norm.Input != nil && origin(norm.Input) == l.Output {
			return refuse(norm.Nodes[0], "LayerNorm reads the output of the %s alone: the residual connection is missing", part)
		}
	}
	n := firstUser(l.Output)
	for rearranges(n) {
		n = firstUser(n.Output(0))
	}
	if n == nil {
		return refuse(l.Nodes[len(l.Nodes)-1], "nothing reads the output of the %s", part)
	}
	if n.Is("Add") {
		return refuse(n, "no LayerNorm normalises the sum after the %s", part)
	}
	return refuse(n, "the output of the %s should be added to its input and normalised", part)
}

// feedForward returns the two linear maps behind a LayerNorm and the activation between them.
func (m *matcher) feedForward(norm *Norm) (*activated, *NotRecognisedError) {
	readers := m.linearsOn[norm.Output]
	if len(readers) == 0 {
		return nil, refuse(firstUser(norm.Output), "no linear map reads the attention's LayerNorm")
	}
	for _, l := range readers {
		if a := m.activated[l]; len(a) == 1 {
			return a[0], nil
		}
	}
	l := readers[0]
	return nil, refuse(firstUser(l.Output), "the feed-forward part is no linear map, pointwise activation and linear map")
}
