package shape

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", constant, "Constant")
	register("", constantOfShape, "ConstantOfShape")
	register("", rangeOf, "Range")
	register("", oneHot, "OneHot")
	register("", eyeLike, "EyeLike")
}

// ConstantTensor returns what a Constant node holds, whichever attribute it is in; nil for strings and sparse tensors.
func ConstantTensor(n *graph.Node) *graph.Tensor {
	for _, a := range n.Attrs {
		switch a.Name {
		case "value":
			return a.T
		case "value_int":
			return graph.Scalar(a.I)
		case "value_ints":
			return graph.TensorOf(nil, append([]int64{}, a.Ints...))
		case "value_float":
			return graph.Scalar(a.F)
		case "value_floats":
			return graph.TensorOf(nil, append([]float32{}, a.Floats...))
		}
	}
	return nil
}

func constant(c *context) error {
	t := ConstantTensor(c.Node)
	if t == nil {
		return nil
	}
	c.info.note(c.Output(0), constantElements(t))
	return c.set(0, t.DType, graph.ShapeOf(t.Dims...))
}

func constantOfShape(c *context) error {
	fill := graph.Scalar(float32(0))
	if a := c.Attr("value"); a != nil && a.T != nil {
		fill = a.T
	}
	s := c.target(0)
	if n, ok := s.Dims(); ok {
		c.info.note(c.Output(0), repeat(constantElements(fill), n))
	}
	return c.set(0, fill.DType, s)
}

// target returns the shape whose sizes are the elements of input i: unknown dimensions where only their number is known.
func (c *context) target(i int) graph.Shape {
	if es := c.elements(i); es != nil {
		return dims(es)
	}
	if s := c.shape(i); len(s) == 1 && s[0].Known() && s[0].N <= maxElements {
		return unknownShape(int(s[0].N))
	}
	return nil
}

// repeat returns the single element of one as often as a tensor of those sizes has elements; nil when that is too often.
func repeat(one []Expr, sizes []int64) []Expr {
	n := int64(1)
	for _, d := range sizes {
		if n *= d; n > maxElements {
			return nil
		}
	}
	if len(one) != 1 {
		return nil
	}
	out := make([]Expr, n)
	for i := range out {
		out[i] = one[0]
	}
	return out
}

// rangeOf: max(0, ceil((limit − start) / delta)) elements.
func rangeOf(c *context) error {
	dtype, err := c.agree(0, 1, 2)
	if err != nil {
		return err
	}
	one := func(i int) Expr {
		if es := c.elements(i); len(es) == 1 {
			return es[0]
		}
		return Expr{}
	}
	start, limit, delta := one(0), one(1), one(2)
	var count Expr
	if d, ok := delta.Const(); ok && d != 0 {
		span := limit.Sub(start)
		if d < 0 {
			span, d = start.Sub(limit), -d
		}
		count = Int(0).Max(span)
		if d > 1 {
			count = count.Add(Int(d - 1)).Div(Int(d))
		}
	}
	if n, ok := count.Const(); ok && n <= maxElements {
		es := make([]Expr, n)
		for i := range es {
			es[i] = start.Add(delta.Mul(Int(int64(i))))
		}
		c.info.note(c.Output(0), es)
	}
	return c.set(0, dtype, dims([]Expr{count}))
}

func oneHot(c *context) error {
	in := c.shape(0)
	if in == nil {
		return c.set(0, c.dtype(2), nil)
	}
	at, err := axis(c.Int("axis", -1), len(in)+1)
	if err != nil {
		return err
	}
	depth := graph.UnknownDim()
	if es := c.elements(1); len(es) == 1 {
		depth = es[0].Dim()
	}
	out := append(append(in[:at:at], depth), in[at:]...)
	return c.set(0, c.dtype(2), out)
}

func eyeLike(c *context) error {
	if s := c.shape(0); s != nil && len(s) != 2 {
		return fmt.Errorf("the input has rank %d, not 2", len(s))
	}
	return c.set(0, graph.DType(c.Int("dtype", int64(c.dtype(0)))), c.shape(0))
}
