package refeval

import (
	"context"
	"fmt"
	"sync"

	"github.com/peftgraph/peftgraph/graph"
)

// A Program is a graph that refeval has semantics for. It may be run from several goroutines at once, as long as nobody
// changes the graph.
type Program struct {
	g        *graph.Graph
	steps    []step
	step     map[*graph.Node]int
	declared bool

	mu     sync.Mutex
	consts map[*graph.Value]*array // initializers converted so far
}

type step struct {
	node    *graph.Node
	version version
	opset   int64
	bodies  bodies
}

// bodies are the programs of a node's subgraphs, by attribute.
type bodies map[string]*Program

// A scope holds computed values by name.
type scope map[string]*array

// New compiles a graph. It fails with an [*UnsupportedError] when an operator is unknown, whether or not a later fetch
// needs it. The program reads the graph and doesn't copy it.
func New(g *graph.Graph) (*Program, error) { return compile(g, false) }

// NewPartial compiles a graph that may hold operators without semantics here. A run that needs one of them fails with an
// [*UnsupportedError].
func NewPartial(g *graph.Graph) (*Program, error) { return compile(g, true) }

func compile(g *graph.Graph, partial bool) (*Program, error) {
	p := &Program{g: g, step: map[*graph.Node]int{}, consts: map[*graph.Value]*array{}}
	for _, n := range g.Nodes() {
		s := step{node: n, opset: g.Opsets[n.Domain]}
		var ok bool
		if s.version, ok = lookup(n.Domain, n.Op, s.opset); !ok && !partial {
			return nil, unsupported(n, s.opset)
		}
		for _, a := range n.Attrs {
			if a.G == nil {
				continue
			}
			body, err := compile(a.G, partial)
			if err != nil {
				return nil, err
			}
			if s.bodies == nil {
				s.bodies = bodies{}
			}
			s.bodies[a.Name] = body
		}
		p.step[n] = len(p.steps)
		p.steps = append(p.steps, s)
	}
	return p, nil
}

// Declared returns the same program with outputs rounded to their declared types instead of Double for every floating type.
func (p *Program) Declared() *Program {
	return &Program{g: p.g, steps: p.steps, step: p.step, declared: true, consts: map[*graph.Value]*array{}}
}

// Run computes the values named in fetches, and only what they depend on. A fetch may name any value of the graph.
//
// A feed may name any value of the graph, which it overrides for this run: central differences need that over weights, and
// for results that the gradient takes as constants. An input of a floating type accepts every floating type, others must have the declared one. Rank and fixed
// dimensions must agree with the declared shape. Results are Double for floating types unless [Program.Declared].
func (p *Program) Run(ctx context.Context, feeds map[string]*graph.Tensor, fetches []string) ([]*graph.Tensor, error) {
	env := make(scope, len(p.g.Nodes())+len(feeds))
	for name, t := range feeds {
		a, err := p.feed(name, t)
		if err != nil {
			return nil, err
		}
		env[name] = a
	}
	arrays, err := p.eval(ctx, env, fetches)
	if err != nil {
		return nil, err
	}
	out := make([]*graph.Tensor, len(arrays))
	for k, a := range arrays {
		if out[k] = a.exactTensor(); p.declared {
			out[k] = a.tensor()
		}
	}
	return out, nil
}

// eval computes the fetches into env, which holds the feeds and, for a subgraph, the values around it.
func (p *Program) eval(ctx context.Context, env scope, fetches []string) ([]*array, error) {
	needed, err := p.needed(fetches, env)
	if err != nil {
		return nil, err
	}
	for k, s := range p.steps {
		if !needed[k] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("refeval: stopped before node %s: %w", s.node, err)
		}
		if err := p.exec(ctx, s, env); err != nil {
			return nil, err
		}
	}
	out := make([]*array, len(fetches))
	for k, name := range fetches {
		if out[k], err = p.read(p.g.Value(name), env); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// feed converts a fed tensor after checking it against the value's declaration.
func (p *Program) feed(name string, t *graph.Tensor) (*array, error) {
	v := p.g.Value(name)
	if v == nil {
		return nil, fmt.Errorf("refeval: feed %q: the graph has no value of that name", name)
	}
	if t == nil {
		return nil, fmt.Errorf("refeval: feed %q: no tensor", name)
	}
	bothFloat := t.DType.IsFloat() && v.DType.IsFloat()
	if v.DType != graph.Undefined && t.DType != v.DType && !bothFloat {
		return nil, fmt.Errorf("refeval: feed %q: %s, declared %s", name, t.DType, v)
	}
	if !v.Shape.Compatible(graph.ShapeOf(t.Dims...)) {
		return nil, fmt.Errorf("refeval: feed %q: shape %v, declared %s", name, t.Dims, v)
	}
	a, err := fromTensor(t)
	if err != nil {
		return nil, fmt.Errorf("refeval: feed %q: %w", name, err)
	}
	if bothFloat {
		a = a.as(v.DType) // the graph computes on in the declared type, as far as types show
	}
	return a, nil
}

// needed marks the steps that the fetches depend on.
func (p *Program) needed(fetches []string, env scope) ([]bool, error) {
	marks := make([]bool, len(p.steps))
	mark := func(v *graph.Value) {
		if v == nil || v.Producer() == nil || env[v.Name()] != nil {
			return
		}
		marks[p.step[v.Producer()]] = true
	}
	for _, name := range fetches {
		v := p.g.Value(name)
		if v == nil {
			return nil, fmt.Errorf("refeval: fetch %q: the graph has no value of that name", name)
		}
		mark(v)
	}
	// The steps are in topological order, so one pass backwards reaches everything.
	for k := len(p.steps) - 1; k >= 0; k-- {
		if marks[k] {
			for _, v := range p.steps[k].node.Inputs() {
				mark(v)
			}
			for _, v := range p.steps[k].node.Captures() {
				mark(v)
			}
		}
	}
	return marks, nil
}

func (p *Program) exec(ctx context.Context, s step, env scope) error {
	if s.version.kernel == nil {
		return unsupported(s.node, s.opset)
	}
	c := &call{ctx: ctx, node: s.node, opset: s.opset, bodies: s.bodies, in: make([]*array, len(s.node.Inputs()))}
	for k, v := range s.node.Inputs() {
		if v == nil {
			continue
		}
		var err error
		if c.in[k], err = p.read(v, env); err != nil {
			return fmt.Errorf("%w (read by node %s)", err, s.node)
		}
	}
	if captures := s.node.Captures(); len(captures) > 0 {
		c.scope = make(scope, len(captures))
		for _, v := range captures {
			a, err := p.read(v, env)
			if err != nil {
				return fmt.Errorf("%w (read by a subgraph of node %s)", err, s.node)
			}
			c.scope[v.Name()] = a
		}
	}
	out, err := c.invoke(s.version)
	if err != nil {
		return err
	}
	for k, o := range s.node.Outputs() {
		if o != nil {
			env[o.Name()] = out[k]
		}
	}
	return nil
}

// read returns a value that is computed, fed, or an initializer.
func (p *Program) read(v *graph.Value, env scope) (*array, error) {
	if a := env[v.Name()]; a != nil {
		return a, nil
	}
	if v.Init() == nil {
		return nil, fmt.Errorf("refeval: input %s is not fed", v)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.consts[v]; a != nil {
		return a, nil
	}
	a, err := fromTensor(v.Init())
	if err != nil {
		return nil, fmt.Errorf("refeval: initializer %q: %w", v.Name(), err)
	}
	p.consts[v] = a
	return a, nil
}
