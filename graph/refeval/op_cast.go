package refeval

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "Cast", 6, arity{1, 1}, one(func(c *call) (*array, error) {
		return castTo(c.in[0], graph.DType(c.node.Int("to", 0)))
	}))
	register("", "CastLike", 15, arity{2, 2}, one(func(c *call) (*array, error) { return castTo(c.in[0], c.in[1].dtype) }))
}

func castTo(x *array, dtype graph.DType) (*array, error) {
	if dtype.Size() == 0 || dtype == graph.Complex64 || dtype == graph.Complex128 {
		return nil, fmt.Errorf("a cast to %s is not supported", dtype)
	}
	return cast(x, dtype), nil
}

// cast converts element types. Between floating types nothing is rounded; a floating value becomes an integer by
// truncation toward zero and a bool by comparison with zero.
func cast(x *array, dtype graph.DType) *array {
	switch {
	case dtype.IsFloat():
		return floats(dtype, x.dims, x.asFloats())
	case !x.isFloat() && dtype == graph.Bool:
		return convertInts(x, dtype)
	case !x.isFloat():
		return x.as(dtype)
	}
	out := newArray(dtype, x.dims)
	for k, v := range x.f {
		if dtype == graph.Bool {
			out.i[k] = truth(v != 0)
		} else {
			out.i[k] = int64(v)
		}
	}
	return out
}

func convertInts(x *array, dtype graph.DType) *array {
	out := newArray(dtype, x.dims)
	for k, v := range x.i {
		out.i[k] = wrap(dtype, v)
	}
	return out
}
