package shape

import (
	"fmt"
	"maps"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// maxElements bounds how many elements of a value are tracked; exporters' shape vectors have fewer than ten.
const maxElements = 64

// Info is what inference learned beside the types that it wrote into the values.
type Info struct {
	elements  map[*graph.Value][]Expr
	unknown   map[string]int
	overruled []string
}

// Elements returns the elements of v, row by row, where v is a small value of integers whose elements are known at least
// in part. Elements nothing is known of are unknown expressions.
func (in *Info) Elements(v *graph.Value) ([]Expr, bool) {
	es, ok := in.elements[v]
	return es, ok
}

// Unknown returns the operators of the graph that have no rule, sorted, "domain.Op".
func (in *Info) Unknown() []string { return slices.Sorted(maps.Keys(in.unknown)) }

// Overruled returns a line for each graph output whose stated sizes were wrong. Files are found that state the sizes of
// the example that was traced, or of the model that they were cut from, and onnxruntime only warns about them.
func (in *Info) Overruled() []string { return in.overruled }

// Infer sets the element type and the shape of every value, in node order. What the values state already is kept where
// inference knows less; a contradiction is an error that names the node, except in the sizes of a graph output.
func Infer(g *graph.Graph) error {
	_, err := Analyse(g)
	return err
}

// Analyse is [Infer] and returns what else was learned.
func Analyse(g *graph.Graph) (*Info, error) {
	in := &Info{elements: map[*graph.Value][]Expr{}, unknown: map[string]int{}}
	nameInputs(g)
	for _, v := range g.Initializers() {
		if t := v.Const(); t != nil {
			in.note(v, constantElements(t))
		}
	}
	for _, n := range g.Nodes() {
		if err := in.visit(g, n); err != nil {
			return nil, fmt.Errorf("shape: node %s: %w", n, err)
		}
	}
	return in, nil
}

// nameInputs gives each unnamed dimension of the graph's inputs a name of its own, "<input>.<axis>". A name that one input
// has twice becomes "<name>.<axis>" where it recurs: exporters were seen to call batch and sequence both "batch".
func nameInputs(g *graph.Graph) {
	for _, v := range g.Inputs() {
		v.Shape = v.Shape.Clone()
		seen := map[string]bool{}
		for i, d := range v.Shape {
			switch {
			case d.Sym == "" && d.N < 0:
				v.Shape[i] = graph.Symbol(fmt.Sprintf("%s.%d", v.Name(), i))
			case d.Sym != "" && seen[d.Sym]:
				v.Shape[i] = graph.Symbol(fmt.Sprintf("%s.%d", d.Sym, i))
			}
			seen[d.Sym] = true
		}
	}
}

// Unify gives the inputs, which must have one rank, the first one's dimensions. Some exporters name the same batch and
// sequence differently on each input, or not at all; a caller that knows what the inputs are can say so before [Infer].
func Unify(inputs ...*graph.Value) error {
	if len(inputs) == 0 {
		return nil
	}
	for _, v := range inputs[1:] {
		if !v.IsInput() || !v.Shape.Compatible(inputs[0].Shape) {
			return fmt.Errorf("shape: %s can't have the dimensions of %s", v, inputs[0])
		}
		v.Shape = inputs[0].Shape.Clone()
	}
	return nil
}

// context is what a rule sees of one node.
type context struct {
	*graph.Node
	info  *Info
	opset int64 // the version of the node's operator set
}

// A rule sets the types of a node's outputs. It returns an error when the inputs contradict the operator's definition.
type rule func(*context) error

var rules = map[string]rule{}

func key(domain, op string) string {
	if domain == "" || domain == "ai.onnx" {
		return op
	}
	return domain + "." + op
}

// register files one rule for several operators of a domain.
func register(domain string, r rule, ops ...string) {
	for _, op := range ops {
		k := key(domain, op)
		if rules[k] != nil {
			panic("shape: two rules for " + k)
		}
		rules[k] = r
	}
}

// Names returns the operators that have a rule, sorted.
func Names() []string { return slices.Sorted(maps.Keys(rules)) }

func (in *Info) visit(g *graph.Graph, n *graph.Node) error {
	k := key(n.Domain, n.Op)
	r := rules[k]
	if r == nil {
		in.unknown[k]++
		return nil
	}
	if err := r(&context{n, in, g.Opsets[n.Domain]}); err != nil {
		return err
	}
	in.drop(n)
	return nil
}

// drop forgets elements that don't fill their value: rules combine elements in row order without regard to the rank, which
// is wrong for, say, [2,1] with [1,2].
func (in *Info) drop(n *graph.Node) {
	for _, v := range n.Outputs() {
		if es, ok := in.elements[v]; ok {
			count, known := product(exprs(v.Shape)).Const()
			if v.Shape == nil || !known || count != int64(len(es)) {
				delete(in.elements, v)
			}
		}
	}
}

// note records elements, unless there are too many or none is known.
func (in *Info) note(v *graph.Value, es []Expr) {
	if v != nil && es != nil && len(es) <= maxElements && (len(es) == 0 || slices.ContainsFunc(es, Expr.Known)) {
		in.elements[v] = es
	}
}

// shape returns the shape of input i, nil when the input is absent or its rank unknown.
func (c *context) shape(i int) graph.Shape {
	if v := c.Input(i); v != nil {
		return v.Shape
	}
	return nil
}

func (c *context) dtype(i int) graph.DType {
	if v := c.Input(i); v != nil {
		return v.DType
	}
	return graph.Undefined
}

// elements returns the elements of input i, nil when nothing is known of them.
func (c *context) elements(i int) []Expr {
	if v := c.Input(i); v != nil {
		return c.info.elements[v]
	}
	return nil
}

// ints returns the elements of input i when all are numbers.
func (c *context) ints(i int) ([]int64, bool) {
	es := c.elements(i)
	out := make([]int64, len(es))
	for k, e := range es {
		n, ok := e.Const()
		if !ok {
			return nil, false
		}
		out[k] = n
	}
	return out, es != nil
}

// set settles output i: the inferred type is joined with what the value states.
func (c *context) set(i int, dtype graph.DType, s graph.Shape) error {
	v := c.Output(i)
	if v == nil {
		return nil
	}
	if dtype != graph.Undefined {
		if v.DType != graph.Undefined && v.DType != dtype {
			return fmt.Errorf("output %q is stated to be %s and computes as %s", v.Name(), v.DType, dtype)
		}
		v.DType = dtype
	}
	joined, err := join(v.Shape, s)
	if err != nil && len(v.Shape) == len(s) && v.IsOutput() {
		c.info.overruled = append(c.info.overruled, fmt.Sprintf("graph output %s computes as %s", v, s))
		joined, err = s.Clone(), nil
	}
	if err != nil {
		return fmt.Errorf("output %q is stated to be %s and computes as %s: %w", v.Name(), v.Shape, s, err)
	}
	v.Shape = joined
	return nil
}

// join merges a stated and an inferred shape. An inferred expression counts more than a stated number or name: files are
// found that state the sizes of the example that they were traced with, and names that no input has.
func join(stated, inferred graph.Shape) (graph.Shape, error) {
	if stated == nil || inferred == nil {
		if inferred == nil {
			return stated, nil
		}
		return inferred.Clone(), nil
	}
	if !stated.Compatible(inferred) {
		return nil, fmt.Errorf("these contradict each other")
	}
	out := inferred.Clone()
	for i, d := range out {
		if d.Sym == "" && d.N < 0 {
			out[i] = FromDim(stated[i]).Dim()
		}
	}
	return out, nil
}

// exprs returns the dimensions of s as expressions.
func exprs(s graph.Shape) []Expr {
	out := make([]Expr, len(s))
	for i, d := range s {
		out[i] = FromDim(d)
	}
	return out
}

// dims returns the shape with these sizes.
func dims(es []Expr) graph.Shape {
	out := make(graph.Shape, len(es))
	for i, e := range es {
		out[i] = e.Dim()
	}
	return out
}

// unknownShape returns a shape of that rank of which nothing else is known.
func unknownShape(rank int) graph.Shape { return dims(make([]Expr, rank)) }

// axis makes a possibly negative axis count from the front.
func axis(a int64, rank int) (int, error) {
	if a < -int64(rank) || a >= int64(rank) {
		return 0, fmt.Errorf("axis %d is outside a tensor of rank %d", a, rank)
	}
	if a < 0 {
		a += int64(rank)
	}
	return int(a), nil
}

// axes is [axis] for a list.
func axes(list []int64, rank int) ([]int, error) {
	out := make([]int, len(list))
	for i, a := range list {
		var err error
		if out[i], err = axis(a, rank); err != nil {
			return nil, err
		}
	}
	return out, nil
}
