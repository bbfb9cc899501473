package refeval

import (
	"fmt"
	"slices"
)

func init() {
	register("", "Gather", 1, arity{2, 2}, one(gather))
	register("", "GatherElements", 11, arity{2, 2}, one(gatherElements))
	register("", "GatherND", 11, arity{2, 2}, one(gatherND))
}

// indexes reads input i as indices into a dimension of the given size, negative ones counted from its end.
func (c *call) indexes(i, size int) ([]int, error) {
	a := c.in[i]
	if a.isFloat() {
		return nil, fmt.Errorf("input %d is %s, must be integers", i, a)
	}
	out := make([]int, len(a.i))
	for k, v := range a.i {
		j, err := indexOf(v, size)
		if err != nil {
			return nil, err
		}
		out[k] = j
	}
	return out, nil
}

func indexOf(v int64, size int) (int, error) {
	j := v
	if j < 0 {
		j += int64(size)
	}
	if j < 0 || j >= int64(size) {
		return 0, fmt.Errorf("index %d is outside a dimension of %d", v, size)
	}
	return int(j), nil
}

func gather(c *call) (*array, error) {
	x := c.in[0]
	axis, err := c.axis(0, x.rank())
	if err != nil {
		return nil, err
	}
	at, err := c.indexes(1, x.dims[axis])
	if err != nil {
		return nil, err
	}
	dims := slices.Concat(x.dims[:axis], c.in[1].dims, x.dims[axis+1:])
	if dims == nil {
		dims = []int{}
	}
	return x.pickAxis(axis, at).reshaped(dims), nil
}

func gatherElements(c *call) (*array, error) {
	x := c.in[0]
	offs, err := elementOffsets(c)
	if err != nil {
		return nil, err
	}
	return x.take(c.in[1].dims, offs), nil
}

// elementOffsets lists the offsets into input 0 that the indices in input 1 name: each index replaces its own position's
// coordinate along the axis.
func elementOffsets(c *call) ([]int, error) {
	x, idx := c.in[0], c.in[1]
	if x.rank() != idx.rank() {
		return nil, fmt.Errorf("indices %s and data %s differ in rank", idx, x)
	}
	axis, err := c.axis(0, x.rank())
	if err != nil {
		return nil, err
	}
	for k, d := range idx.dims {
		if k != axis && d > x.dims[k] {
			return nil, fmt.Errorf("indices %s are larger than data %s along axis %d", idx, x, k)
		}
	}
	at, err := c.indexes(1, x.dims[axis])
	if err != nil {
		return nil, err
	}
	step := strides(x.dims)
	along := step[axis]
	step[axis] = 0
	offs := offsets(idx.dims, step)
	for k := range offs {
		offs[k] += at[k] * along
	}
	return offs, nil
}

func gatherND(c *call) (*array, error) {
	x, batch := c.in[0], int(c.node.Int("batch_dims", 0))
	starts, slice, err := sliceOffsets(x, c.in[1], batch)
	if err != nil {
		return nil, err
	}
	idx := c.in[1]
	depth := idx.dims[idx.rank()-1]
	dims := slices.Concat(idx.dims[:idx.rank()-1], x.dims[batch+depth:])
	offs := make([]int, 0, len(starts)*slice)
	for _, s := range starts {
		for j := range slice {
			offs = append(offs, s+j)
		}
	}
	return x.take(append([]int{}, dims...), offs), nil
}

// sliceOffsets resolves an array of index tuples (the last axis of idx) into x: where each named slice begins, and how many
// elements a slice has. The first batch axes are common to both.
func sliceOffsets(x, idx *array, batch int) (starts []int, slice int, err error) {
	if idx.rank() == 0 || x.rank() == 0 || idx.isFloat() {
		return nil, 0, fmt.Errorf("indices %s into data %s: both need an axis", idx, x)
	}
	depth := idx.dims[idx.rank()-1]
	if batch < 0 || batch+depth > x.rank() || batch >= idx.rank() || !slices.Equal(x.dims[:batch], idx.dims[:batch]) {
		return nil, 0, fmt.Errorf("indices %s don't fit data %s with %d batch axes", idx, x, batch)
	}
	step := strides(x.dims)
	slice = product(x.dims[batch+depth:])
	tuples := product(idx.dims[:idx.rank()-1])
	perBatch := product(idx.dims[batch : idx.rank()-1])
	batchSize := product(x.dims[batch:])
	starts = make([]int, tuples)
	for t := range starts {
		starts[t] = t / max(perBatch, 1) * batchSize
		for k := range depth {
			j, err := indexOf(idx.i[t*depth+k], x.dims[batch+k])
			if err != nil {
				return nil, 0, err
			}
			starts[t] += j * step[batch+k]
		}
	}
	return starts, slice, nil
}
