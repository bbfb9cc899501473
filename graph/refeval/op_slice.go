package refeval

import (
	"errors"
	"fmt"
	"slices"
)

func init() {
	register("", "Concat", 4, arity{1, many}, one(concat))
	register("", "Split", 1, arity{1, 2}, splitter(false))
	register("", "Split", 13, arity{1, 2}, splitter(true))
	register("", "Slice", 1, arity{1, 1}, one(func(c *call) (*array, error) {
		return slice(c.in[0], c.node.Ints("starts"), c.node.Ints("ends"), c.node.Ints("axes"), nil)
	}))
	register("", "Slice", 10, arity{3, 5}, one(sliceInputs))
	register("", "Pad", 2, arity{1, 1}, one(func(c *call) (*array, error) {
		return pad(c, c.node.Ints("pads"), attr(c, "value", 0), sequence(c.in[0].rank()))
	}))
	register("", "Pad", 11, arity{2, 4}, one(padInputs))
	register("", "Tile", 6, arity{2, 2}, one(tile))
}

func concat(c *call) (*array, error) {
	for k, x := range c.in {
		if x == nil || x.dtype != c.in[0].dtype || x.rank() != c.in[0].rank() {
			return nil, fmt.Errorf("input %d is %s, doesn't go with %s", k, x, c.in[0])
		}
	}
	first := c.in[0]
	if c.node.Attr("axis") == nil {
		return nil, errors.New("the attribute axis is missing")
	}
	axis, err := c.axis(0, first.rank())
	if err != nil {
		return nil, err
	}
	dims := slices.Clone(first.dims)
	dims[axis] = 0
	for _, x := range c.in {
		for k, d := range x.dims {
			if k != axis && d != first.dims[k] {
				return nil, fmt.Errorf("%s and %s differ outside axis %d", first, x, axis)
			}
		}
		dims[axis] += x.dims[axis]
	}
	out := newArray(first.dtype, dims)
	at := 0
	for outer := range product(dims[:axis]) {
		for _, x := range c.in {
			n := product(x.dims[axis:])
			if x.isFloat() {
				copy(out.f[at:], x.f[outer*n:(outer+1)*n])
			} else {
				copy(out.i[at:], x.i[outer*n:(outer+1)*n])
			}
			at += n
		}
	}
	return out, nil
}

// splitter cuts along an axis into the lengths given, or into as many equal parts as there are outputs; from opset 18 on
// the last part may be shorter.
func splitter(lengthsInput bool) kernel {
	return func(c *call) ([]*array, error) {
		x := c.in[0]
		axis, err := c.axis(0, x.rank())
		if err != nil {
			return nil, err
		}
		lengths, given, err := c.listOf("split", 1, lengthsInput || len(c.in) > 1)
		if err != nil {
			return nil, err
		}
		if !given {
			if lengths, err = c.equalParts(x.dims[axis]); err != nil {
				return nil, err
			}
		}
		total := int64(0)
		for _, n := range lengths {
			if total += n; n < 0 {
				return nil, fmt.Errorf("split %v has a negative length", lengths)
			}
		}
		if total != int64(x.dims[axis]) {
			return nil, fmt.Errorf("split %v doesn't add up to %d, axis %d of %s", lengths, x.dims[axis], axis, x)
		}
		out, all := make([]*array, len(lengths)), sequence(x.dims[axis])
		for k, n := range lengths {
			out[k] = x.pickAxis(axis, all[:n])
			all = all[n:]
		}
		return out, nil
	}
}

func (c *call) equalParts(size int) ([]int64, error) {
	n := c.node.Int("num_outputs", int64(len(c.node.Outputs())))
	if n < 1 || c.opset < 18 && int64(size)%n != 0 {
		return nil, fmt.Errorf("%d elements don't split into %d equal parts", size, n)
	}
	part := (int64(size) + n - 1) / n
	out := make([]int64, n)
	for k, left := 0, int64(size); k < len(out); k++ {
		out[k] = min(part, left)
		left -= out[k]
	}
	return out, nil
}

func sliceInputs(c *call) (*array, error) {
	var lists [5][]int64
	for i := 1; i < len(c.in); i++ {
		if c.in[i] == nil {
			continue
		}
		var err error
		if lists[i], err = c.ints(i); err != nil {
			return nil, err
		}
	}
	return slice(c.in[0], lists[1], lists[2], lists[3], lists[4])
}

func slice(x *array, starts, ends, axes, steps []int64) (*array, error) {
	if axes == nil {
		axes = int64s(sequence(len(starts)))
	}
	if steps == nil {
		steps = slices.Repeat([]int64{1}, len(starts))
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return nil, fmt.Errorf("%d starts, %d ends, %d axes, %d steps: the counts differ", len(starts), len(ends), len(axes), len(steps))
	}
	at := make([][]int, x.rank())
	for k, ax := range axes {
		axis, err := axisOf(ax, x.rank())
		if err != nil {
			return nil, err
		}
		if steps[k] == 0 {
			return nil, fmt.Errorf("a step of 0 along axis %d", axis)
		}
		at[axis] = sliceRange(int64(x.dims[axis]), starts[k], ends[k], steps[k])
	}
	return x.pick(at), nil
}

// sliceRange lists start, start+step, … before end, all clamped to a dimension of n as numpy does.
func sliceRange(n, start, end, step int64) []int {
	low, high := int64(0), n // where start and end may lie
	if step < 0 {
		low, high = -1, n-1
	}
	clamp := func(v int64) int64 {
		if v < 0 {
			v += n
		}
		return max(low, min(high, v))
	}
	out := []int{}
	for j, end := clamp(start), clamp(end); step > 0 && j < end || step < 0 && j > end; j += step {
		if out = append(out, int(j)); abs(step) >= n {
			break // the next one is outside, and adding to it may overflow
		}
	}
	return out
}

func padInputs(c *call) (*array, error) {
	pads, err := c.ints(1)
	if err != nil {
		return nil, err
	}
	value, err := c.scalar(2, 0)
	if err != nil {
		return nil, err
	}
	axes := sequence(c.in[0].rank())
	if a := c.arg(3); a != nil {
		axes = make([]int, len(a.i))
		for k, v := range a.i {
			if axes[k], err = axisOf(v, c.in[0].rank()); err != nil {
				return nil, err
			}
		}
	}
	return pad(c, pads, value, axes)
}

// pad grows (or, with negative pads, crops) axes: pads lists all begins, then all ends.
func pad(c *call, pads []int64, value float64, axes []int) (*array, error) {
	x, mode := c.in[0], c.node.Str("mode", "constant")
	if len(pads) != 2*len(axes) {
		return nil, fmt.Errorf("%d pads for %d axes", len(pads), len(axes))
	}
	at := make([][]int, x.rank())
	for k, axis := range axes {
		list, err := padRange(x.dims[axis], int(pads[k]), int(pads[len(axes)+k]), mode)
		if err != nil {
			return nil, err
		}
		at[axis] = list
	}
	out := x.pick(at)
	if mode != "constant" || value == 0 {
		return out, nil
	}
	ones := newArray(x.dtype, x.dims) // marks what comes from the input
	for k := range ones.f {
		ones.f[k] = 1
	}
	for k := range ones.i {
		ones.i[k] = 1
	}
	inside := ones.pick(at)
	for k, in := range inside.f {
		if in == 0 {
			out.f[k] = value
		}
	}
	for k, in := range inside.i {
		if in == 0 {
			out.i[k] = int64(value)
		}
	}
	return out, nil
}

// padRange lists the source index of each position along a padded axis, -1 where the constant goes.
func padRange(n, before, after int, mode string) ([]int, error) {
	size(max(0, before))
	size(max(0, after))
	out := make([]int, 0, size(max(0, n+before+after)))
	for j := -before; j < n+after; j++ {
		at := j
		switch {
		case j >= 0 && j < n:
		case mode == "constant":
			at = -1
		case n == 0:
			return nil, fmt.Errorf("an empty axis can't be padded in mode %s", mode)
		case mode == "edge":
			at = max(0, min(n-1, j))
		case mode == "reflect" && n > 1:
			period := 2 * (n - 1)
			if at = ((j % period) + period) % period; at >= n {
				at = period - at
			}
		case mode == "reflect":
			at = 0
		case mode == "wrap":
			at = ((j % n) + n) % n
		default:
			return nil, fmt.Errorf("mode %q is not known", mode)
		}
		out = append(out, at)
	}
	return out, nil
}

func tile(c *call) (*array, error) {
	repeats, err := c.ints(1)
	if err != nil {
		return nil, err
	}
	x := c.in[0]
	if len(repeats) != x.rank() {
		return nil, fmt.Errorf("%d repeats for %s", len(repeats), x)
	}
	at := make([][]int, x.rank())
	for k, r := range repeats {
		size(int(r), x.dims[k])
		at[k] = slices.Repeat(sequence(x.dims[k]), int(r))
	}
	return x.pick(at), nil
}
