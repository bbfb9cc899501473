package rewrite

import (
	"fmt"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// A matcher collects the nodes of a cluster and remembers why a match ended. Its methods return false or nil after a failure.
type matcher struct {
	*pass
	cluster []*graph.Node
	failure error
	depth   int // the size of the cluster when failure was recorded
}

func (p *pass) match() *matcher { return &matcher{pass: p} }

// fail records why an attempt ended at n; of several attempts the one that came furthest is the one to show.
func (m *matcher) fail(n *graph.Node, format string, args ...any) bool {
	if m.failure == nil || len(m.cluster) > m.depth {
		m.failure, m.depth = m.miss(n, format, args...), len(m.cluster)
	}
	return false
}

// refuse records why a cluster that has the pattern's form is left alone all the same.
func (m *matcher) refuse(n *graph.Node, format string, args ...any) bool {
	m.failure = m.miss(n, format, args...)
	return false
}

// take adds a node to the cluster.
func (m *matcher) take(n *graph.Node) {
	if !slices.Contains(m.cluster, n) {
		m.cluster = append(m.cluster, n)
	}
}

// producer returns the node that computes v if it is one of the given ai.onnx operators, and takes it; at is the reader.
func (m *matcher) producer(at *graph.Node, v *graph.Value, ops ...string) *graph.Node {
	if v == nil || v.Producer() == nil {
		m.fail(at, "%s is not computed, let alone by %v", v, ops)
		return nil
	}
	n := v.Producer()
	if !n.Is(ops...) {
		m.fail(n, "%s is needed here", list(ops))
		return nil
	}
	m.take(n)
	return n
}

func list(ops []string) string {
	s := ops[0]
	for _, op := range ops[1:] {
		s += " or " + op
	}
	return s
}

// either tries both orders of a commutative node's inputs.
func (m *matcher) either(n *graph.Node, try func(a, b *graph.Value) bool) bool {
	kept := slices.Clone(m.cluster)
	if try(n.Input(0), n.Input(1)) {
		return true
	}
	m.cluster = kept
	return try(n.Input(1), n.Input(0))
}

// scalar returns the number that v holds when it is a constant of one element.
func (m *matcher) scalar(v *graph.Value) (float64, bool) {
	t := m.constant(v)
	if t == nil || t.Len() != 1 || t.DType.Size() == 0 {
		return 0, false
	}
	f, err := t.Float64s()
	if err != nil {
		return 0, false
	}
	return f[0], true
}

// near reports whether v is a constant that an exporter may have written for want: rounded to five decimal places, as
// 1.41421 was seen for √2, or to the value's own type.
func (m *matcher) near(v *graph.Value, want float64) bool {
	got, ok := m.scalar(v)
	return ok && nearly(got, want, v.DType)
}

func nearly(got, want float64, dtype graph.DType) bool {
	tolerance := 1e-5
	if dtype == graph.Float16 || dtype == graph.BFloat16 {
		tolerance = 4e-3
	}
	return math.Abs(got-want) <= tolerance*math.Abs(want)
}

// closed checks that nothing outside of the cluster reads what it computes on the way to out.
func (m *matcher) closed(out *graph.Value) bool {
	for _, n := range m.cluster {
		for _, o := range n.Outputs() {
			if o == nil || o == out {
				continue
			}
			if o.IsOutput() {
				return m.refuse(n, "%q is an output of the graph", o.Name())
			}
			for _, u := range o.Uses() {
				if !slices.Contains(m.cluster, u.Node) {
					return m.refuse(u.Node, "%q, inside of the pattern, is read here", o.Name())
				}
			}
		}
	}
	return true
}

// replace puts what build returns in out's place, removes the cluster and gives the new value out's name.
func (p *pass) replace(out *graph.Value, cluster []*graph.Node, build func(*graph.Builder) *graph.Value) error {
	return p.replaceAll([]*graph.Value{out}, cluster, func(b *graph.Builder) []*graph.Value {
		return []*graph.Value{build(b)}
	})
}

// replaceAll is [pass.replace] for several outputs of one node.
func (p *pass) replaceAll(outs []*graph.Value, cluster []*graph.Node, build func(*graph.Builder) []*graph.Value) error {
	at := outs[0].Producer()
	for _, out := range outs {
		if hasCapture(out) {
			return p.miss(at, "a subgraph reads %q by name", out.Name())
		}
	}
	patch := p.g.NewPatch(scope(at))
	repl := build(patch.Builder)
	if err := patch.Err(); err != nil {
		return fmt.Errorf("at %s: %w", at, err)
	}
	names := make([]string, len(outs))
	for i, out := range outs {
		names[i] = out.Name()
		patch.Typed(repl[i], out.DType, out.Shape.Clone())
		patch.Shunt(out, repl[i])
	}
	if err := patch.Apply(); err != nil {
		return err
	}
	if err := p.removeAll(cluster); err != nil {
		return err
	}
	for i, v := range repl {
		if v.Name() != names[i] {
			if err := p.g.Rename(v, names[i]); err != nil {
				return err
			}
		}
	}
	p.distinguish(patch.Nodes())
	return nil
}

// distinguish gives new nodes names that no other node has, which onnxruntime insists on: a value that took a cluster's name
// left its own, and its node's, to the next cluster of the same scope.
func (p *pass) distinguish(nodes []*graph.Node) {
	taken := map[string]int{}
	for _, n := range p.g.Nodes() {
		taken[n.Name]++
	}
	for _, n := range nodes {
		name := n.Name
		for i := 1; taken[n.Name] > 1; i++ {
			next := fmt.Sprintf("%s_%d", name, i)
			if taken[next] == 0 {
				taken[n.Name]--
				n.Name = next
				taken[next]++
			}
		}
	}
}

// removeAll removes nodes that nothing but each other reads.
func (p *pass) removeAll(nodes []*graph.Node) error {
	for left := slices.Clone(nodes); len(left) > 0; {
		n := len(left)
		left = slices.DeleteFunc(left, func(n *graph.Node) bool { return p.g.RemoveNode(n) == nil })
		if len(left) == n {
			return p.g.RemoveNode(left[0])
		}
	}
	return nil
}

// scope is the prefix for what replaces a cluster that ends in n: the folder of its name, or the whole name.
func scope(n *graph.Node) string {
	name := n.Name
	for i := len(name) - 1; i > 0; i-- {
		if name[i] == '/' {
			return name[:i]
		}
	}
	if name == "" {
		return n.Output(0).Name()
	}
	return name
}
