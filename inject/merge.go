package inject

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
)

// Merging gives a [Merger] the trained values.
type Merging struct {
	plan   *Plan
	values map[string]*graph.Tensor
}

// Value returns the trained or frozen parameter of that role at a site.
func (m *Merging) Value(s Site, role string) ([]float32, error) {
	t := find(m.plan.Tensors(), s.Method, s.Target, role)
	if t == nil {
		return nil, fmt.Errorf("inject: merge: %s of %q has no parameter %q in the plan", s.Method, s.Target, role)
	}
	return graph.Data[float32](m.values[t.Name])
}

// Has reports whether there is a parameter of that role at a site.
func (m *Merging) Has(s Site, role string) bool {
	return find(m.plan.Tensors(), s.Method, s.Target, role) != nil
}

// A Module is a base module's parameters, float32, while a [Merger] changes them in place.
type Module struct {
	Weight  []float32 // [Out, In], row-major
	Bias    []float32 // [Out]; nil where the module has none
	Out, In int
}

// Merge folds what can be folded into the base's parameters and removes the nodes that did its work; g is an injected graph,
// whose trainables hold the trained values. Methods that can't be folded stay as nodes with constants, and their names are
// returned. Trained copies of base parameters take the base's names. A parameter that several modules share gets a copy for
// the one that is merged.
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
	sites, err := p.resolve(g, mergers)
	if err != nil {
		return nil, fmt.Errorf("inject: merge: %w", err)
	}
	if err := p.restore(g); err != nil {
		return nil, fmt.Errorf("inject: merge: %w", err)
	}
	// Nodes go last in, first out, since a site's old value may itself stand in for an earlier one; then weights take their
	// updates in the order of injection, each method around what the earlier ones made of the module.
	for i := len(sites) - 1; i >= 0; i-- {
		if err := g.ReplaceUses(sites[i].repl, sites[i].old, nil); err != nil {
			return nil, fmt.Errorf("inject: merge: %w", err)
		}
	}
	Deploy(g)
	for _, s := range sites {
		if err := m.site(g, mergers[s.site.Method], s); err != nil {
			return nil, fmt.Errorf("inject: merge: %s at %q: %w", s.site.Method, s.site.Target, err)
		}
	}
	if err := Fold(g); err != nil {
		return nil, err
	}
	return unmerged, nil
}

// A mergeSite is a site with the values it names: merging changes names.
type mergeSite struct {
	siteValues
	weight, bias *graph.Value // what the module reads: the base's, or a trained copy; bias may be nil
}

// resolve returns the sites of methods that merge.
func (p *Plan) resolve(g *graph.Graph, mergers map[string]Merger) ([]mergeSite, error) {
	var out []mergeSite
	for _, s := range p.Sites {
		if mergers[s.Method] == nil {
			continue
		}
		m := mergeSite{siteValues{s, g.Value(s.Old), g.Value(s.New)}, p.parameter(g, s.Target, s.Weight), p.parameter(g, s.Target, s.Bias)}
		if m.old == nil || m.repl == nil || m.weight == nil || (m.bias == nil) != (s.Bias == "") {
			return nil, fmt.Errorf("%s at %q: the graph lacks %q, %q, %q or %q: it isn't the one the plan was made for",
				s.Method, s.Target, s.Old, s.New, s.Weight, s.Bias)
		}
		out = append(out, m)
	}
	return out, nil
}

// parameter returns the initializer that a module reads in the place of the base's of that name, or nil.
func (p *Plan) parameter(g *graph.Graph, module, base string) *graph.Value {
	v := g.Value(base)
	for _, t := range p.Trainables {
		if t.Base != "" && t.Base == base && t.Target == module {
			v = g.Value(t.Name)
		}
	}
	if v != nil && v.Init() == nil {
		return nil
	}
	return v
}

// restore gives trained copies of base parameters the base's names; where several modules share one in the base, the first
// copy gets it and the others are named after their modules.
func (p *Plan) restore(g *graph.Graph) error {
	for _, t := range p.Trainables {
		trained := g.Value(t.Name)
		if t.Base == "" || trained == nil {
			continue
		}
		name := t.Base
		if base := g.Value(t.Base); base != nil && (len(base.Uses()) > 0 || base.IsOutput()) {
			name = g.UniqueName(t.Target + "." + t.Role)
		} else if base != nil {
			if base.IsInput() {
				if err := g.RemoveInput(base); err != nil {
					return err
				}
			}
			if err := g.Rename(base, g.UniqueName(t.Base+"/base")); err != nil {
				return err
			}
		}
		if err := g.Rename(trained, name); err != nil {
			return err
		}
	}
	return nil
}

func (m *Merging) site(g *graph.Graph, mg Merger, s mergeSite) error {
	mod, err := open(s)
	if err != nil {
		return err
	}
	if err := mg.Merge(m, s.site, mod); err != nil {
		return err
	}
	w := mod.Weight
	if !s.site.Transposed {
		w = numeric.Transpose(w, mod.Out, mod.In)
	}
	if err := s.put(g, s.weight, graph.TensorOf(s.weight.Init().Dims, w)); err != nil || mod.Bias == nil {
		return err
	}
	if s.bias == nil {
		return fmt.Errorf("the module has no bias to fold into: export unmerged instead")
	}
	return s.put(g, s.bias, graph.TensorOf(s.bias.Init().Dims, mod.Bias))
}

// open returns copies of a module's parameters.
func open(s mergeSite) (*Module, error) {
	data, err := graph.Data[float32](s.weight.Init())
	if err != nil {
		return nil, fmt.Errorf("weight %q: %w", s.weight.Name(), err)
	}
	dims := s.weight.Init().Dims
	if len(dims) != 2 {
		return nil, fmt.Errorf("weight %q has shape %v: a matrix is needed", s.weight.Name(), dims)
	}
	mod := &Module{Out: int(dims[0]), In: int(dims[1])}
	if s.site.Transposed {
		mod.Weight = append([]float32(nil), data...)
	} else {
		mod.Out, mod.In = mod.In, mod.Out
		mod.Weight = numeric.Transpose(data, mod.In, mod.Out)
	}
	if s.bias == nil {
		return mod, nil
	}
	if data, err = graph.Data[float32](s.bias.Init()); err != nil {
		return nil, fmt.Errorf("bias %q: %w", s.bias.Name(), err)
	}
	mod.Bias = append([]float32(nil), data...)
	return mod, nil
}

// put gives the site's module the merged tensor in param's place.
func (s mergeSite) put(g *graph.Graph, param *graph.Value, merged *graph.Tensor) error {
	if soleReader(param) {
		return g.SetInitializer(param, merged)
	}
	if s.site.Before {
		return fmt.Errorf("%q is shared with other modules: export unmerged instead", param.Name())
	}
	return rewire(g, s, param, merged)
}

// soleReader reports whether one module alone reads the parameter, directly or through a Transpose.
func soleReader(w *graph.Value) bool {
	if len(w.Uses()) != 1 || w.IsOutput() {
		return false
	}
	n := w.Uses()[0].Node
	return !n.Is("Transpose", "Identity") || soleReader(n.Output(0))
}

// rewire gives the site a parameter of its own where the base's is shared with other modules. The reader is the nearest one
// upstream of the site's output: a module is at most a reshape, a product, a reshape and a sum.
func rewire(g *graph.Graph, s mergeSite, base *graph.Value, merged *graph.Tensor) error {
	const longest = 8
	queue := []*graph.Node{s.old.Producer()}
	for seen := 0; len(queue) > 0 && seen < longest; seen++ {
		n := queue[0]
		queue = queue[1:]
		for i, v := range n.Inputs() {
			if v == nil {
				continue
			}
			via := v.Producer()
			indirect := via.Is("Transpose", "Identity") && via.Input(0) == base
			if v != base && !indirect {
				if via != nil {
					queue = append(queue, via)
				}
				continue
			}
			b := g.Build(base.Name() + "/" + s.site.Target)
			own := b.Init("merged", merged)
			if indirect {
				own = b.With(via.Attrs...).Op(via.Op, own)
			}
			if b.Err() != nil {
				return b.Err()
			}
			n.SetInput(i, own)
			return g.Sort()
		}
	}
	return fmt.Errorf("%q is shared and its way to %q isn't direct: export unmerged instead", base.Name(), s.old.Name())
}

// Deploy takes everything out of an injected graph that only training needs: dropout, the base's parameters that trainable
// copies replaced, and the plan's mark. The trainables become ordinary constants.
func Deploy(g *graph.Graph) {
	for _, n := range append([]*graph.Node(nil), g.Nodes()...) {
		if IsDropout(n) && n.Output(0) != nil {
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
	for _, t := range p.Tensors() {
		if _, err := g.AddInput(t.Name, graph.Float, graph.ShapeOf(t.Shape...)); err != nil {
			return fmt.Errorf("inject: overridable: %w", err)
		}
	}
	return nil
}
