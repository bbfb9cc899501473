package shape

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", concat, "Concat")
	register("", split, "Split")
	register("", slice, "Slice")
	register("", pad, "Pad")
}

func concat(c *context) error {
	all := make([]int, len(c.Inputs()))
	for i := range all {
		all[i] = i
	}
	dtype, err := c.agree(all...)
	if err != nil {
		return err
	}
	out := c.shape(0).Clone()
	total := Int(0)
	es := []Expr{}
	for i := range all {
		s := c.shape(i)
		if s == nil || out == nil {
			return c.set(0, dtype, nil)
		}
		if len(s) != len(out) {
			return fmt.Errorf("input %d has shape %s, input 0 %s", i, s, c.shape(0))
		}
		at, err := axis(c.Int("axis", 0), len(s))
		if err != nil {
			return err
		}
		total = total.Add(FromDim(s[at]))
		for k := range out {
			if k != at {
				if out[k], err = sameDim(out[k], s[k]); err != nil {
					return fmt.Errorf("input %d, axis %d: %w", i, k, err)
				}
			}
		}
		out[at] = total.Dim()
		es = c.appendElements(es, i)
	}
	if len(out) == 1 {
		c.info.note(c.Output(0), es)
	}
	return c.set(0, dtype, out)
}

// appendElements appends the elements of vector i, unknown ones when only their number is known, or gives up with nil.
func (c *context) appendElements(es []Expr, i int) []Expr {
	if es == nil {
		return nil
	}
	if more := c.elements(i); more != nil {
		return append(es, more...)
	}
	if s := c.shape(i); len(s) == 1 && s[0].Known() && s[0].N <= maxElements {
		return append(es, make([]Expr, s[0].N)...)
	}
	return nil
}

// sameDim joins two dimensions that the operator requires to be equal: a number says more than a name.
func sameDim(a, b graph.Dim) (graph.Dim, error) {
	switch {
	case a.Known() && b.Known() && a.N != b.N:
		return a, fmt.Errorf("%d and %d differ", a.N, b.N)
	case a.Known(), a.Sym != "" && !b.Known():
		return a, nil
	}
	return b, nil
}

func split(c *context) error {
	n := len(c.Outputs())
	s := c.shape(0)
	if s == nil {
		for i := range n {
			if err := c.set(i, c.dtype(0), nil); err != nil {
				return err
			}
		}
		return nil
	}
	at, err := axis(c.Int("axis", 0), len(s))
	if err != nil {
		return err
	}
	sizes := c.splitSizes(FromDim(s[at]), n)
	if len(sizes) != n {
		return fmt.Errorf("%d sizes for %d outputs", len(sizes), n)
	}
	es, from := c.elements(0), int64(0)
	for i, e := range sizes {
		out := s.Clone()
		out[at] = e.Dim()
		if err := c.set(i, c.dtype(0), out); err != nil {
			return err
		}
		if k, ok := e.Const(); ok && k < 0 {
			return fmt.Errorf("output %d has the size %d", i, k)
		} else if ok && es != nil && len(s) == 1 && k <= int64(len(es))-from {
			c.info.note(c.Output(i), es[from:from+k])
			from += k
		} else {
			es = nil
		}
	}
	return nil
}

// splitSizes: stated (an attribute below opset 13, then an input), or equal parts whose last may be smaller.
func (c *context) splitSizes(whole Expr, n int) []Expr {
	stated := c.elements(1)
	if c.opset < 13 {
		stated = nil
		for _, k := range c.Ints("split") {
			stated = append(stated, Int(k))
		}
	}
	if stated != nil {
		return stated
	}
	sizes := make([]Expr, n)
	if n == 0 || c.Input(1) != nil && c.opset >= 13 {
		return sizes
	}
	part := whole.Div(Int(int64(n)))
	if k, ok := whole.Const(); ok && k%int64(n) != 0 {
		part = Int(k/int64(n) + 1)
	}
	for i := range sizes {
		sizes[i] = part
	}
	sizes[n-1] = whole.Sub(part.Mul(Int(int64(n - 1))))
	return sizes
}

// bounds are the arguments of Slice for one axis.
type bounds struct{ start, end, step Expr }

func slice(c *context) error {
	s := c.shape(0)
	if s == nil {
		return c.set(0, c.dtype(0), nil)
	}
	parts, err := c.sliceBounds(len(s))
	if err != nil {
		return err
	}
	if parts == nil {
		return c.set(0, c.dtype(0), unknownShape(len(s)))
	}
	out := s.Clone()
	for at, b := range parts {
		out[at] = b.length(FromDim(s[at])).Dim()
	}
	if b, ok := parts[0]; ok && len(s) == 1 {
		c.info.note(c.Output(0), b.pick(c.elements(0)))
	}
	return c.set(0, c.dtype(0), out)
}

// sliceBounds returns the bounds by axis; nil when the axes are not known.
func (c *context) sliceBounds(rank int) (map[int]bounds, error) {
	ints := func(vs []int64) []Expr {
		var es []Expr
		for _, v := range vs {
			es = append(es, Int(v))
		}
		return es
	}
	starts, ends, list, steps := c.elements(1), c.elements(2), c.elements(3), c.elements(4)
	if c.opset < 10 {
		starts, ends, list, steps = ints(c.Ints("starts")), ints(c.Ints("ends")), ints(c.Ints("axes")), nil
	} else {
		n := len(c.target(1))
		if n == 0 || list == nil && c.Input(3) != nil {
			return nil, nil
		}
		// What is not known may still be known in number, and then only those axes are lost.
		starts, ends = orUnknown(starts, n), orUnknown(ends, n)
		if c.Input(4) != nil {
			steps = orUnknown(steps, n)
		}
	}
	parts := map[int]bounds{}
	for i := range starts {
		a := int64(i)
		if list != nil {
			var ok bool
			if i >= len(list) {
				return nil, fmt.Errorf("%d starts and %d axes", len(starts), len(list))
			}
			if a, ok = list[i].Const(); !ok {
				return nil, nil
			}
		}
		at, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		b := bounds{starts[i], Expr{}, Int(1)}
		if i < len(ends) {
			b.end = ends[i]
		}
		if i < len(steps) {
			b.step = steps[i]
		}
		parts[at] = b
	}
	return parts, nil
}

func orUnknown(es []Expr, n int) []Expr {
	if es == nil {
		return make([]Expr, n)
	}
	return es
}

// length returns how many of size elements the slice has.
func (b bounds) length(size Expr) Expr {
	step, ok := b.step.Const()
	if !ok {
		return Expr{}
	}
	if n, ok := size.Const(); ok {
		from, okFrom := b.start.Const()
		to, okTo := b.end.Const()
		if okFrom && okTo {
			_, count := span(n, from, to, step)
			return Int(count)
		}
	}
	from, to := within(b.start, size), within(b.end, size)
	switch {
	case step == 1:
		return Int(0).Max(to.Sub(from))
	case step == -1 && b.start.Equal(Int(-1)) && b.end.atMost(Int(-endless)):
		return size
	}
	return Expr{}
}

// within clamps a bound to 0…size; a negative one counts from the end.
func within(e, size Expr) Expr {
	if low, ok := e.lower(); ok && low >= 0 {
		return e.Min(size)
	}
	switch {
	case e.atMost(Int(-endless)):
		return Int(0)
	case e.atMost(Int(-1)):
		return Int(0).Max(size.Add(e))
	}
	return Expr{}
}

// span returns the first index that a slice with numeric bounds picks, and how many it picks.
func span(size, from, to, step int64) (first, n int64) {
	clamp := func(v, low, high int64) int64 {
		if v < 0 {
			v = max(v, -size-1) + size
		}
		return min(max(v, low), high)
	}
	switch {
	case step > 0:
		from, to = clamp(from, 0, size), clamp(to, 0, size)
		if to > from {
			n = (to-from-1)/step + 1
		}
	case step < 0:
		from, to = clamp(from, -1, size-1), clamp(to, -1, size-1)
		if from > to {
			n = (to-from+1)/step + 1
		}
	}
	return from, n
}

// pick returns the sliced elements, nil when the bounds are not numbers.
func (b bounds) pick(es []Expr) []Expr {
	from, okFrom := b.start.Const()
	to, okTo := b.end.Const()
	step, okStep := b.step.Const()
	if es == nil || !okFrom || !okTo || !okStep {
		return nil
	}
	first, n := span(int64(len(es)), from, to, step)
	out := make([]Expr, n)
	for i := range out {
		out[i] = es[first+int64(i)*step]
	}
	return out
}

func pad(c *context) error {
	s := c.shape(0)
	if s == nil {
		return c.set(0, c.dtype(0), nil)
	}
	pads := c.elements(1)
	if c.opset < 11 {
		pads = nil
		for _, p := range c.Ints("pads") {
			pads = append(pads, Int(p))
		}
	}
	at := make([]int64, len(s))
	for i := range at {
		at[i] = int64(i)
	}
	if c.Input(3) != nil {
		at, _ = c.ints(3)
	}
	if pads == nil || at == nil {
		return c.set(0, c.dtype(0), unknownShape(len(s)))
	}
	list, err := axes(at, len(s))
	if err != nil || len(pads) != 2*len(list) {
		return fmt.Errorf("%d pads for %d axes of %s", len(pads), len(list), s)
	}
	out := exprs(s)
	for i, a := range list {
		out[a] = out[a].Add(pads[i]).Add(pads[i+len(list)])
	}
	return c.set(0, c.dtype(0), dims(slices.Clip(out)))
}
