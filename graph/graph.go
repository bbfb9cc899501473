package graph

import (
	"fmt"
	"slices"
)

// KV is one entry of a model's metadata_props.
type KV struct{ Key, Value string }

// A Graph is one model: nodes in topological order, values by name, and the model's own header.
type Graph struct {
	Name      string
	IRVersion int64
	Producer  string
	Opsets    map[string]int64 // operator set version by domain; "" is ai.onnx
	Metadata  []KV
	// Extra is what the file held about the model and the representation does not model.
	Extra any

	nodes   []*Node
	inputs  []*Value
	outputs []*Value
	inits   []*Value
	values  map[string]*Value
	nextID  map[string]int
}

// New returns an empty graph.
func New(name string) *Graph {
	return &Graph{Name: name, IRVersion: 8, Opsets: map[string]int64{}, values: map[string]*Value{}, nextID: map[string]int{}}
}

// Nodes returns the nodes in topological order. The caller must not change the slice.
func (g *Graph) Nodes() []*Node { return g.nodes }

// Inputs returns the graph's inputs in order. The caller must not change the slice.
func (g *Graph) Inputs() []*Value { return g.inputs }

// Outputs returns the graph's outputs in order. The caller must not change the slice.
func (g *Graph) Outputs() []*Value { return g.outputs }

// Initializers returns the values that have a tensor, in order. The caller must not change the slice.
func (g *Graph) Initializers() []*Value { return g.inits }

// Value returns the value of that name, or nil.
func (g *Graph) Value(name string) *Value { return g.values[name] }

// Values returns all values, sorted by name.
func (g *Graph) Values() []*Value {
	names := make([]string, 0, len(g.values))
	for n := range g.values {
		names = append(names, n)
	}
	slices.Sort(names)
	out := make([]*Value, len(names))
	for i, n := range names {
		out[i] = g.values[n]
	}
	return out
}

// Opset returns the version of the ai.onnx operator set.
func (g *Graph) Opset() int64 { return g.Opsets[""] }

// Meta returns the metadata value of that key, and whether there is one.
func (g *Graph) Meta(key string) (string, bool) {
	for _, kv := range g.Metadata {
		if kv.Key == key {
			return kv.Value, true
		}
	}
	return "", false
}

// SetMeta adds a metadata entry, or replaces the one of the same key.
func (g *Graph) SetMeta(key, value string) {
	for i := range g.Metadata {
		if g.Metadata[i].Key == key {
			g.Metadata[i].Value = value
			return
		}
	}
	g.Metadata = append(g.Metadata, KV{key, value})
}

// RemoveMeta removes the metadata entry of that key, if there is one.
func (g *Graph) RemoveMeta(key string) {
	g.Metadata = slices.DeleteFunc(g.Metadata, func(kv KV) bool { return kv.Key == key })
}

func (g *Graph) newValue(name string) (*Value, error) {
	if name == "" {
		return nil, fmt.Errorf("graph: a value needs a name")
	}
	if old := g.values[name]; old != nil {
		return nil, fmt.Errorf("graph: value %q: the name is taken", name)
	}
	v := &Value{name: name, graph: g}
	g.values[name] = v
	return v, nil
}

// AddInput appends a graph input. If an initializer of that name exists it becomes that input's default.
func (g *Graph) AddInput(name string, dtype DType, shape Shape) (*Value, error) {
	v := g.values[name]
	if v == nil {
		var err error
		if v, err = g.newValue(name); err != nil {
			return nil, err
		}
	} else if v.init == nil || v.isInput {
		return nil, fmt.Errorf("graph: input %q: the name is taken", name)
	}
	v.DType, v.Shape, v.isInput = dtype, shape, true
	g.inputs = append(g.inputs, v)
	return v, nil
}

// RemoveInput takes v off the graph's inputs: an overridable initializer becomes a constant; an input without an
// initializer must have no uses and disappears.
func (g *Graph) RemoveInput(v *Value) error {
	if v.init == nil {
		if len(v.uses) > 0 || v.IsOutput() {
			return fmt.Errorf("graph: input %q is still used by %s", v.name, v.describeUse())
		}
		delete(g.values, v.name)
	}
	v.isInput = false
	g.inputs = slices.DeleteFunc(g.inputs, func(o *Value) bool { return o == v })
	return nil
}

// AddOutput appends v to the graph's outputs.
func (g *Graph) AddOutput(v *Value) { g.outputs = append(g.outputs, v) }

// SetOutputs replaces the graph's outputs.
func (g *Graph) SetOutputs(vs ...*Value) { g.outputs = append([]*Value(nil), vs...) }

// AddOuter adds, to the graph of an attribute, a value that an enclosing graph defines under the same name. Whoever adds it
// records the use on the enclosing graph's node with [Node.AddCapture].
func (g *Graph) AddOuter(name string) (*Value, error) {
	v, err := g.newValue(name)
	if err != nil {
		return nil, err
	}
	v.isOuter = true
	return v, nil
}

// AddInitializer adds a constant. If a graph input of that name exists the tensor becomes that input's default.
func (g *Graph) AddInitializer(name string, t *Tensor) (*Value, error) {
	v := g.values[name]
	if v == nil {
		var err error
		if v, err = g.newValue(name); err != nil {
			return nil, err
		}
	} else if !v.isInput || v.init != nil {
		return nil, fmt.Errorf("graph: initializer %q: the name is taken", name)
	}
	g.inits = append(g.inits, v)
	g.setTensor(v, t)
	return v, nil
}

// SetInitializer replaces the tensor of an initializer.
func (g *Graph) SetInitializer(v *Value, t *Tensor) error {
	if v.init == nil {
		return fmt.Errorf("graph: value %q is not an initializer", v.name)
	}
	g.setTensor(v, t)
	return nil
}

func (g *Graph) setTensor(v *Value, t *Tensor) {
	v.init, v.DType = t, t.DType
	if !v.isInput || v.Shape == nil {
		v.Shape = ShapeOf(t.Dims...)
	}
}

// InitializerToInput turns a constant into a required graph input: its tensor is dropped, its uses stay.
func (g *Graph) InitializerToInput(v *Value) error {
	if v.init == nil || v.isInput {
		return fmt.Errorf("graph: value %q is not a constant initializer", v.name)
	}
	v.init, v.isInput = nil, true
	g.inits = slices.DeleteFunc(g.inits, func(o *Value) bool { return o == v })
	g.inputs = append(g.inputs, v)
	return nil
}

// RemoveInitializer removes a constant that nothing uses.
func (g *Graph) RemoveInitializer(v *Value) error {
	if len(v.uses) > 0 || v.IsOutput() {
		return fmt.Errorf("graph: initializer %q is still used by %s", v.name, v.describeUse())
	}
	g.inits = slices.DeleteFunc(g.inits, func(o *Value) bool { return o == v })
	v.init = nil
	if !v.isInput {
		delete(g.values, v.name)
	}
	return nil
}

func (v *Value) describeUse() string {
	if len(v.uses) > 0 {
		return v.uses[0].Node.String()
	}
	return "the graph's outputs"
}

// NodeSpec describes a node to add. An empty output name stands for an output nobody asked for.
type NodeSpec struct {
	Name, Domain, Op string
	Inputs           []*Value
	Outputs          []string
	Attrs            []Attr
}

// AddNode appends a node and creates its outputs. Use [Graph.Sort] when users of the outputs stand before it.
func (g *Graph) AddNode(s NodeSpec) (*Node, error) {
	for _, in := range s.Inputs {
		if in != nil && in.graph != g {
			return nil, fmt.Errorf("graph: node %s %q: input %q belongs to another graph", s.Op, s.Name, in.name)
		}
	}
	n := &Node{Name: s.Name, Domain: s.Domain, Op: s.Op, Attrs: s.Attrs, graph: g}
	for i, name := range s.Outputs {
		if name != "" && (g.values[name] != nil || slices.Contains(s.Outputs[:i], name)) {
			return nil, fmt.Errorf("graph: node %s %q: output %q: the name is taken", s.Op, s.Name, name)
		}
	}
	for i, name := range s.Outputs {
		var v *Value
		if name != "" {
			v, _ = g.newValue(name)
			v.producer, v.index = n, i
		}
		n.outputs = append(n.outputs, v)
	}
	for i, in := range s.Inputs {
		n.SetInput(i, in)
	}
	g.nodes = append(g.nodes, n)
	return n, nil
}

// AddCapture records that a subgraph of n reads the outer value v.
func (n *Node) AddCapture(v *Value) {
	if !slices.Contains(n.captures, v) {
		n.captures = append(n.captures, v)
		v.uses = append(v.uses, Use{n, -1})
	}
}

// RemoveNode removes a node whose outputs nothing uses.
func (g *Graph) RemoveNode(n *Node) error {
	for _, o := range n.outputs {
		if o != nil && (len(o.uses) > 0 || o.IsOutput()) {
			return fmt.Errorf("graph: node %s can't be removed: output %q is still used by %s", n, o.name, o.describeUse())
		}
	}
	g.dropNode(n)
	g.nodes = slices.DeleteFunc(g.nodes, func(m *Node) bool { return m == n })
	return nil
}

// dropNode unlinks n from its values without taking it off g.nodes.
func (g *Graph) dropNode(n *Node) {
	for i, in := range n.inputs {
		if in != nil {
			in.removeUse(n, i)
		}
	}
	for _, c := range n.captures {
		c.removeUse(n, -1)
	}
	for _, o := range n.outputs {
		if o != nil {
			delete(g.values, o.name)
		}
	}
}

// ReplaceUses makes every node that reads old read repl instead, except those for which keep returns true (keep may be
// nil), and puts repl in old's place among the graph's outputs. It fails when a subgraph reads old by name.
//
// Graph outputs are the model's interface, so their names stay: repl takes old's name and old is renamed to
// "<name>/base". Sort the graph afterwards if repl is computed after a user of old.
func (g *Graph) ReplaceUses(old, repl *Value, keep func(*Node) bool) error {
	for _, u := range old.uses {
		if u.Index < 0 && (keep == nil || !keep(u.Node)) {
			return fmt.Errorf("graph: value %q is read by a subgraph of %s and can't be replaced", old.name, u.Node)
		}
	}
	for _, u := range slices.Clone(old.uses) {
		if keep == nil || !keep(u.Node) {
			u.Node.SetInput(u.Index, repl)
		}
	}
	if !old.IsOutput() {
		return nil
	}
	for i, o := range g.outputs {
		if o == old {
			g.outputs[i] = repl
		}
	}
	if old.isInput || old.init != nil || repl.isInput || repl.init != nil {
		return nil
	}
	name := old.name
	if err := g.Rename(old, g.UniqueName(name+"/base")); err != nil {
		return err
	}
	if repl.DType == Undefined {
		repl.DType = old.DType
	}
	if repl.Shape == nil {
		repl.Shape = old.Shape
	}
	repl.Extra, old.Extra = old.Extra, nil
	return g.Rename(repl, name)
}

// Rename gives a value another name. It fails when a subgraph reads the value, since it does so by name.
func (g *Graph) Rename(v *Value, name string) error {
	for _, u := range v.uses {
		if u.Index < 0 {
			return fmt.Errorf("graph: value %q can't be renamed: it is read by a subgraph of %s", v.name, u.Node)
		}
	}
	if g.values[name] != nil || name == "" {
		return fmt.Errorf("graph: value %q can't be renamed to %q: the name is taken", v.name, name)
	}
	delete(g.values, v.name)
	v.name = name
	g.values[name] = v
	return nil
}

// UniqueName returns prefix when no value has that name, else prefix_1, prefix_2, … The sequence is deterministic.
func (g *Graph) UniqueName(prefix string) string {
	name := prefix
	for g.values[name] != nil || name == "" {
		g.nextID[prefix]++
		name = fmt.Sprintf("%s_%d", prefix, g.nextID[prefix])
	}
	return name
}

// Prune removes nodes that no output depends on and constants that nothing uses, and returns how many of each.
// Graph inputs stay, used or not: they are the model's interface.
func (g *Graph) Prune() (nodes, constants int) {
	live := map[*Node]bool{}
	var stack []*Node
	reach := func(v *Value) {
		if v != nil && v.producer != nil && !live[v.producer] {
			live[v.producer] = true
			stack = append(stack, v.producer)
		}
	}
	for _, o := range g.outputs {
		reach(o)
	}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, in := range n.inputs {
			reach(in)
		}
		for _, c := range n.captures {
			reach(c)
		}
	}
	kept := g.nodes[:0]
	for _, n := range g.nodes {
		if live[n] {
			kept = append(kept, n)
			continue
		}
		g.dropNode(n)
		nodes++
	}
	clear(g.nodes[len(kept):])
	g.nodes = kept
	isOut := map[*Value]bool{}
	for _, o := range g.outputs {
		isOut[o] = true
	}
	g.inits = slices.DeleteFunc(g.inits, func(v *Value) bool {
		if len(v.uses) > 0 || v.isInput || isOut[v] {
			return false
		}
		delete(g.values, v.name)
		constants++
		return true
	})
	return nodes, constants
}

// Clone returns a copy that shares nothing but the immutable tensors and the opaque Extra fields.
func (g *Graph) Clone() *Graph {
	c := New(g.Name)
	c.IRVersion, c.Producer, c.Extra = g.IRVersion, g.Producer, g.Extra
	c.Metadata = slices.Clone(g.Metadata)
	for d, v := range g.Opsets {
		c.Opsets[d] = v
	}
	for p, id := range g.nextID {
		c.nextID[p] = id
	}
	to := make(map[*Value]*Value, len(g.values))
	for name, v := range g.values {
		w := &Value{DType: v.DType, Shape: v.Shape.Clone(), Extra: v.Extra, name: name, graph: c, init: v.init, index: v.index, isInput: v.isInput, isOuter: v.isOuter}
		c.values[name], to[v] = w, w
	}
	mapped := func(vs []*Value) []*Value {
		out := make([]*Value, len(vs))
		for i, v := range vs {
			if v != nil {
				out[i] = to[v]
			}
		}
		return out
	}
	c.inputs, c.outputs, c.inits = mapped(g.inputs), mapped(g.outputs), mapped(g.inits)
	c.nodes = make([]*Node, len(g.nodes))
	for i, n := range g.nodes {
		m := &Node{Name: n.Name, Domain: n.Domain, Op: n.Op, Attrs: cloneAttrs(n.Attrs), Extra: n.Extra, graph: c}
		m.outputs = mapped(n.outputs)
		for _, o := range m.outputs {
			if o != nil {
				o.producer = m
			}
		}
		for k, in := range mapped(n.inputs) {
			m.SetInput(k, in)
		}
		for _, v := range mapped(n.captures) {
			m.AddCapture(v)
		}
		c.nodes[i] = m
	}
	return c
}

func cloneAttrs(attrs []Attr) []Attr {
	out := slices.Clone(attrs)
	for i := range out {
		if out[i].G != nil {
			out[i].G = out[i].G.Clone()
		}
		out[i].Graphs = slices.Clone(out[i].Graphs)
		for k, sub := range out[i].Graphs {
			out[i].Graphs[k] = sub.Clone()
		}
	}
	return out
}
