package refeval

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// A reduction maps the elements along the reduced axes to one.
type reduction struct {
	f func(xs []float64) float64
	i func(xs []int64) int64 // nil refuses integers
}

func init() {
	register("", "CumSum", 11, arity{2, 2}, one(cumSum))
	for name, r := range map[string]reduction{
		"ReduceSum":       {sum[float64], sum[int64]},
		"ReduceMean":      {mean, func(xs []int64) int64 { return sum(xs) / int64(max(len(xs), 1)) }},
		"ReduceMax":       {fold(math.Inf(-1), math.Max), fold(math.MinInt64, func(x, y int64) int64 { return max(x, y) })},
		"ReduceMin":       {fold(math.Inf(1), math.Min), fold(math.MaxInt64, func(x, y int64) int64 { return min(x, y) })},
		"ReduceProd":      {fold(1, mul[float64]), fold(1, mul[int64])},
		"ReduceL1":        {over(abs[float64], sum), over(abs[int64], sum)},
		"ReduceL2":        {func(xs []float64) float64 { return math.Sqrt(sumSquare(xs)) }, nil},
		"ReduceSumSquare": {sumSquare[float64], sumSquare[int64]},
		"ReduceLogSum":    {func(xs []float64) float64 { return math.Log(sum(xs)) }, nil},
		"ReduceLogSumExp": {logSumExp, nil},
	} {
		axesInput := int64(18)
		if name == "ReduceSum" {
			axesInput = 13
		}
		register("", name, 1, arity{1, 1}, one(func(c *call) (*array, error) { return r.apply(c, false) }))
		register("", name, axesInput, arity{1, 2}, one(func(c *call) (*array, error) { return r.apply(c, true) }))
	}
}

func (r reduction) apply(c *call, axesInput bool) (*array, error) {
	x := c.in[0]
	if err := c.accepts(x, true, r.i != nil); err != nil {
		return nil, err
	}
	list, _, err := c.listOf("axes", 1, axesInput)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		if c.node.Int("noop_with_empty_axes", 0) != 0 {
			return x, nil
		}
		list = int64s(sequence(x.rank()))
	}
	axes, err := axesOf(list, x.rank())
	if err != nil {
		return nil, err
	}
	return x.reduced(axes, c.node.Int("keepdims", 1) != 0, r), nil
}

func (a *array) reduced(axes []int, keep bool, r reduction) *array {
	rows, kept, flat := a.gathered(axes)
	dims := flat
	if keep {
		dims = kept
	}
	out, n := newArray(a.dtype, dims), rows.dims[1]
	for k := range out.f {
		out.f[k] = r.f(rows.f[k*n : (k+1)*n])
	}
	for k := range out.i {
		out.i[k] = r.i(rows.i[k*n : (k+1)*n])
	}
	return out
}

// gathered moves the given sorted axes last and flattens them: a matrix with one row for each element of the reduced
// array. It also returns the reduced shape with these axes kept as 1 and with them left out.
func (a *array) gathered(axes []int) (rows *array, kept, flat []int) {
	reduced := map[int]bool{}
	n := 1
	for _, ax := range axes {
		reduced[ax] = true
		n *= a.dims[ax]
	}
	perm, flat := []int{}, []int{}
	for k, d := range a.dims {
		if reduced[k] {
			kept = append(kept, 1)
			continue
		}
		kept, flat, perm = append(kept, d), append(flat, d), append(perm, k)
	}
	if kept == nil {
		kept = []int{}
	}
	return a.transposed(append(perm, axes...)).reshaped([]int{product(flat), n}), kept, flat
}

func sum[T number](xs []T) T {
	var s T
	for _, x := range xs {
		s += x
	}
	return s
}

func mul[T number](x, y T) T { return x * y }

func mean(xs []float64) float64 { return sum(xs) / float64(len(xs)) }

func sumSquare[T number](xs []T) T {
	var s T
	for _, x := range xs {
		s += x * x
	}
	return s
}

func fold[T number](start T, f func(x, y T) T) func([]T) T {
	return func(xs []T) T {
		acc := start
		for _, x := range xs {
			acc = f(acc, x)
		}
		return acc
	}
}

func over[T number](f func(T) T, then func([]T) T) func([]T) T {
	return func(xs []T) T {
		ys := make([]T, len(xs))
		for k, x := range xs {
			ys[k] = f(x)
		}
		return then(ys)
	}
}

// logSumExp is max + log Σ exp(x - max).
func logSumExp(xs []float64) float64 {
	top := fold(math.Inf(-1), math.Max)(xs)
	if math.IsInf(top, 0) {
		return top
	}
	s := 0.
	for _, x := range xs {
		s += math.Exp(x - top)
	}
	return top + math.Log(s)
}

func cumSum(c *call) (*array, error) {
	x := c.in[0]
	at, err := c.scalar(1, 0)
	if err != nil {
		return nil, err
	}
	axis, err := axisOf(int64(at), x.rank())
	if err != nil {
		return nil, err
	}
	exclusive, reverse := c.node.Int("exclusive", 0) != 0, c.node.Int("reverse", 0) != 0
	sums := floats(graph.Double, x.dims, x.asFloats()).alongAxis(axis, func(dst, row []float64) {
		acc := 0.
		for k := range row {
			if reverse {
				k = len(row) - 1 - k
			}
			if dst[k] = acc; !exclusive {
				dst[k] += row[k]
			}
			acc += row[k]
		}
	})
	return cast(sums, x.dtype), nil
}
