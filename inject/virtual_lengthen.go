package inject

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

// A lengthening makes the encoder compute on longer sequences behind one value, the cut. Exporters derive sizes, positions
// and masks from the inputs in many ways; instead of knowing them, everything between the cut and the last hidden states
// reads longer inputs, so that each of them comes out longer by construction. What is computed before the cut goes on reading
// the text alone; sizes that it shares with the rest are computed twice.
type lengthening struct {
	p      *graph.Patch
	long   map[*graph.Value]*graph.Value // the cut and the inputs, and what stands in for them
	before map[*graph.Node]bool          // leads to the cut
	behind map[*graph.Node]bool          // leads to the hidden states and not to the cut
	depend map[*graph.Value]bool         // memo of depends
	err    error
}

// newLengthening prepares one with the cut's stand-in; hidden is what the encoder finally computes. What p has built so far
// belongs to neither side.
func newLengthening(p *graph.Patch, cut, repl, hidden *graph.Value) *lengthening {
	l := &lengthening{p: p, long: map[*graph.Value]*graph.Value{cut: repl}, before: map[*graph.Node]bool{}, behind: map[*graph.Node]bool{},
		depend: map[*graph.Value]bool{}}
	upstream(cut, nil, l.before)
	upstream(hidden, l.before, l.behind)
	return l
}

// upstream adds the nodes that v depends on to found, except those in not and what is only behind them.
func upstream(v *graph.Value, not, found map[*graph.Node]bool) {
	if v == nil {
		return
	}
	n := v.Producer()
	if n == nil || not[n] || found[n] {
		return
	}
	found[n] = true
	for _, in := range n.Inputs() {
		upstream(in, not, found)
	}
	for _, in := range n.Captures() {
		upstream(in, not, found)
	}
}

// input lets what is behind the cut read repl instead of a graph input.
func (l *lengthening) input(v, repl *graph.Value) {
	if v != nil {
		l.long[v] = repl
	}
}

// apply shunts every value that crosses from before the cut, or from the inputs, to behind it.
func (l *lengthening) apply(g *graph.Graph) error {
	for _, n := range g.Nodes() {
		if !l.behind[n] {
			continue
		}
		for _, v := range n.Captures() {
			if l.depends(v) && (v.Producer() == nil || l.before[v.Producer()]) {
				return fmt.Errorf("%s has a subgraph that reads %q, whose sizes change", n, v.Name())
			}
		}
		for _, v := range n.Inputs() {
			if v == nil || v.Producer() != nil && !l.before[v.Producer()] {
				continue
			}
			if repl := l.longer(v); repl != v && repl != nil {
				l.p.Typed(repl, v.DType, nil)
				l.p.ShuntFor(v, repl, func(n *graph.Node) bool { return l.behind[n] })
			}
		}
		if l.err != nil {
			return l.err
		}
	}
	if err := l.p.Apply(); err != nil {
		return err
	}
	for n := range l.behind {
		forget(n.Outputs()...)
	}
	return nil
}

// longer returns v as it is for the longer sequence: itself where it depends on nothing that is longer.
func (l *lengthening) longer(v *graph.Value) *graph.Value {
	if v == nil || l.err != nil {
		return nil
	}
	if repl := l.long[v]; repl != nil {
		return repl
	}
	if !l.depends(v) {
		return v
	}
	n := v.Producer()
	if len(n.Subgraphs()) > 0 {
		l.err = fmt.Errorf("%s has a subgraph and can't be computed for another length", n)
		return nil
	}
	ins := make([]*graph.Value, len(n.Inputs()))
	for i, in := range n.Inputs() {
		ins[i] = l.longer(in)
	}
	outs := l.p.In(n.Domain).With(n.Attrs...).OpN(n.Op, len(n.Outputs()), ins...)
	for i, o := range n.Outputs() {
		if o != nil && outs != nil {
			l.p.Typed(outs[i], o.DType, nil)
			l.long[o] = outs[i]
		}
	}
	return l.long[v]
}

// depends reports whether v is computed from anything that becomes longer.
func (l *lengthening) depends(v *graph.Value) bool {
	if v == nil || l.depend[v] || l.long[v] != nil {
		return v != nil
	}
	n := v.Producer()
	if _, known := l.depend[v]; known || n == nil {
		return false
	}
	l.depend[v] = false
	for _, in := range n.Inputs() {
		if l.depends(in) {
			l.depend[v] = true
			return true
		}
	}
	return false
}
