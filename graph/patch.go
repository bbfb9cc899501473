package graph

import (
	"fmt"
	"slices"
)

// A Patch is the one way to inject: tap existing values, build nodes on them, and shunt old values to new ones.
// Nothing of the original graph changes but who reads the shunted values.
type Patch struct {
	*Builder
	name   string
	shunts []shunt
	first  int // number of nodes before the patch
}

type shunt struct {
	old, repl *Value
	keep      func(*Node) bool
}

// NewPatch starts a patch whose nodes and values are named below name.
func (g *Graph) NewPatch(name string) *Patch {
	return &Patch{Builder: g.Build(name), name: name, first: len(g.nodes)}
}

// Shunt makes every reader of old read repl once the patch is applied, the patch's own nodes excepted.
func (p *Patch) Shunt(old, repl *Value) { p.ShuntFor(old, repl, nil) }

// ShuntFor is [Patch.Shunt] for the readers that want accepts; nil accepts all.
func (p *Patch) ShuntFor(old, repl *Value, want func(*Node) bool) {
	var keep func(*Node) bool
	if want != nil {
		keep = func(n *Node) bool { return !want(n) }
	}
	p.shunts = append(p.shunts, shunt{old, repl, keep})
}

// Apply performs the shunts and puts the new nodes in order, each right after the last node it reads from. It fails,
// naming the patch, when something didn't build or when the types of a shunted pair contradict each other.
func (p *Patch) Apply() error {
	if err := p.Err(); err != nil {
		return fmt.Errorf("graph: patch %q: %w", p.name, err)
	}
	mine := map[*Node]bool{}
	for _, n := range p.Nodes() {
		mine[n] = true
	}
	for _, s := range p.shunts {
		if s.old == nil || s.repl == nil {
			return fmt.Errorf("graph: patch %q: a shunt from %s to %s", p.name, s.old, s.repl)
		}
		if s.old.DType != s.repl.DType && s.old.DType != Undefined && s.repl.DType != Undefined || !s.old.Shape.Compatible(s.repl.Shape) {
			return fmt.Errorf("graph: patch %q: %s can't stand in for %s: types differ", p.name, s.repl, s.old)
		}
		keep := func(n *Node) bool { return mine[n] || s.keep != nil && s.keep(n) }
		if err := p.g.ReplaceUses(s.old, s.repl, keep); err != nil {
			return fmt.Errorf("graph: patch %q: %w", p.name, err)
		}
	}
	p.place()
	if err := p.g.Sort(); err != nil {
		return fmt.Errorf("graph: patch %q: %w", p.name, err)
	}
	return nil
}

// place moves each new node to just behind the last of the nodes it reads from, so that the printed graph stays readable.
func (p *Patch) place() {
	anchor := map[*Node]int{}
	for i, n := range p.g.nodes[:p.first] {
		anchor[n] = i
	}
	for _, n := range p.g.nodes[p.first:] {
		at := -1
		for _, m := range n.producers() {
			at = max(at, anchor[m])
		}
		anchor[n] = at
	}
	slices.SortStableFunc(p.g.nodes, func(a, b *Node) int { return anchor[a] - anchor[b] })
}
