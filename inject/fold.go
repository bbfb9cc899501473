package inject

import (
	"fmt"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
)

// Fold replaces what injected nodes compute from trained parameters alone by constants: a prefix's MLP, split into layers,
// becomes each layer's keys and values. It computes in float64 and rounds once, to float32. Parameters that nothing else
// reads are gone afterwards, so a graph whose parameters should stay replaceable isn't folded.
func Fold(g *graph.Graph) error {
	f := &folding{g: g, known: map[*graph.Value]*graph.Tensor{}}
	for _, n := range g.Nodes() {
		if err := f.visit(n); err != nil {
			return fmt.Errorf("inject: fold: %w", err)
		}
	}
	for _, v := range f.order {
		if err := f.store(v); err != nil {
			return fmt.Errorf("inject: fold: %w", err)
		}
	}
	g.Prune()
	return nil
}

type folding struct {
	g     *graph.Graph
	known map[*graph.Value]*graph.Tensor // in float64 where floating
	order []*graph.Value
}

// visit evaluates an injected node whose inputs all are known or small constants, at least one of them trained.
func (f *folding) visit(n *graph.Node) error {
	if !isInjected(n.Name) || n.Is("Dropout") || len(n.Subgraphs()) > 0 {
		return nil
	}
	in := make([]*graph.Tensor, len(n.Inputs()))
	trained := false
	for i, v := range n.Inputs() {
		if v == nil {
			continue
		}
		t, own, err := f.tensor(v, Detached(n))
		if err != nil || t == nil {
			return err
		}
		in[i], trained = t, trained || own
	}
	if !trained {
		return nil
	}
	out, err := refeval.EvalNode(n, f.g.Opsets[n.Domain], in)
	if err != nil {
		return err
	}
	for i, v := range n.Outputs() {
		if v != nil {
			f.known[v] = out[i]
			f.order = append(f.order, v)
		}
	}
	return nil
}

// tensor returns what v is known to be, and whether training made it; nil for anything of the base's, whose weights stay
// in one place, unless withBase: what is computed detached from it ends in something small, such as DoRA's norms.
func (f *folding) tensor(v *graph.Value, withBase bool) (t *graph.Tensor, own bool, err error) {
	if t := f.known[v]; t != nil {
		return t, true, nil
	}
	t, own = v.Const(), isInjected(v.Name())
	if t == nil || !own && !withBase && !strings.HasPrefix(v.Name(), "const/") {
		return nil, false, nil
	}
	if t.DType == graph.Float {
		xs, err := t.Float64s()
		return graph.FloatTensor(graph.Double, t.Dims, xs), own, err
	}
	return t, own, nil
}

// store makes v's readers that aren't folded themselves read a constant.
func (f *folding) store(v *graph.Value) error {
	folded := func(n *graph.Node) bool { return f.known[n.Output(0)] != nil }
	needed := v.IsOutput()
	for _, n := range v.Users() {
		needed = needed || !folded(n)
	}
	if !needed {
		return nil
	}
	t := f.known[v]
	if t.DType == graph.Double {
		var err error
		if t, err = single(t); err != nil {
			return err
		}
	}
	c, err := f.g.AddInitializer(f.g.UniqueName(v.Name()+"/folded"), t)
	if err != nil {
		return err
	}
	return f.g.ReplaceUses(v, c, folded)
}
