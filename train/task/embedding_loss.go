package task

import (
	"github.com/peftgraph/peftgraph/graph"
)

// A group is the parts of an embedding loss: the vectors of a batch by their place in the unit.
type group struct {
	*Loss
	members int
	hidden  int64
	units   *graph.Value // int64 [1]
	all     *graph.Value // [members, units, hidden]
}

// Loss is that of sentence-transformers of the same name, with these differences: a text that the batch has twice is no wrong
// answer of a ranking, and a cosine's vectors are divided by at least 1e-12.
func (t *Embedding) Loss(l *Loss) *graph.Value {
	g, ok := l.group(t.Group())
	if !ok {
		return l.Output
	}
	switch t.Objective {
	case CosineLoss:
		diff := l.Op("Sub", g.cosine(g.member(0), g.member(1)), l.Targets[scoreTarget])
		return l.weighted(l.Op("Mul", diff, diff))
	case CoSENTLoss:
		return g.cosent(t.Scale)
	case TripletLoss:
		return l.weighted(g.triplet(t.Distance, t.Margin))
	}
	return l.weighted(g.ranking(t.Scale, t.Symmetric))
}

// group parts the output [members·units, hidden].
func (l *Loss) group(members int) (*group, bool) {
	shape := l.Output.Shape
	if len(shape) != 2 || !shape[1].Known() {
		l.Fail(&ShapeError{l.Output.String()})
		return nil, false
	}
	g := &group{Loss: l, members: members, hidden: shape[1].N, units: l.Op("Shape", l.Weights)}
	sizes := l.With(graph.IntAttr("axis", 0)).Op("Concat", l.Ints(int64(members)), g.units, l.Ints(g.hidden))
	g.all = l.Op("Reshape", l.Output, sizes)
	return g, true
}

// A ShapeError says that the vectors aren't [batch, hidden] with a known size.
type ShapeError struct{ Output string }

func (e *ShapeError) Error() string {
	return "task: the embeddings are " + e.Output + ", not [batch, hidden] with a known size"
}

// member is the vectors of one place of the units, [units, hidden].
func (g *group) member(i int64) *graph.Value {
	return g.With(graph.IntAttr("axis", 0)).Op("Gather", g.all, g.Int(i))
}

// others are the vectors of all places but the first, [(members−1)·units, hidden]: the second ones, then the third ones.
func (g *group) others() *graph.Value {
	if g.members == 2 {
		return g.member(1)
	}
	rest := g.Op("Slice", g.all, g.Ints(1), g.Ints(int64(g.members)), g.Ints(0))
	return g.Op("Reshape", rest, g.Ints(-1, g.hidden))
}

// unit is x with rows of length 1: x / max(‖x‖, 1e-12).
func (g *group) unit(x *graph.Value) *graph.Value {
	norm := g.Op("ReduceL2", x, g.Ints(1))
	return g.Op("Div", x, g.Op("Max", norm, g.constant(1e-12)))
}

// cosine is that of each row of a with the same of b, [units].
func (g *group) cosine(a, b *graph.Value) *graph.Value {
	return g.sumLast(g.Op("Mul", g.unit(a), g.unit(b)), 2)
}

// cosent is log(1 + Σ exp(scale·(cos_i − cos_j))) over the pairs i, j of units of which j has the higher score (Su 2022). It is one
// number for the batch, which counts as often as its units weigh.
func (g *group) cosent(scale float64) *graph.Value {
	cos := g.Op("Mul", g.cosine(g.member(0), g.member(1)), g.constant(scale))
	score := g.Targets[scoreTarget]
	diff := g.Op("Sub", g.column(cos), g.row(cos))
	wrong := g.Op("Where", g.Op("Less", g.column(score), g.row(score)), diff, g.constant(never))
	terms := g.With(graph.IntAttr("axis", 0)).Op("Concat", g.Const(graph.TensorOf([]int64{1}, []float32{0})), g.Op("Reshape", wrong, g.Ints(-1)))
	loss := g.With(graph.IntAttr("keepdims", 0)).Op("ReduceLogSumExp", terms, g.Ints(0))
	return g.weighted(g.Op("Mul", g.ones(), loss))
}

// never is a logit of no probability: exp of it is 0 in float32 and in float64.
const never = -1e9

// ones is 1 for each unit.
func (g *group) ones() *graph.Value {
	one := graph.TensorAttr("value", graph.TensorOf([]int64{1}, []float32{1}))
	return g.With(one).Op("ConstantOfShape", g.units)
}

// column and row make x [n] a matrix [n, 1] or [1, n].
func (g *group) column(x *graph.Value) *graph.Value { return g.Op("Unsqueeze", x, g.Ints(1)) }
func (g *group) row(x *graph.Value) *graph.Value    { return g.Op("Unsqueeze", x, g.Ints(0)) }

// triplet is max(0, d(first, second) − d(first, third) + margin), [units] (Schroff et al. 2015).
func (g *group) triplet(distance Distance, margin float64) *graph.Value {
	a, p, n := g.member(0), g.member(1), g.member(2)
	var closer *graph.Value
	if distance == EuclideanDistance {
		far := func(x *graph.Value) *graph.Value {
			return g.With(graph.IntAttr("keepdims", 0)).Op("ReduceL2", g.Op("Sub", a, x), g.Ints(1))
		}
		closer = g.Op("Sub", far(p), far(n))
	} else {
		closer = g.Op("Sub", g.cosine(a, n), g.cosine(a, p))
	}
	return g.Op("Relu", g.Op("Add", closer, g.constant(margin)))
}

// ranking is the cross entropy of each first text finding its own second text among those of the batch, [units] (Henderson et al.
// 2017), or the mean of that and of second texts finding first ones.
func (g *group) ranking(scale float64, symmetric bool) *graph.Value {
	texts := g.Targets[textsTarget]
	at := func(i int64) *graph.Value { return g.With(graph.IntAttr("axis", 1)).Op("Gather", texts, g.Int(i)) }
	first, second := side{g.unit(g.member(0)), at(0), at(0)}, side{g.unit(g.member(1)), at(1), at(1)}
	documents := side{vectors: g.unit(g.others()), texts: at(1), own: at(0)}
	if g.members > 2 {
		third := at(2)
		documents.texts = g.With(graph.IntAttr("axis", 0)).Op("Concat", at(1), third)
		// A third text is the answer to none: no first text is that number.
		nobody := g.Op("Sub", g.Op("Mul", third, g.Int(0)), g.Int(1))
		documents.own = g.With(graph.IntAttr("axis", 0)).Op("Concat", at(0), nobody)
	}
	loss := g.find(first, second.texts, documents, scale)
	if !symmetric {
		return loss
	}
	back := g.find(second, first.texts, side{first.vectors, first.texts, second.texts}, scale)
	return g.Op("Mul", g.Op("Add", loss, back), g.constant(0.5))
}

// A side is vectors with the numbers of their texts, and with those of the texts that they are the answer to.
type side struct{ vectors, texts, own *graph.Value }

// find is −log of the probability that a softmax over scale·cosine gives to each query's answer, the document in the same place.
// Documents that are the query itself, its answer's twin or another answer to the same query's twin aren't wrong, so they are left
// out.
func (g *group) find(queries side, answers *graph.Value, documents side, scale float64) *graph.Value {
	// [units, documents]
	scores := g.Op("Mul", g.Op("MatMul", queries.vectors, g.With(graph.IntsAttr("perm", 1, 0)).Op("Transpose", documents.vectors)), g.constant(scale))
	count := func(x *graph.Value) *graph.Value { // 0 … len(x)−1
		n := g.With(graph.IntAttr("axis", 0)).Op("Gather", g.Op("Shape", x), g.Int(0))
		return g.Op("Range", g.Int(0), n, g.Int(1))
	}
	answer := g.Op("Equal", g.column(count(queries.texts)), g.row(count(documents.texts)))
	same := func(a, b *graph.Value) *graph.Value { return g.Op("Equal", g.column(a), g.row(b)) }
	right := g.Op("Or", same(answers, documents.texts), g.Op("Or", same(queries.texts, documents.own), same(queries.texts, documents.texts)))
	left := g.Op("And", right, g.Op("Not", answer))
	logp := g.logSoftmax(g.Op("Where", left, g.constant(never), scores))
	return g.Op("Neg", g.sumLast(g.Op("Mul", logp, g.With(graph.IntAttr("to", int64(graph.Float))).Op("Cast", answer)), 2))
}
