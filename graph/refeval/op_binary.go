package refeval

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "Add", 7, arity{2, 2}, binary(add[float64], add[int64]))
	register("", "Sub", 7, arity{2, 2}, binary(
		func(x, y float64) float64 { return x - y }, func(x, y int64) int64 { return x - y }))
	register("", "Mul", 7, arity{2, 2}, binary(
		func(x, y float64) float64 { return x * y }, func(x, y int64) int64 { return x * y }))
	register("", "Div", 7, arity{2, 2}, nonZero(binary(
		func(x, y float64) float64 { return x / y }, func(x, y int64) int64 { return x / y })))
	register("", "Pow", 7, arity{2, 2}, one(pow))
	register("", "Mod", 10, arity{2, 2}, nonZero(one(mod)))
	register("", "PRelu", 7, arity{2, 2}, one(prelu))

	register("", "Sum", 8, arity{1, many}, variadic(add[float64], nil, false))
	register("", "Mean", 8, arity{1, many}, variadic(add[float64], nil, true))
	register("", "Max", 8, arity{1, many}, variadic(math.Max, func(x, y int64) int64 { return max(x, y) }, false))
	register("", "Min", 8, arity{1, many}, variadic(math.Min, func(x, y int64) int64 { return min(x, y) }, false))

	register("", "Equal", 7, arity{2, 2}, compare(func(o int) bool { return o == 0 }))
	register("", "Greater", 7, arity{2, 2}, compare(func(o int) bool { return o > 0 }))
	register("", "Less", 7, arity{2, 2}, compare(func(o int) bool { return o < 0 && o != unordered }))
	register("", "GreaterOrEqual", 12, arity{2, 2}, compare(func(o int) bool { return o >= 0 }))
	register("", "LessOrEqual", 12, arity{2, 2}, compare(func(o int) bool { return o <= 0 && o != unordered }))

	register("", "And", 7, arity{2, 2}, binary(nil, func(x, y int64) int64 { return x & y }))
	register("", "Or", 7, arity{2, 2}, binary(nil, func(x, y int64) int64 { return x | y }))
	register("", "Xor", 7, arity{2, 2}, binary(nil, func(x, y int64) int64 { return x ^ y }))
	register("", "Where", 9, arity{3, 3}, one(where))
}

func add[T number](x, y T) T { return x + y }

// combine applies ff or fi elementwise after broadcasting; both arrays must hold the same kind of element.
func combine(x, y *array, ff func(x, y float64) float64, fi func(x, y int64) int64) (*array, error) {
	if x.dtype != y.dtype {
		return nil, fmt.Errorf("inputs %s and %s differ in type", x, y)
	}
	both, dims, err := broadcastAll([]*array{x, y})
	if err != nil {
		return nil, err
	}
	out, a, b := newArray(x.dtype, dims), both[0], both[1]
	for k := range out.f {
		out.f[k] = ff(a.f[k], b.f[k])
	}
	for k := range out.i {
		out.i[k] = fi(a.i[k], b.i[k])
	}
	return out, nil
}

// binary is an elementwise operator of two inputs; a nil function refuses its kind.
func binary(ff func(x, y float64) float64, fi func(x, y int64) int64) kernel {
	return one(func(c *call) (*array, error) {
		if err := c.accepts(c.in[0], ff != nil, fi != nil); err != nil {
			return nil, err
		}
		return combine(c.in[0], c.in[1], ff, fi)
	})
}

// nonZero guards an integer division.
func nonZero(k kernel) kernel {
	return func(c *call) ([]*array, error) {
		if slices.Contains(c.in[1].i, 0) {
			return nil, errors.New("integer division by zero")
		}
		return k(c)
	}
}

// variadic folds an elementwise operator over all inputs, and divides by their number for a mean.
func variadic(ff func(x, y float64) float64, fi func(x, y int64) int64, mean bool) kernel {
	return one(func(c *call) (*array, error) {
		out := c.in[0]
		for k, x := range c.in {
			if x == nil {
				return nil, fmt.Errorf("input %d is absent", k)
			}
			if err := c.accepts(x, ff != nil, fi != nil); err != nil {
				return nil, err
			}
			if k == 0 {
				continue
			}
			var err error
			if out, err = combine(out, x, ff, fi); err != nil {
				return nil, err
			}
		}
		if mean {
			out = out.mapped(func(x float64) float64 { return x / float64(len(c.in)) })
		}
		return out, nil
	})
}

// pow raises to a power of any type; the result has the base's type.
func pow(c *call) (*array, error) {
	x, y := c.in[0], c.in[1]
	out, err := combine(
		floats(graph.Double, x.dims, x.asFloats()), floats(graph.Double, y.dims, y.asFloats()), math.Pow, nil)
	if err != nil {
		return nil, err
	}
	return cast(out, x.dtype), nil
}

// mod takes the divisor's sign, or with fmod=1 the dividend's.
func mod(c *call) (*array, error) {
	if c.node.Int("fmod", 0) != 0 {
		return combine(c.in[0], c.in[1], math.Mod, func(x, y int64) int64 { return x % y })
	}
	if err := c.accepts(c.in[0], false, true); err != nil {
		return nil, fmt.Errorf("%w without fmod=1", err)
	}
	return combine(c.in[0], c.in[1], nil, func(x, y int64) int64 {
		if r := x % y; r != 0 && (r < 0) != (y < 0) {
			return r + y
		}
		return x % y
	})
}

func prelu(c *call) (*array, error) {
	return combine(c.in[0], c.in[1],
		func(x, slope float64) float64 { return max(x, 0) + slope*min(x, 0) },
		func(x, slope int64) int64 { return max(x, 0) + slope*min(x, 0) })
}

// unordered is the comparison of a NaN with anything.
const unordered = -2

func order[T number](x, y T) int64 {
	switch {
	case x == y:
		return 0
	case x > y:
		return 1
	case x < y:
		return -1
	}
	return unordered
}

// compare broadcasts and tests the order of each pair: -1, 0, 1, or unordered.
func compare(test func(order int) bool) kernel {
	return one(func(c *call) (*array, error) {
		orders, err := combine(c.in[0], c.in[1], func(x, y float64) float64 { return float64(order(x, y)) }, order[int64])
		if err != nil {
			return nil, err
		}
		out := newArray(graph.Bool, orders.dims)
		for k, o := range orders.asFloats() {
			out.i[k] = truth(test(int(o)))
		}
		return out, nil
	})
}

func where(c *call) (*array, error) {
	if c.in[0].dtype != graph.Bool {
		return nil, fmt.Errorf("the condition is %s, must be bool", c.in[0])
	}
	if x, y := c.in[1], c.in[2]; x.dtype != y.dtype {
		return nil, fmt.Errorf("inputs %s and %s differ in type", x, y)
	}
	in, dims, err := broadcastAll(c.in)
	if err != nil {
		return nil, err
	}
	out := newArray(in[1].dtype, dims)
	for k, yes := range in[0].i {
		from := in[2]
		if yes != 0 {
			from = in[1]
		}
		if out.isFloat() {
			out.f[k] = from.f[k]
		} else {
			out.i[k] = from.i[k]
		}
	}
	return out, nil
}
