package models

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// accounted is a layer in a trial: what enters the softmax there, and of what it must be made.
type accounted struct {
	*trial
	m        *matcher
	l        *Layer
	products []float64 // q·kᵀ + relative terms, [batch, heads, sequence, sequence]
	bias     []float64 // its elements repeat over those of the products
	scores   []float64 // what enters the softmax
}

func (m *matcher) accountLayer(t *trial, l *Layer, r ranks, scale *float64, hide bool) *NotRecognisedError {
	t.layer(l, r, m.heads)
	a := &l.Attention
	if a.Masked == nil {
		return t.fusedMask(a, hide)
	}
	masked, err := t.value(a.Masked)
	if err != nil {
		return cantFollow(a.Node, "what enters it can't be followed: %v", err)
	}
	scores, err := masked.Float64s()
	if want := t.batch * m.heads * t.length * t.length; err != nil || len(scores) != want {
		return cantFollow(a.Node, "it reads scores of %v, not of [batch, %d heads, sequence, sequence]", masked.Dims, m.heads)
	}
	x := &accounted{trial: t, m: m, l: l, scores: scores, bias: []float64{0}}
	if a.PositionBias != nil {
		if why := x.readBias(); why != nil {
			return why
		}
	}
	x.multiply()
	if why := x.addDistances(); why != nil {
		return why
	}
	return x.compare(scale, hide)
}

func (x *accounted) readBias() *NotRecognisedError {
	v := x.l.Attention.PositionBias
	t, err := x.value(v)
	if err != nil {
		return cantFollow(producer(v), "the bias of positions can't be followed: %v", err)
	}
	if x.bias, err = t.Float64s(); err != nil || len(x.bias) == 0 || len(x.scores)%len(x.bias) != 0 || len(x.bias)%(x.length*x.length) != 0 {
		return refuse(producer(v), "the bias of positions is %v, not [1, heads, sequence, sequence]", t.Dims)
	}
	return nil
}

// feature returns where feature 0 of a head is in a fed projection.
func (x *accounted) feature(batch, token, head int) int {
	return (batch*x.length+token)*x.l.Query.Out + head*x.m.headDim
}

// each visits every score.
func (x *accounted) each(visit func(at, batch, head, query, key int)) {
	at := 0
	for b := range x.batch {
		for h := range x.m.heads {
			for i := range x.length {
				for j := range x.length {
					visit(at, b, h, i, j)
					at++
				}
			}
		}
	}
}

func (x *accounted) fed(v *graph.Value) []float64 {
	data, _ := x.feeds[v.Name()].Float64s()
	return data
}

func (x *accounted) multiply() {
	q, k := x.fed(x.l.Query.Output), x.fed(x.l.Key.Output)
	x.products = make([]float64, len(x.scores))
	x.each(func(at, b, h, i, j int) {
		x.products[at] = dot(q[x.feature(b, i, h):], k[x.feature(b, j, h):], x.m.headDim)
	})
}

// addDistances adds q·R[i-j+P-1] and k·R[i-j+P-1] of a table R of 2P-1 distances (Shaw et al. 2018, arXiv:1803.02155; Huang et
// al. 2020, arXiv:2009.13658), as far as the layer has them.
func (x *accounted) addDistances() *NotRecognisedError {
	a := &x.l.Attention
	if a.Distances == nil {
		return nil
	}
	tensor := tensorOf(a.Distances)
	table, err := tensor.Float64s()
	zero := x.l.positions() - 1
	if err != nil || x.length > zero+1 {
		return refuse(a.Relative[0].Producer(), "a table of %d distances doesn't serve %d tokens", tensor.Dims[0], x.length)
	}
	for _, side := range []struct {
		has   bool
		of    *graph.Value
		token func(i, j int) int
	}{
		{a.RelativeToQuery, x.l.Query.Output, func(i, _ int) int { return i }},
		{a.RelativeToKey, x.l.Key.Output, func(_, j int) int { return j }},
	} {
		if !side.has {
			continue
		}
		data := x.fed(side.of)
		x.each(func(at, b, h, i, j int) {
			row := table[(i-j+zero)*x.m.headDim:]
			x.products[at] += dot(data[x.feature(b, side.token(i, j), h):], row, x.m.headDim)
		})
	}
	return nil
}

func dot(a, b []float64, n int) float64 {
	sum := 0.0
	for i := range n {
		sum += a[i] * b[i]
	}
	return sum
}

// visible says whether key j of row b is shown by the mask.
func (t *trial) visible(b, j int, hide bool) bool {
	return !hide || b < t.batch-1 || j < t.length-hiddenTokens
}

// hides is how far below the others a score must be to have no part in the softmax.
const hides = 1000

// compare fits the scale and checks every score.
func (x *accounted) compare(scale *float64, hide bool) *NotRecognisedError {
	yz, zz := 0.0, 0.0
	x.each(func(at, b, _, i, j int) {
		if x.visible(b, j, hide) && x.visible(b, i, hide) {
			yz += (x.scores[at] - x.bias[at%len(x.bias)]) * x.products[at]
			zz += x.products[at] * x.products[at]
		}
	})
	c := yz / zz
	var why *NotRecognisedError
	x.each(func(at, b, _, i, j int) {
		if why != nil || !x.visible(b, i, hide) {
			return // what a token that is padding itself sees is nobody's business
		}
		want := c*x.products[at] + x.bias[at%len(x.bias)]
		got := x.scores[at]
		switch shown := x.visible(b, j, hide); {
		case shown && !(math.Abs(got-want) <= 1e-4*math.Max(1, math.Abs(want))):
			why = x.unaccounted()
		case !shown && !(got <= want-hides):
			why = refuse(x.blame(), "the mask input %s doesn't hide tokens from the attention", x.e.AttentionMask)
		}
	})
	switch {
	case why != nil:
		return why
	case !(c > 0):
		return refuse(x.l.Attention.Node, "the products of queries and keys enter it multiplied by %.3g", c)
	case *scale != 0 && math.Abs(*scale-c) > 1e-4*c:
		return refuse(x.l.Attention.Node, "the scale of the scores depends on the text's length: %.3g and %.3g", *scale, c)
	}
	*scale = c
	return nil
}

func (x *accounted) unaccounted() *NotRecognisedError {
	return refuse(x.blame(), "the scores that enter the softmax are not the scaled products of queries and keys with a mask%s: another term, a rotation or a causal mask takes part", x.alsoWith())
}

func (x *accounted) alsoWith() string {
	switch a := &x.l.Attention; {
	case a.Distances != nil:
		return " and relative positions"
	case a.PositionBias != nil:
		return " and a bias of positions"
	}
	return ""
}

// blame returns the node at which something enters the scores.
func (x *accounted) blame() *graph.Node {
	a := &x.l.Attention
	switch {
	case len(a.Relative) > 0:
		return a.Relative[0].Producer()
	case a.MaskNode != nil:
		return a.MaskNode
	}
	return a.Node
}
