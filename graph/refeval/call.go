package refeval

import (
	"context"
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

// A call is one application of a node: what a kernel sees.
type call struct {
	ctx    context.Context // of the run this call is part of
	node   *graph.Node
	opset  int64    // of the node's domain
	in     []*array // nil is an absent optional input
	bodies bodies
	scope  scope // the values around the node that its subgraphs read
}

// arg returns input i, or nil when it is absent.
func (c *call) arg(i int) *array {
	if i < len(c.in) {
		return c.in[i]
	}
	return nil
}

// ints reads a list of integers from an input.
func (c *call) ints(i int) ([]int64, error) {
	a := c.arg(i)
	if a.isFloat() || a.rank() > 1 {
		return nil, fmt.Errorf("input %d is %s, must be a vector of integers", i, a)
	}
	return a.i, nil
}

// scalar reads the single number in an input, or def when it is absent.
func (c *call) scalar(i int, def float64) (float64, error) {
	a := c.arg(i)
	if a == nil {
		return def, nil
	}
	if a.len() != 1 {
		return 0, fmt.Errorf("input %d is %s, must hold one element", i, a)
	}
	return a.asFloats()[0], nil
}

// axis resolves the attribute "axis" for the given rank.
func (c *call) axis(def int64, rank int) (int, error) { return axisOf(c.node.Int("axis", def), rank) }

// listOf reads a list that is an attribute up to one opset and input i from then on; given tells whether it is there.
func (c *call) listOf(attr string, i int, asInput bool) (list []int64, given bool, err error) {
	if !asInput {
		return c.node.Ints(attr), c.node.Attr(attr) != nil, nil
	}
	if c.arg(i) == nil {
		return nil, false, nil
	}
	list, err = c.ints(i)
	return list, true, err
}

// invoke checks the inputs' presence, runs the kernel and wraps integers to their declared width.
func (c *call) invoke(v version) ([]*array, error) {
	out, err := c.checked(v)
	if err != nil {
		return nil, fmt.Errorf("refeval: node %s: %w", c.node, err)
	}
	for k, a := range out {
		if a != nil {
			out[k] = a.wrapped()
		}
	}
	return out, nil
}

// checked also turns a panic into an error: nodes come from users' files, and what a kernel didn't foresee in one must not
// take the process down.
func (c *call) checked(v version) (out []*array, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case sizeError:
			out, err = nil, r
		default:
			out, err = nil, fmt.Errorf("the kernel of %s failed: %v", c.node.Op, r)
		}
	}()
	if len(c.in) > v.inputs.max {
		return nil, fmt.Errorf("%d inputs, at most %d at opset %d", len(c.in), v.inputs.max, c.opset)
	}
	for i := range v.inputs.min {
		if c.arg(i) == nil {
			return nil, fmt.Errorf("input %d is required and absent", i)
		}
	}
	if out, err = v.kernel(c); err != nil {
		return nil, err
	}
	for i, o := range c.node.Outputs() {
		if o != nil && (i >= len(out) || out[i] == nil) {
			return nil, fmt.Errorf("output %d is asked for, and refeval doesn't compute it", i)
		}
	}
	return out, nil
}

// EvalNode computes one node's outputs from the tensors of its inputs (nil for absent) at the given version of the node's
// operator set. The computation runs in float64; each result is rounded once to the type the operator declares, so
// Float in gives Float out. Outputs that the node doesn't have are nil. The error is an [*UnsupportedError] for an unknown operator.
func EvalNode(n *graph.Node, opset int64, inputs []*graph.Tensor) ([]*graph.Tensor, error) {
	v, ok := lookup(n.Domain, n.Op, opset)
	if !ok {
		return nil, unsupported(n, opset)
	}
	if len(n.Subgraphs()) > 0 {
		return nil, fmt.Errorf("refeval: node %s: EvalNode doesn't evaluate subgraphs", n)
	}
	c := &call{ctx: context.Background(), node: n, opset: opset, in: make([]*array, len(inputs))}
	for k, t := range inputs {
		if t == nil {
			continue
		}
		var err error
		if c.in[k], err = fromTensor(t); err != nil {
			return nil, fmt.Errorf("refeval: node %s: input %d: %w", n, k, err)
		}
	}
	arrays, err := c.invoke(v)
	if err != nil {
		return nil, err
	}
	out := make([]*graph.Tensor, len(n.Outputs()))
	for k, o := range n.Outputs() {
		if o != nil {
			out[k] = arrays[k].tensor()
		}
	}
	return out, nil
}

// accepts fails unless a's type is one the kernel computes.
func (c *call) accepts(a *array, float, integer bool) error {
	if a.isFloat() && !float || !a.isFloat() && !integer {
		return fmt.Errorf("%s doesn't take elements of type %s", c.node.Op, a.dtype)
	}
	return nil
}

// floatArg returns input i, which must be present and floating.
func (c *call) floatArg(i int) (*array, error) {
	a := c.arg(i)
	if a == nil || !a.isFloat() {
		return nil, fmt.Errorf("input %d is %s, must be floating", i, a)
	}
	return a, nil
}
