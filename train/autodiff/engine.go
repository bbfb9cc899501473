package autodiff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

// Options says how gradients are written.
type Options struct {
	// FusedMatMul allows com.microsoft.FusedMatMul, which multiplies by a transposed batch of matrices without a Transpose
	// node. Without it every emitted node is of the ai.onnx domain.
	FusedMatMul bool
	// Scope is the prefix of all names emitted; empty means "grad".
	Scope string
	// Detached says of which nodes the results are constants to the gradient, beside those of operators that have none; nil
	// says of no node.
	Detached func(*graph.Node) bool
	// Rounded, unless nil, is told every constant of a rule that its element type can't hold, √(2/π) in a float32 graph for
	// one, with what it stands for: computing in float64 from the rounded one gives the slope of another function.
	Rounded func(constant *graph.Value, exact float64)
}

// Gradients appends to g the nodes that compute the gradient of loss with respect to each value in wrt and returns these
// gradients in wrt's order, each with the element type and shape of its value.
//
// Shapes and types in g must have been inferred. The loss has one element: its rank is 0 or all its dimensions are 1. The
// values in wrt are any float values of g: inputs, initializers, or results of nodes. Only nodes between them and the loss
// are differentiated. An operator without a rule on that way is a [*NoRuleError]; a value in wrt that the loss does not depend
// on is an error too, since a parameter that can't be trained is a mistake in the graph. After an error g may hold a part of
// the gradient's nodes.
func Gradients(g *graph.Graph, loss *graph.Value, wrt []*graph.Value, opt Options) ([]*graph.Value, error) {
	e := newEngine(g, opt)
	if err := e.findPaths(loss, wrt); err != nil {
		return nil, err
	}
	e.seed(loss)
	for _, n := range slices.Backward(slices.Clone(g.Nodes())) {
		if err := e.differentiate(n); err != nil {
			return nil, err
		}
	}
	grads := make([]*graph.Value, len(wrt))
	for i, w := range wrt {
		if grads[i] = e.total(w); grads[i] == nil && e.build.Err() == nil {
			return nil, fmt.Errorf("autodiff: %s: the loss %q does not depend on it in a differentiable way", w, loss.Name())
		}
	}
	if err := e.build.Err(); err != nil {
		return nil, fmt.Errorf("autodiff: %w", err)
	}
	if err := e.sweep(grads); err != nil {
		return nil, err
	}
	return grads, e.verify()
}

// An engine holds what is known while the graph is walked from the loss back to the trainable values.
type engine struct {
	g      *graph.Graph
	opt    Options
	build  *graph.Builder
	onPath map[*graph.Value]bool           // values between wrt and the loss
	parts  map[*graph.Value][]*graph.Value // gradient contributions, one per use, not yet added up
	totals map[*graph.Value]*graph.Value   // gradients that are complete
	claims []claim                         // what the rules returned, for verify
	shapes shapeCache
}

func newEngine(g *graph.Graph, opt Options) *engine {
	if opt.Scope == "" {
		opt.Scope = "grad"
	}
	return &engine{
		g: g, opt: opt, build: g.Build(opt.Scope), onPath: map[*graph.Value]bool{}, parts: map[*graph.Value][]*graph.Value{},
		totals: map[*graph.Value]*graph.Value{}, shapes: newShapeCache(g),
	}
}

// findPaths marks the values that depend on one of wrt and that the loss depends on.
func (e *engine) findPaths(loss *graph.Value, wrt []*graph.Value) error {
	if loss == nil || !loss.DType.IsFloat() || !oneElement(loss.Shape) {
		return fmt.Errorf("autodiff: loss %s: want one float element with an inferred shape", loss)
	}
	depends := map[*graph.Value]bool{}
	for _, w := range wrt {
		if w == nil || !w.DType.IsFloat() || w.Shape == nil {
			return fmt.Errorf("autodiff: gradient with respect to %s: want a float value with an inferred shape", w)
		}
		depends[w] = true
	}
	for _, n := range e.g.Nodes() {
		if e.stops(n) || !slices.ContainsFunc(reads(n), func(v *graph.Value) bool { return depends[v] }) {
			continue
		}
		for _, o := range n.Outputs() {
			if o != nil && (o.DType.IsFloat() || o.DType == graph.Undefined) {
				depends[o] = true
			}
		}
	}
	stack := []*graph.Value{loss}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if v == nil || !depends[v] || e.onPath[v] {
			continue
		}
		e.onPath[v] = true
		if n := v.Producer(); n != nil && !e.stops(n) {
			stack = append(stack, reads(n)...)
		}
	}
	return nil
}

// stops reports whether no gradient flows through n.
func (e *engine) stops(n *graph.Node) bool {
	return isStop(n) || e.opt.Detached != nil && e.opt.Detached(n)
}

// seed starts the walk: d loss / d loss = 1.
func (e *engine) seed(loss *graph.Value) {
	if !e.onPath[loss] {
		return
	}
	if loss.DType != graph.Float && loss.DType != graph.Double {
		e.build.Fail(fmt.Errorf("loss %s: only float and double are differentiated", loss))
		return
	}
	dims, _ := loss.Shape.Dims()
	e.parts[loss] = []*graph.Value{e.build.Const(graph.FloatTensor(loss.DType, dims, []float64{1}))}
}

// differentiate applies n's rule: from the gradients of its outputs to contributions to those of its wanted inputs.
func (e *engine) differentiate(n *graph.Node) error {
	c := &Context{Builder: e.build.Scope(scopeName(n)), Node: n, engine: e}
	arrived := false
	for _, o := range n.Outputs() {
		dY := e.total(o)
		c.grads = append(c.grads, dY)
		arrived = arrived || dY != nil
	}
	if !arrived || e.stops(n) || !slices.ContainsFunc(reads(n), func(v *graph.Value) bool { return e.onPath[v] }) {
		return nil
	}
	rule := lookup(n, e.g.Opsets[n.Domain])
	if rule == nil {
		return e.noRule(n)
	}
	for _, v := range slices.Concat(n.Inputs(), n.Outputs()) {
		if v != nil && v.Shape == nil {
			return fmt.Errorf("autodiff: gradient of %s: the rank of %q is not known: infer shapes first, or state its shape in the graph", n, v.Name())
		}
	}
	dXs := rule(c)
	if err := c.Err(); err != nil {
		return fmt.Errorf("autodiff: gradient of %s: %w", n, err)
	}
	return e.accept(c, dXs)
}

// accept checks what the rule for c's node returned and adds it to what its inputs have.
func (e *engine) accept(c *Context, dXs []*graph.Value) error {
	n := c.Node
	if len(dXs) != len(n.Inputs()) {
		return fmt.Errorf("autodiff: bug in the rule for %s: %d gradients for the %d inputs of %s", n.Op, len(dXs), len(n.Inputs()), n)
	}
	for i, dX := range dXs {
		if !c.Wants(i) {
			continue
		}
		if dX == nil {
			return fmt.Errorf("autodiff: bug in the rule for %s: no gradient for input %d of %s", n.Op, i, n)
		}
		x := c.In(i)
		dX = c.unbroadcast(dX, x)
		if err := c.Err(); err != nil {
			return fmt.Errorf("autodiff: gradient of %s: %w", n, err)
		}
		e.parts[x] = append(e.parts[x], dX)
		e.claims = append(e.claims, claim{n, i, dX})
	}
	return nil
}

// total adds up the gradient contributions of v; nil when there are none. All users of v must have been visited.
func (e *engine) total(v *graph.Value) *graph.Value {
	if v == nil || !e.onPath[v] {
		return nil
	}
	if e.totals[v] == nil {
		parts := e.parts[v]
		if len(parts) == 0 {
			return nil
		}
		// Not by Sum, which onnxruntime computes on one thread.
		b, sum := e.build.Scope(trimName(v.Name())), parts[0]
		for _, p := range parts[1:] {
			sum = b.Typed(b.Op("Add", sum, p), v.DType, v.Shape.Clone())
		}
		e.totals[v] = sum
		delete(e.parts, v)
	}
	return e.totals[v]
}

// sweep removes emitted nodes whose results nobody reads, which spares rules from foreseeing what will be wanted of them.
func (e *engine) sweep(keep []*graph.Value) error {
	for _, n := range slices.Backward(e.build.Nodes()) {
		used := func(o *graph.Value) bool { return o != nil && (len(o.Uses()) > 0 || slices.Contains(keep, o)) }
		if slices.ContainsFunc(n.Outputs(), used) {
			continue
		}
		if err := e.g.RemoveNode(n); err != nil {
			return fmt.Errorf("autodiff: %w", err)
		}
	}
	return nil
}

// reads returns all that n reads, captures of its subgraphs included.
func reads(n *graph.Node) []*graph.Value { return slices.Concat(n.Inputs(), n.Captures()) }

func scopeName(n *graph.Node) string {
	if n.Name != "" {
		return trimName(n.Name)
	}
	for _, o := range n.Outputs() {
		if o != nil {
			return trimName(o.Name())
		}
	}
	return n.Op
}

// trimName drops the slash with which PyTorch's exporter starts names.
func trimName(name string) string { return strings.Trim(name, "/") }

func oneElement(s graph.Shape) bool {
	dims, ok := s.Dims()
	return ok && !slices.ContainsFunc(dims, func(d int64) bool { return d != 1 })
}
