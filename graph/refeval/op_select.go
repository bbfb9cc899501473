package refeval

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "Clip", 6, arity{1, 1}, one(func(c *call) (*array, error) {
		return clip(c.in[0], attr(c, "min", math.Inf(-1)), attr(c, "max", math.Inf(1))), nil
	}))
	register("", "Clip", 11, arity{1, 3}, one(clipInputs))
	register("", "Trilu", 14, arity{1, 2}, one(trilu))
	register("", "CumSum", 11, arity{2, 2}, one(cumSum))
	register("", "NonZero", 9, arity{1, 1}, one(positions))
	register("", "TopK", 1, arity{1, 1}, func(c *call) ([]*array, error) { return topK(c, int(c.node.Int("k", 0))) })
	register("", "TopK", 10, arity{2, 2}, func(c *call) ([]*array, error) {
		k, err := c.scalar(1, 0)
		if err != nil {
			return nil, err
		}
		return topK(c, int(k))
	})
	register("", "Dropout", 7, arity{1, 1}, dropout(false))
	register("", "Dropout", 10, arity{1, 1}, dropout(true))
	register("", "Dropout", 12, arity{1, 3}, dropoutInputs)
}

func clipInputs(c *call) (*array, error) {
	low, err := c.scalar(1, math.Inf(-1))
	if err != nil {
		return nil, err
	}
	high, err := c.scalar(2, math.Inf(1))
	if err != nil {
		return nil, err
	}
	return clip(c.in[0], low, high), nil
}

func clip(x *array, low, high float64) *array {
	f := func(v float64) float64 { return math.Min(high, math.Max(low, v)) }
	if x.isFloat() {
		return x.mapped(f)
	}
	return cast(floats(graph.Double, x.dims, x.asFloats()).mapped(f), x.dtype)
}

// trilu keeps the upper (j ≥ i+k) or lower (j ≤ i+k) triangle of the matrices in the last two axes.
func trilu(c *call) (*array, error) {
	x := c.in[0]
	if x.rank() < 2 {
		return nil, fmt.Errorf("input %s needs rank 2 or more", x)
	}
	diagonal, err := c.scalar(1, 0)
	if err != nil {
		return nil, err
	}
	rows, cols, upper := x.dims[x.rank()-2], x.dims[x.rank()-1], c.node.Int("upper", 1) != 0
	offs := iota(x.len())
	for at := range offs {
		i, j := at/cols%rows, at%cols
		if d := j - i - int(diagonal); upper && d < 0 || !upper && d > 0 {
			offs[at] = -1
		}
	}
	return x.take(x.dims, offs), nil
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

// positions lists the coordinates of the elements that are not zero, one column each.
func positions(c *call) (*array, error) {
	x := c.in[0]
	var found []int
	for at, v := range x.asFloats() {
		if v != 0 {
			found = append(found, at)
		}
	}
	out, st := newArray(graph.Int64, []int{x.rank(), len(found)}), strides(x.dims)
	for axis, s := range st {
		for k, at := range found {
			out.i[axis*len(found)+k] = int64(at / s % x.dims[axis])
		}
	}
	return out, nil
}

// topK returns the k largest (or smallest) elements along an axis, sorted, and their indices; ties go to the lower index.
func topK(c *call, k int) ([]*array, error) {
	x := c.in[0]
	axis, err := c.axis(-1, x.rank())
	if err != nil {
		return nil, err
	}
	n := x.dims[axis]
	if k < 0 || k > n {
		return nil, fmt.Errorf("k is %d, axis %d of %s has %d elements", k, axis, x, n)
	}
	swap := iota(x.rank())
	swap[axis], swap[len(swap)-1] = len(swap)-1, axis
	lines := x.transposed(swap)
	values, largest := lines.asFloats(), c.node.Int("largest", 1) != 0
	dims := slices.Clone(lines.dims)
	dims[len(dims)-1] = k
	offs, indices := make([]int, 0, product(dims)), newArray(graph.Int64, dims)
	for line := range product(dims[:len(dims)-1]) {
		rank := iota(n)
		slices.SortStableFunc(rank, func(a, b int) int {
			if o := order(values[line*n+a], values[line*n+b]); largest {
				return -int(o)
			} else {
				return int(o)
			}
		})
		for j, at := range rank[:k] {
			offs = append(offs, line*n+at)
			indices.i[line*k+j] = int64(at)
		}
	}
	return []*array{lines.take(dims, offs).transposed(swap), indices.transposed(swap)}, nil
}

// dropout is the identity, as in inference; the mask keeps everything.
func dropout(boolMask bool) kernel {
	return func(c *call) ([]*array, error) {
		x, err := c.floatArg(0)
		if err != nil {
			return nil, err
		}
		mask := newArray(graph.Bool, x.dims)
		for k := range mask.i {
			mask.i[k] = 1
		}
		if !boolMask {
			mask = cast(mask, x.dtype)
		}
		return []*array{x, mask}, nil
	}
}

func dropoutInputs(c *call) ([]*array, error) {
	ratio, err := c.scalar(1, .5)
	if err != nil {
		return nil, err
	}
	training, err := c.scalar(2, 0)
	if err != nil {
		return nil, err
	}
	if training != 0 && ratio != 0 {
		return nil, errors.New("training_mode is true: random dropping has no reference; multiply by a mask that is fed")
	}
	return dropout(true)(c)
}
