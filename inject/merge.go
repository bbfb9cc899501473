package inject

import (
	"fmt"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

// Merging gives a [Merger] the trained values.
type Merging struct {
	plan   *Plan
	values map[string]*graph.Tensor
}

// Value returns the trained parameter of that role at a site.
func (m *Merging) Value(s Site, role string) ([]float32, error) {
	t := m.plan.Find(s.Method, s.Target, role)
	if t == nil {
		return nil, fmt.Errorf("inject: merge: %s of %q has no parameter %q in the plan", s.Method, s.Target, role)
	}
	return graph.Data[float32](m.values[t.Name])
}

// Merge folds what can be folded into the base weights and removes the nodes that did its work; g is an injected graph,
// whose trainables hold the trained values. Methods that can't be folded stay as nodes with constants, and their names are
// returned. Only weights change: a weight that several modules share gets a copy for the one that is merged.
func Merge(g *graph.Graph, p *Plan) (unmerged []string, err error) {
	values, err := p.Values(g)
	if err != nil {
		return nil, err
	}
	m := &Merging{p, values}
	mergers := map[string]Merger{}
	for _, a := range p.Methods {
		method, err := p.Method(a.Name)
		if err != nil {
			return nil, err
		}
		if mg, ok := method.(Merger); ok {
			mergers[a.Name] = mg
		} else {
			unmerged = append(unmerged, a.Name)
		}
	}
	// Last in, first out: a site's old value may itself stand in for an earlier one.
	for i := len(p.Sites) - 1; i >= 0; i-- {
		s := p.Sites[i]
		if mg := mergers[s.Method]; mg != nil {
			if err := m.site(g, mg, s); err != nil {
				return nil, fmt.Errorf("inject: merge: %s at %q: %w", s.Method, s.Target, err)
			}
		}
	}
	Deploy(g)
	return unmerged, nil
}

func (m *Merging) site(g *graph.Graph, mg Merger, s Site) error {
	base, old, repl := g.Value(s.Weight), g.Value(s.Old), g.Value(s.New)
	if base == nil || base.Init() == nil || old == nil || repl == nil {
		return fmt.Errorf("the graph lacks %q, %q or %q: it isn't the one the plan was made for", s.Weight, s.Old, s.New)
	}
	merged, err := m.fold(mg, s, base.Init())
	if err != nil {
		return err
	}
	if err := g.ReplaceUses(repl, old, nil); err != nil {
		return err
	}
	if soleReader(base) {
		return g.SetInitializer(base, merged)
	}
	return rewire(g, s, base, old, merged)
}

// fold returns the weight tensor with the method's update, laid out as the base's.
func (m *Merging) fold(mg Merger, s Site, base *graph.Tensor) (*graph.Tensor, error) {
	data, err := graph.Data[float32](base)
	if err != nil {
		return nil, err
	}
	if len(base.Dims) != 2 {
		return nil, fmt.Errorf("weight %q has shape %v: a matrix is needed", s.Weight, base.Dims)
	}
	rows, cols := int(base.Dims[0]), int(base.Dims[1])
	if s.Transposed {
		w := append([]float32(nil), data...)
		return graph.TensorOf(base.Dims, w), mg.Merge(m, s, w, rows, cols)
	}
	w := transpose(data, rows, cols)
	if err := mg.Merge(m, s, w, cols, rows); err != nil {
		return nil, err
	}
	return graph.TensorOf(base.Dims, transpose(w, cols, rows)), nil
}

// soleReader reports whether one module alone reads the weight, directly or through a Transpose.
func soleReader(w *graph.Value) bool {
	if len(w.Uses()) != 1 || w.IsOutput() {
		return false
	}
	n := w.Uses()[0].Node
	return !n.Is("Transpose") || soleReader(n.Output(0))
}

// rewire gives the site a weight of its own where the base's is shared with other modules. The reader is the nearest one
// upstream of the site's output: a module is at most a reshape, a product, a reshape and a sum.
func rewire(g *graph.Graph, s Site, base, old *graph.Value, merged *graph.Tensor) error {
	const longest = 8
	queue := []*graph.Node{old.Producer()}
	for seen := 0; len(queue) > 0 && seen < longest; seen++ {
		n := queue[0]
		queue = queue[1:]
		for i, v := range n.Inputs() {
			if v == nil {
				continue
			}
			via := v.Producer()
			transposed := via.Is("Transpose") && via.Input(0) == base
			if v != base && !transposed {
				if via != nil {
					queue = append(queue, via)
				}
				continue
			}
			b := g.Build(s.Weight + "/" + s.Target)
			own := b.Init("merged", merged)
			if transposed {
				own = b.With(via.Attrs...).Op("Transpose", own)
			}
			if b.Err() != nil {
				return b.Err()
			}
			n.SetInput(i, own)
			return g.Sort()
		}
	}
	return fmt.Errorf("weight %q is shared and its way to %q isn't direct: export unmerged instead", s.Weight, s.Old)
}

// Deploy takes everything out of an injected graph that only training needs: dropout, the base's parameters that trainable
// copies replaced, and the plan's mark. The trainables become ordinary constants.
func Deploy(g *graph.Graph) {
	for _, n := range append([]*graph.Node(nil), g.Nodes()...) {
		if n.Is("Dropout") && strings.HasPrefix(n.Name, "peft/") && n.Output(0) != nil {
			// The output of our own Dropout is never a graph output nor read by a subgraph, so this can't fail.
			_ = g.ReplaceUses(n.Output(0), n.Input(0), nil)
		}
	}
	g.Prune()
}

// Overridable lists every trainable among the graph's inputs as well, so that a session can be given other values for it
// (an initializer that is an input is its default). Needs IR version 4.
func Overridable(g *graph.Graph, p *Plan) error {
	g.IRVersion = max(g.IRVersion, 4)
	for _, t := range p.Trainables {
		if _, err := g.AddInput(t.Name, graph.Float, graph.ShapeOf(t.Shape...)); err != nil {
			return fmt.Errorf("inject: overridable: %w", err)
		}
	}
	return nil
}
