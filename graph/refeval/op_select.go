package refeval

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "ArgMax", 1, arity{1, 1}, argOf(1))
	register("", "ArgMin", 1, arity{1, 1}, argOf(-1))
	register("", "Trilu", 14, arity{1, 2}, one(trilu))
	register("", "NonZero", 9, arity{1, 1}, one(positions))
	register("", "TopK", 1, arity{1, 1}, func(c *call) ([]*array, error) { return topK(c, int(c.node.Int("k", 0))) })
	register("", "TopK", 10, arity{2, 2}, func(c *call) ([]*array, error) {
		k, err := c.scalar(1, 0)
		if err != nil {
			return nil, err
		}
		return topK(c, int(k))
	})
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
	offs := sequence(x.len())
	for at := range offs {
		i, j := at/cols%rows, at%cols
		if d := j - i - int(diagonal); upper && d < 0 || !upper && d > 0 {
			offs[at] = -1
		}
	}
	return x.take(x.dims, offs), nil
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
	swap := sequence(x.rank())
	swap[axis], swap[len(swap)-1] = len(swap)-1, axis
	lines := x.transposed(swap)
	values, largest := lines.asFloats(), c.node.Int("largest", 1) != 0
	dims := slices.Clone(lines.dims)
	dims[len(dims)-1] = k
	offs, indices := make([]int, 0, product(dims)), newArray(graph.Int64, dims)
	for line := range product(dims[:len(dims)-1]) {
		rank := sequence(n)
		slices.SortStableFunc(rank, func(a, b int) int {
			o := int(order(values[line*n+a], values[line*n+b]))
			if largest {
				return -o
			}
			return o
		})
		for j, at := range rank[:k] {
			offs = append(offs, line*n+at)
			indices.i[line*k+j] = int64(at)
		}
	}
	return []*array{lines.take(dims, offs).transposed(swap), indices.transposed(swap)}, nil
}

// argOf finds where along an axis the first (or last) element is that is largest in the given direction.
func argOf(direction float64) kernel {
	return one(func(c *call) (*array, error) {
		x := c.in[0]
		axis, err := c.axis(0, x.rank())
		if err != nil {
			return nil, err
		}
		rows, kept, flat := x.gathered([]int{axis})
		n := rows.dims[1]
		if n == 0 {
			return nil, fmt.Errorf("input %s is empty along axis %d", x, axis)
		}
		dims := kept
		if c.node.Int("keepdims", 1) == 0 {
			dims = flat
		}
		out, values, last := newArray(graph.Int64, dims), rows.asFloats(), c.node.Int("select_last_index", 0) != 0
		for k := range out.i {
			row, best := values[k*n:(k+1)*n], 0
			for j, v := range row {
				if d := direction * (v - row[best]); d > 0 || last && d == 0 {
					best = j
				}
			}
			out.i[k] = int64(best)
		}
		return out, nil
	})
}
