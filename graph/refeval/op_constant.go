package refeval

import (
	"errors"
	"fmt"
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "Constant", 1, arity{0, 0}, one(constant))
	register("", "ConstantOfShape", 9, arity{1, 1}, one(constantOfShape))
	register("", "Range", 11, arity{3, 3}, one(rangeOp))
	register("", "EyeLike", 9, arity{1, 1}, one(eyeLike))
	register("", "OneHot", 9, arity{3, 3}, one(oneHot))
}

func constant(c *call) (*array, error) {
	if len(c.node.Attrs) != 1 {
		return nil, fmt.Errorf("%d attributes, must have one", len(c.node.Attrs))
	}
	switch a := c.node.Attrs[0]; a.Name {
	case "value":
		return fromTensor(a.T)
	case "value_float":
		return floats(graph.Float, []int{}, []float64{float64(a.F)}), nil
	case "value_floats":
		return fromTensor(graph.TensorOf(nil, a.Floats))
	case "value_int":
		return integers(graph.Int64, []int{}, []int64{a.I}), nil
	case "value_ints":
		return fromTensor(graph.TensorOf(nil, a.Ints))
	default:
		return nil, fmt.Errorf("a constant given as %s is not supported", a.Name)
	}
}

func constantOfShape(c *call) (*array, error) {
	shape, err := c.ints(0)
	if err != nil {
		return nil, err
	}
	value := floats(graph.Float, []int{1}, []float64{0})
	if a := c.node.Attr("value"); a != nil {
		if value, err = fromTensor(a.T); err != nil {
			return nil, err
		}
	}
	if value.len() != 1 {
		return nil, fmt.Errorf("value is %s, must hold one element", value)
	}
	return value.reshaped([]int{}).expanded(ints(shape)), nil
}

func rangeOp(c *call) (*array, error) {
	var v [3]float64
	for i := range v {
		var err error
		if v[i], err = c.scalar(i, 0); err != nil {
			return nil, err
		}
		if c.in[i].dtype != c.in[0].dtype {
			return nil, fmt.Errorf("inputs %s and %s differ in type", c.in[0], c.in[i])
		}
	}
	start, limit, delta := v[0], v[1], v[2]
	if delta == 0 {
		return nil, errors.New("a delta of 0")
	}
	n := size(int(min(maxElements+1, max(0, math.Ceil((limit-start)/delta)))))
	out := make([]float64, n)
	for k := range out {
		out[k] = start + float64(k)*delta
	}
	return cast(floats(graph.Double, []int{n}, out), c.in[0].dtype), nil
}

func eyeLike(c *call) (*array, error) {
	x := c.in[0]
	if x.rank() != 2 {
		return nil, fmt.Errorf("input %s must be a matrix", x)
	}
	out := newArray(graph.Double, x.dims)
	for i := range x.dims[0] {
		if j := i + int(c.node.Int("k", 0)); j >= 0 && j < x.dims[1] {
			out.f[i*x.dims[1]+j] = 1
		}
	}
	return castTo(out, graph.DType(c.node.Int("dtype", int64(x.dtype))))
}

// oneHot inserts an axis of length depth that holds on at the index and off elsewhere; an index out of range gives all off.
func oneHot(c *call) (*array, error) {
	n, err := c.scalar(1, 0)
	if err != nil {
		return nil, err
	}
	idx, values, depth := c.in[0], c.in[2], int(n)
	if values.len() != 2 || depth < 1 {
		return nil, fmt.Errorf("depth %d and values %s: need a positive depth and two values", depth, values)
	}
	axis, err := c.axis(-1, idx.rank()+1)
	if err != nil {
		return nil, err
	}
	choice := make([]int, 0, size(idx.len(), depth)) // the new axis last
	for _, v := range idx.asFloats() {
		at := int(v)
		if at < 0 {
			at += depth
		}
		for j := range depth {
			choice = append(choice, int(truth(j == at)))
		}
	}
	last := values.take(append(append([]int{}, idx.dims...), depth), choice)
	perm := sequence(idx.rank())
	return last.transposed(append(append(append([]int{}, perm[:axis]...), idx.rank()), perm[axis:]...)), nil
}
