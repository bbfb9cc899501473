package inject

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/models"
)

// admit lets every query of the layers see n more keys in front of the text's, whatever form the exporter gave the mask: the
// value that is applied to the scores gets n neutral columns, sized as it is at run time. Layers that share a mask go on
// sharing it.
func (in *Injection) admit(p *graph.Patch, layers []*models.Layer, n int) {
	type mask struct {
		value *graph.Value
		fill  float64
		dtype graph.DType
	}
	var found []mask
	appliers := map[mask]map[*graph.Node]bool{}
	for _, l := range layers {
		between := betweenScores(&l.Attention)
		for _, v := range []*graph.Value{l.Attention.Mask, l.Attention.PositionBias} {
			v = in.Current(v)
			for _, node := range between {
				i := slices.Index(node.Inputs(), v)
				if v == nil || i < 0 || isSingle(v) {
					continue
				}
				m := mask{value: v}
				if m.fill, m.dtype = neutral(node, i, l.Attention.Scores, between); node.Is("Attention") && in.isBool(v) {
					m.fill, m.dtype = 1, graph.Bool
				}
				if appliers[m] == nil {
					found, appliers[m] = append(found, m), map[*graph.Node]bool{}
				}
				appliers[m][node] = true
			}
		}
		keepShapes(p, &l.Attention, between, n)
	}
	for _, m := range found {
		p.ShuntFor(m.value, widen(p.Builder, m.value, m.dtype, m.fill, n), func(n *graph.Node) bool { return appliers[m][n] })
	}
}

// betweenScores returns the nodes that lead from q·kᵀ to the softmax, the Attention node itself where it does all.
func betweenScores(a *models.Attention) []*graph.Node {
	if a.Scores == nil {
		return []*graph.Node{a.Node}
	}
	var out []*graph.Node
	var visit func(v *graph.Value) bool
	visit = func(v *graph.Value) bool {
		if v == a.Scores {
			return true
		}
		if v == nil || v.Producer() == nil {
			return false
		}
		for _, in := range v.Producer().Inputs() {
			if visit(in) {
				out = append(out, v.Producer())
				return true
			}
		}
		return false
	}
	visit(a.Masked)
	return out
}

// neutral returns the element that leaves a score as it is when node reads it as input i, and its type. A node of between
// computes the scores, or scores itself is what node reads.
func neutral(node *graph.Node, i int, scores *graph.Value, between []*graph.Node) (float64, graph.DType) {
	switch {
	case node.Is("Where") && i == 0:
		// The scores are kept where the condition is true when they come first.
		if first := node.Input(1); first == scores || first != nil && first.Producer() != nil && slices.Contains(between, first.Producer()) {
			return 1, graph.Bool
		}
		return 0, graph.Bool
	case node.Is("Mul"):
		return 1, graph.Float
	}
	return 0, graph.Float
}

// isSingle reports whether v is a constant of one element, which holds for every key already.
func isSingle(v *graph.Value) bool { return v.Init() != nil && v.Init().Len() == 1 }

// isBool tells the type of a mask, which files of older exporters don't state.
func (in *Injection) isBool(v *graph.Value) bool {
	if v.DType != graph.Undefined {
		return v.DType == graph.Bool
	}
	c := in.Graph.Clone()
	if err := shape.Infer(c); err != nil {
		return false
	}
	return c.Value(v.Name()).DType == graph.Bool
}

// widen puts n columns of one number in front of v's last axis.
func widen(b *graph.Builder, v *graph.Value, dtype graph.DType, fill float64, n int) *graph.Value {
	last := int64(-1)
	if b.Graph().Opset() < 11 {
		last = 3
	}
	sizes := concat(b, 0, slice(b, b.Op("Shape", v), 0, 0, -1), b.Ints(int64(n)))
	return b.Typed(concat(b, last, filled(b, dtype, fill, sizes), v), dtype, nil)
}

// keepShapes lets readers of the scores' sizes go on seeing those of the text alone: DistilBERT's mask is expanded to them
// before it gets its own columns.
func keepShapes(p *graph.Patch, a *models.Attention, between []*graph.Node, n int) {
	if a.Scores == nil {
		return
	}
	vs := []*graph.Value{a.Scores}
	for _, node := range between {
		vs = append(vs, node.Output(0))
	}
	for _, v := range vs {
		for _, node := range v.Users() {
			if !node.Is("Shape") {
				continue
			}
			const rank, keys = 4, 3
			start, end := bounds(node, rank)
			if start > keys || end <= keys {
				continue
			}
			extra := make([]int64, end-start)
			extra[keys-start] = int64(n)
			p.Shunt(node.Output(0), p.Op("Sub", node.Output(0), p.Ints(extra...)))
		}
	}
}

// bounds returns which dimensions a Shape node returns.
func bounds(n *graph.Node, rank int64) (start, end int64) {
	clamp := func(i int64) int64 {
		if i < 0 {
			i += rank
		}
		return min(max(i, 0), rank)
	}
	return clamp(n.Int("start", 0)), clamp(n.Int("end", rank))
}

// forgetScores drops what is stated of the sizes of everything between keys, values and the context.
func forgetScores(p *graph.Patch, a *models.Attention) error {
	if a.Scores == nil {
		return nil
	}
	seen := map[*graph.Value]bool{a.Context: true}
	var visit func(v *graph.Value) error
	visit = func(v *graph.Value) error {
		if v == nil || seen[v] {
			return nil
		}
		seen[v] = true
		if v.IsOutput() {
			return fmt.Errorf("%q is an output of the model: it would get other sizes; export the model without attention outputs", v.Name())
		}
		forget(v)
		for _, n := range v.Users() {
			for _, o := range n.Outputs() {
				if !n.Is("Shape") {
					if err := visit(o); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	return visit(a.Scores)
}
