package autodiff

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// A Context is what a rule sees of the node it differentiates, and the builder with which it emits. Nodes are named
// "<scope>/<node>/<Op>". Errors stay in the builder; after one, nothing more is emitted.
type Context struct {
	*graph.Builder
	Node   *graph.Node
	grads  []*graph.Value // of the outputs; nil where none arrived
	engine *engine
}

// In returns input i of the node, nil when absent.
func (c *Context) In(i int) *graph.Value { return c.Node.Input(i) }

// Out returns output i of the node, nil when absent.
func (c *Context) Out(i int) *graph.Value { return c.Node.Output(i) }

// Output returns output i of the node, which is asked for it if it didn't have it.
func (c *Context) Output(i int, dtype graph.DType, shape graph.Shape) *graph.Value {
	if v := c.Out(i); v != nil {
		return v
	}
	v, err := c.Node.AddOutput(i, c.engine.g.UniqueName(fmt.Sprintf("%s:%d", c.Out(0).Name(), i)))
	if err != nil {
		c.Fail(err)
		return nil
	}
	return c.Typed(v, dtype, shape.Clone())
}

// Grad returns the gradient of output i, in that output's shape; nil when the loss doesn't depend on it.
func (c *Context) Grad(i int) *graph.Value { return c.grads[i] }

// DY returns the gradient of the first output.
func (c *Context) DY() *graph.Value { return c.grads[0] }

// Wants reports whether the gradient of input i is asked for.
func (c *Context) Wants(i int) bool { return c.In(i) != nil && c.engine.onPath[c.In(i)] }

// Opset returns the version of ai.onnx that emitted nodes must be valid for.
func (c *Context) Opset() int64 { return c.engine.g.Opset() }

// Failf records why the node can't be differentiated.
func (c *Context) Failf(format string, args ...any) []*graph.Value {
	c.Fail(fmt.Errorf(format, args...))
	return nil
}

// Grads returns the result of a rule: grad(i) for each input i that wants a gradient, in input order.
func (c *Context) Grads(grad func(i int) *graph.Value) []*graph.Value {
	out := make([]*graph.Value, len(c.Node.Inputs()))
	for i := range out {
		if c.Wants(i) {
			out[i] = grad(i)
		}
	}
	return out
}

// First returns the result of a rule of which only the first input can have a gradient.
func (c *Context) First(dX *graph.Value) []*graph.Value {
	for i := 1; i < len(c.Node.Inputs()); i++ {
		if c.Wants(i) {
			return c.Failf("input %d (%s) is trainable, and only input 0 has a gradient", i, c.In(i))
		}
	}
	out := make([]*graph.Value, len(c.Node.Inputs()))
	out[0] = dX
	return out
}

// Broadcast marks grad as having the shape of the first output; the engine sums it to the source's.
func (c *Context) Broadcast(grad *graph.Value) *graph.Value {
	if grad != nil && grad.Shape == nil {
		grad.Shape = c.Out(0).Shape.Clone()
	}
	return grad
}

// Num returns a constant of the element type of the node's first output.
func (c *Context) Num(v float64) *graph.Value {
	n := c.Float(c.Out(0).DType, v)
	if c.engine.opt.Rounded != nil && n != nil && n.DType == graph.Float && float64(float32(v)) != v {
		c.engine.opt.Rounded(n, v)
	}
	return n
}

// Attr returns a float attribute of the node. A default that float32 can't hold is as the specification writes it.
func (c *Context) Attr(name string, def float64) float64 {
	if a := c.Node.Attr(name); a != nil {
		return float64(a.F)
	}
	return def
}

// Add returns a + b, broadcast.
func (c *Context) Add(a, b *graph.Value) *graph.Value { return c.Op("Add", a, b) }

// Sub returns a − b, broadcast.
func (c *Context) Sub(a, b *graph.Value) *graph.Value { return c.Op("Sub", a, b) }

// Mul returns a · b elementwise, broadcast.
func (c *Context) Mul(a, b *graph.Value) *graph.Value { return c.Op("Mul", a, b) }

// Div returns a / b elementwise, broadcast.
func (c *Context) Div(a, b *graph.Value) *graph.Value { return c.Op("Div", a, b) }

// Neg returns −a.
func (c *Context) Neg(a *graph.Value) *graph.Value { return c.Op("Neg", a) }

// Scale returns f·a.
func (c *Context) Scale(a *graph.Value, f float64) *graph.Value {
	if f == 1 {
		return a
	}
	return c.Mul(a, c.Num(f))
}

// Where returns a where cond holds, else b.
func (c *Context) Where(cond, a, b *graph.Value) *graph.Value { return c.Op("Where", cond, a, b) }

// CastTo converts a to another element type.
func (c *Context) CastTo(dtype graph.DType, a *graph.Value) *graph.Value {
	return c.With(graph.IntAttr("to", int64(dtype))).Op("Cast", a)
}

// MatMul returns a·b.
func (c *Context) MatMul(a, b *graph.Value) *graph.Value { return c.Op("MatMul", a, b) }

// Gemm returns alpha·a'·b' of two matrices, where ' transposes if the flag says so.
func (c *Context) Gemm(a *graph.Value, transA bool, b *graph.Value, transB bool, alpha float32) *graph.Value {
	var attrs []graph.Attr
	if alpha != 1 {
		attrs = append(attrs, graph.FloatAttr("alpha", alpha))
	}
	if transA {
		attrs = append(attrs, graph.IntAttr("transA", 1))
	}
	if transB {
		attrs = append(attrs, graph.IntAttr("transB", 1))
	}
	return c.With(attrs...).Op("Gemm", a, b)
}

// Permute returns a with its axes in the given order. Where a is the result of a Transpose, both become one or none.
func (c *Context) Permute(a *graph.Value, perm []int64) *graph.Value {
	if a == nil {
		return nil // after an error
	}
	if n := a.Producer(); n.Is("Transpose") && len(n.Ints("perm")) == len(perm) {
		first, both := n.Ints("perm"), make([]int64, len(perm))
		for i, p := range perm {
			both[i] = first[p]
		}
		a, perm = n.Input(0), both
	}
	if slices.IsSorted(perm) {
		return a
	}
	return c.With(graph.IntsAttr("perm", perm...)).Op("Transpose", a)
}

// inverse returns the permutation that undoes perm.
func inverse(perm []int64) []int64 {
	back := make([]int64, len(perm))
	for i, p := range perm {
		back[p] = int64(i)
	}
	return back
}

// axesInputSince says from which version on op takes its axes as an input instead of an attribute.
var axesInputSince = map[string]int64{
	"ReduceSum": 13, "Unsqueeze": 13, "Squeeze": 13, "ReduceMean": 18, "ReduceMax": 18, "ReduceMin": 18, "ReduceProd": 18,
}

// WithAxes applies an operator that takes axes, in the form that the operator set asks for.
func (c *Context) WithAxes(op string, a *graph.Value, axes []int64, attrs ...graph.Attr) *graph.Value {
	if c.Opset() >= axesInputSince[op] {
		return c.With(attrs...).Op(op, a, c.Ints(axes...))
	}
	return c.With(append(attrs, graph.IntsAttr("axes", axes...))...).Op(op, a)
}

// Reduce applies ReduceSum, ReduceMean, … over axes and keeps them with size 1.
func (c *Context) Reduce(op string, a *graph.Value, axes []int64) *graph.Value {
	return c.WithAxes(op, a, axes, graph.IntAttr("keepdims", 1))
}

// Rank returns the rank of v, an input or output of the node; the engine has made sure that it is known.
func (c *Context) Rank(v *graph.Value) int { return v.Shape.Rank() }

// Axis returns the node's axis attribute counted from the front of v, def when the attribute is absent.
func (c *Context) Axis(def int64, v *graph.Value) int64 {
	return fromFront(c.Node.Int("axis", def), c.Rank(v))
}

// Axes returns the node's axes, counted from the front, from the attribute or from a constant input i; present is false
// when the node has none.
func (c *Context) Axes(i int, rank int) (axes []int64, present bool) {
	axes = c.Node.Ints("axes")
	if in := c.In(i); in != nil {
		axes = c.ConstInts(in)
	} else if axes == nil {
		return nil, false
	}
	out := make([]int64, len(axes))
	for k, a := range axes {
		out[k] = fromFront(a, rank)
	}
	return out, true
}

// ConstInts returns the elements of an integer constant; anything else is an error.
func (c *Context) ConstInts(v *graph.Value) []int64 {
	t := v.Const()
	if t == nil {
		c.Failf("%s has to be a constant", v)
		return nil
	}
	out, err := t.Int64s()
	if err != nil {
		c.Fail(err)
	}
	return out
}

func fromFront(axis int64, rank int) int64 {
	if axis < 0 {
		axis += int64(rank)
	}
	return axis
}

// span returns from, from+1, …, to−1.
func span(from, to int) []int64 {
	out := []int64{}
	for i := from; i < to; i++ {
		out = append(out, int64(i))
	}
	return out
}
