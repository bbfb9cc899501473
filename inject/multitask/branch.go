package multitask

import (
	"maps"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// A branch is a part on its way into the joined graph.
type branch struct {
	Part
	j      *joining
	task   int
	scope  string
	batch  graph.Dim // of the part's own graph
	number map[*graph.Value]int

	body  *graph.Graph // what the If runs when the batch has rows of the task
	build *graph.Builder
	rows  *graph.Value                  // in body: the task's rows, int64
	done  map[*graph.Value]*graph.Value // in body
}

// emit adds the part to the joined graph and returns its logits.
func (b *branch) emit() (*graph.Value, error) {
	mine, some := b.selected()
	b.body = b.j.subgraph(b.Name)
	b.build = b.body.Build(b.scope + "rows")
	is, err := b.captured(mine)
	if err != nil {
		return nil, err
	}
	b.rows = b.build.Op("Reshape", b.build.Op("NonZero", is), b.ints(-1))
	logits, err := b.value(b.Graph.Value(b.Plan.Logits))
	if err != nil {
		return nil, err
	}
	if err := b.build.Err(); err != nil {
		return nil, err
	}
	b.body.AddOutput(logits)

	n, err := b.j.g.AddNode(graph.NodeSpec{Name: b.scope + "If", Op: "If", Inputs: []*graph.Value{some}, Outputs: []string{OutputPrefix + b.Name}})
	if err != nil {
		return nil, err
	}
	own := b.Graph.Value(b.Plan.Logits)
	out := n.Output(0)
	out.DType, out.Shape = own.DType, own.Shape.Clone()
	out.Shape[0] = graph.Symbol("rows." + b.Name)
	none, err := b.noRows(out)
	if err != nil {
		return nil, err
	}
	n.Attrs = []graph.Attr{{Name: "then_branch", Kind: graph.AttrGraph, G: b.body}, {Name: "else_branch", Kind: graph.AttrGraph, G: none}}
	for _, v := range b.body.Values() {
		if v.IsOuter() {
			n.AddCapture(b.j.g.Value(v.Name()))
		}
	}
	return out, nil
}

// selected computes, outside of the branch, which rows are of the task, bool [batch], and whether any is, bool.
func (b *branch) selected() (mine, some *graph.Value) {
	at := b.j.g.Build(b.scope + "select")
	mine = at.Typed(at.Op("Equal", b.j.tasks, at.Int(int64(b.task))), graph.Bool, graph.Shape{b.j.batch})
	count := at.With(graph.IntAttr("to", int64(graph.Int32))).Op("Cast", mine)
	count = at.With(graph.IntAttr("keepdims", 0)).Op("ReduceMax", count)
	return mine, at.Typed(at.With(graph.IntAttr("to", int64(graph.Bool))).Op("Cast", count), graph.Bool, graph.Shape{})
}

// noRows is what the If runs when the batch has no row of the task.
func (b *branch) noRows(out *graph.Value) (*graph.Graph, error) {
	g := b.j.subgraph(b.Name + "/none")
	dims := make([]int64, len(out.Shape))
	for i, d := range out.Shape[1:] {
		if d.Known() {
			dims[i+1] = d.N // the sequence's length isn't known, and of no rows it doesn't matter
		}
	}
	at := g.Build(b.scope + "none")
	g.AddOutput(at.Typed(at.With(graph.TensorAttr("value", graph.FloatTensor(out.DType, dims, nil))).Op("Constant"), out.DType, out.Shape))
	return g, at.Err()
}

func (j *joining) subgraph(name string) *graph.Graph {
	g := graph.New(name)
	g.Opsets = maps.Clone(j.g.Opsets)
	return g
}

// captured returns the branch's name for a value of the joined graph.
func (b *branch) captured(v *graph.Value) (*graph.Value, error) {
	if in := b.body.Value(v.Name()); in != nil {
		return in, nil
	}
	in, err := b.body.AddOuter(v.Name())
	if err != nil {
		return nil, err
	}
	in.DType, in.Shape = v.DType, v.Shape
	return in, nil
}

// ints returns a constant that belongs to the branch alone.
func (b *branch) ints(vs ...int64) *graph.Value {
	return b.build.Init("shape", graph.TensorOf(nil, vs))
}

// value returns, in the branch, what v of the part is for the task's rows.
func (b *branch) value(v *graph.Value) (*graph.Value, error) {
	if v == nil || b.done[v] != nil {
		return b.done[v], nil
	}
	var out *graph.Value
	var err error
	switch {
	case constant(v) != nil:
		if out, err = b.outside(v); err == nil {
			out, err = b.captured(out)
		}
	case v.IsInput() || b.parts(v):
		if out, err = b.outside(v); err == nil {
			out, err = b.picked(out)
		}
	default:
		err = b.node(v.Producer())
		return b.done[v], err
	}
	b.done[v] = out
	return out, err
}

// parts reports whether the tasks part here: all compute v, and its rows are those of the batch. What all compute but has no
// rows, such as a shape, is computed again from what was picked.
func (b *branch) parts(v *graph.Value) bool {
	return b.j.shared[b.number[v]] == b.j.parts && len(v.Shape) > 0 && v.Shape[0].Same(b.batch)
}

// picked takes the task's rows of a value of the joined graph.
func (b *branch) picked(v *graph.Value) (*graph.Value, error) {
	in, err := b.captured(v)
	if err != nil {
		return nil, err
	}
	out := b.build.With(graph.IntAttr("axis", 0)).Op("Gather", in, b.rows)
	return b.build.Typed(out, v.DType, nil), b.build.Err()
}

// node copies a node of the part into the branch.
func (b *branch) node(n *graph.Node) error {
	outs, err := copyNode(b.body, n, b.scope, b.value)
	for i, v := range n.Outputs() {
		if err == nil && v != nil {
			b.done[v] = outs[i]
		}
	}
	return err
}

// outside returns what the joined graph has of v, and adds it, with all that it is computed from, where it has nothing yet.
func (b *branch) outside(v *graph.Value) (*graph.Value, error) {
	if v == nil {
		return nil, nil
	}
	if out := b.j.outer[b.number[v]]; out != nil {
		return out, nil
	}
	if t := constant(v); t != nil {
		name := v.Name()
		if b.j.shared[b.number[v]] < b.j.parts || b.j.g.Value(name) != nil {
			name = b.j.g.UniqueName(b.scope + name)
		}
		out, err := b.j.g.AddInitializer(name, t)
		b.j.outer[b.number[v]] = out
		return out, err
	}
	n := v.Producer()
	outs, err := copyNode(b.j.g, n, "", b.outside)
	if err != nil {
		return nil, err
	}
	for i, o := range n.Outputs() {
		if o != nil {
			outs[i].DType, outs[i].Shape = o.DType, o.Shape
			b.j.outer[b.number[o]] = outs[i]
		}
	}
	return b.j.outer[b.number[v]], nil
}

// copyNode adds a copy of n to g, under names that begin with scope; of finds its inputs there.
func copyNode(g *graph.Graph, n *graph.Node, scope string, of func(*graph.Value) (*graph.Value, error)) ([]*graph.Value, error) {
	spec := graph.NodeSpec{Name: scope + n.Name, Domain: n.Domain, Op: n.Op, Attrs: slices.Clone(n.Attrs)}
	for _, v := range n.Inputs() {
		in, err := of(v)
		if err != nil {
			return nil, err
		}
		spec.Inputs = append(spec.Inputs, in)
	}
	for _, v := range n.Outputs() {
		name := ""
		if v != nil {
			name = g.UniqueName(scope + v.Name())
		}
		spec.Outputs = append(spec.Outputs, name)
	}
	c, err := g.AddNode(spec)
	if err != nil {
		return nil, err
	}
	c.Extra = n.Extra
	return c.Outputs(), nil
}
