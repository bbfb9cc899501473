package refeval

import (
	"errors"
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "Shape", 1, arity{1, 1}, one(shapeOf))
	register("", "Size", 1, arity{1, 1}, one(func(c *call) (*array, error) {
		return integers(graph.Int64, []int{}, []int64{int64(product(c.in[0].dims))}), nil
	}))
	register("", "Reshape", 1, arity{1, 1}, one(func(c *call) (*array, error) { return reshape(c, c.node.Ints("shape")) }))
	register("", "Reshape", 5, arity{2, 2}, one(func(c *call) (*array, error) {
		shape, err := c.ints(1)
		if err != nil {
			return nil, err
		}
		return reshape(c, shape)
	}))
	register("", "Flatten", 1, arity{1, 1}, one(flatten))
	register("", "Transpose", 1, arity{1, 1}, one(transpose))
	register("", "Expand", 8, arity{2, 2}, one(expand))
	register("", "Squeeze", 1, arity{1, 1}, squeezer(false))
	register("", "Squeeze", 13, arity{1, 2}, squeezer(true))
	register("", "Unsqueeze", 1, arity{1, 1}, unsqueezer(false))
	register("", "Unsqueeze", 13, arity{2, 2}, unsqueezer(true))
}

// shapeOf returns the dimensions from start to end, both clamped, negative ones counted from the back.
func shapeOf(c *call) (*array, error) {
	dims := c.in[0].dims
	r := int64(len(dims))
	clamp := func(at int64) int64 {
		if at < 0 {
			at += r
		}
		return max(0, min(r, at))
	}
	start, end := clamp(c.node.Int("start", 0)), clamp(c.node.Int("end", r))
	part := dims[start:max(start, end)]
	return integers(graph.Int64, []int{len(part)}, int64s(part)), nil
}

// reshape resolves 0 (keep the dimension, unless allowzero) and one -1 (whatever is left).
func reshape(c *call, shape []int64) (*array, error) {
	x := c.in[0]
	dims, free := ints(shape), -1
	for k, d := range dims {
		switch {
		case d == -1 && free >= 0:
			return nil, fmt.Errorf("shape %v has two dimensions of -1", shape)
		case d == -1:
			free, dims[k] = k, 1
		case d < 0:
			return nil, fmt.Errorf("shape %v has a dimension of %d", shape, d)
		case d == 0 && c.node.Int("allowzero", 0) == 0:
			if k >= x.rank() {
				return nil, fmt.Errorf("shape %v keeps dimension %d, which the input %s doesn't have", shape, k, x)
			}
			dims[k] = x.dims[k]
		}
	}
	if n := product(dims); free >= 0 {
		if n == 0 || x.len()%n != 0 {
			return nil, fmt.Errorf("input %s can't take shape %v", x, shape)
		}
		dims[free] = x.len() / n
	}
	if product(dims) != x.len() {
		return nil, fmt.Errorf("input %s can't take shape %v", x, shape)
	}
	return x.reshaped(dims), nil
}

func flatten(c *call) (*array, error) {
	x := c.in[0]
	axis := c.node.Int("axis", 1)
	if axis < 0 {
		axis += int64(x.rank())
	}
	if axis < 0 || axis > int64(x.rank()) {
		return nil, fmt.Errorf("axis %d is outside the rank of %s", axis, x)
	}
	return x.reshaped([]int{product(x.dims[:axis]), product(x.dims[axis:])}), nil
}

func transpose(c *call) (*array, error) {
	x := c.in[0]
	perm := ints(c.node.Ints("perm"))
	if c.node.Attr("perm") == nil {
		perm = sequence(x.rank())
		slices.Reverse(perm)
	}
	sorted := slices.Sorted(slices.Values(perm))
	if !slices.Equal(sorted, sequence(x.rank())) {
		return nil, fmt.Errorf("perm %v doesn't permute the axes of %s", perm, x)
	}
	return x.transposed(perm), nil
}

// expand broadcasts both ways: the result may be larger than the shape asked for.
func expand(c *call) (*array, error) {
	shape, err := c.ints(1)
	if err != nil {
		return nil, err
	}
	dims, err := broadcast(c.in[0].dims, ints(shape))
	if err != nil {
		return nil, err
	}
	return c.in[0].expanded(dims), nil
}

func squeezer(axesInput bool) kernel {
	return one(func(c *call) (*array, error) {
		x := c.in[0]
		list, given, err := c.listOf("axes", 1, axesInput)
		if err != nil {
			return nil, err
		}
		if !given {
			return x.reshaped(slices.DeleteFunc(slices.Clone(x.dims), func(d int) bool { return d == 1 })), nil
		}
		axes, err := axesOf(list, x.rank())
		if err != nil {
			return nil, err
		}
		dims := []int{}
		for k, d := range x.dims {
			if !slices.Contains(axes, k) {
				dims = append(dims, d)
			} else if d != 1 {
				return nil, fmt.Errorf("axis %d of %s is not 1", k, x)
			}
		}
		return x.reshaped(dims), nil
	})
}

func unsqueezer(axesInput bool) kernel {
	return one(func(c *call) (*array, error) {
		list, given, err := c.listOf("axes", 1, axesInput)
		if err == nil && !given {
			err = errors.New("axes are missing")
		}
		if err != nil {
			return nil, err
		}
		x := c.in[0]
		axes, err := axesOf(list, x.rank()+len(list))
		if err != nil {
			return nil, err
		}
		dims := slices.Clone(x.dims)
		for _, ax := range axes { // ascending, so each lands where it is meant to
			dims = slices.Insert(dims, ax, 1)
		}
		return x.reshaped(dims), nil
	})
}
