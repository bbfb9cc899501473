package shape

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", shapeOf, "Shape")
	register("", sizeOf, "Size")
	register("", reshape, "Reshape")
	register("", squeeze, "Squeeze")
	register("", unsqueeze, "Unsqueeze")
	register("", flatten, "Flatten")
	register("", transpose, "Transpose")
	register("", expand, "Expand")
	register("", tile, "Tile")
}

func shapeOf(c *context) error {
	s := c.shape(0)
	if s == nil {
		return c.set(0, graph.Int64, unknownShape(1))
	}
	clamp := func(a int64) int64 {
		if a < 0 {
			a += int64(len(s))
		}
		return min(max(a, 0), int64(len(s)))
	}
	start, end := clamp(c.Int("start", 0)), clamp(c.Int("end", int64(len(s))))
	part := s[start:max(start, end)]
	c.info.note(c.Output(0), exprs(part))
	return c.set(0, graph.Int64, graph.ShapeOf(int64(len(part))))
}

func sizeOf(c *context) error {
	if s := c.shape(0); s != nil {
		c.info.note(c.Output(0), []Expr{product(exprs(s))})
	}
	return c.set(0, graph.Int64, graph.Shape{})
}

func product(es []Expr) Expr {
	p := Int(1)
	for _, e := range es {
		p = p.Mul(e)
	}
	return p
}

func reshape(c *context) error {
	c.keepsElements()
	target := c.elements(1)
	if c.opset < 5 {
		target = []Expr{}
		for _, d := range c.Ints("shape") {
			target = append(target, Int(d))
		}
	}
	if target == nil {
		return c.set(0, c.dtype(0), c.target(1))
	}
	out, err := solveReshape(c.shape(0), target, c.Int("allowzero", 0) != 0)
	if err != nil {
		return err
	}
	return c.set(0, c.dtype(0), dims(out))
}

// solveReshape replaces 0 by the input's own size and −1 by what is left. Sizes that are copied cancel before anything is
// multiplied, so a −1 is found even when a copied size is unknown.
func solveReshape(in graph.Shape, target []Expr, allowZero bool) ([]Expr, error) {
	out := slices.Clone(target)
	have, want := exprs(in), []Expr{}
	copied := map[int]bool{}
	infer := -1
	for i, e := range target {
		n, ok := e.Const()
		switch {
		case ok && n == -1 && infer >= 0:
			return nil, fmt.Errorf("the target %v has two -1", target)
		case ok && n == -1:
			infer = i
		case ok && n == 0 && !allowZero:
			if out[i] = (Expr{}); in != nil {
				if i >= len(in) {
					return nil, fmt.Errorf("the target %v copies dimension %d of %s", target, i, in)
				}
				out[i], copied[i] = have[i], true
			}
		case ok && n < 0:
			return nil, fmt.Errorf("the target %v has a negative size", target)
		}
		if i != infer && !copied[i] {
			want = append(want, out[i])
		}
	}
	if in == nil {
		if infer >= 0 {
			out[infer] = Expr{}
		}
		return out, nil
	}
	var left []Expr
	for i, e := range have {
		if !copied[i] {
			left = append(left, e)
		}
	}
	total, rest := product(left), product(want)
	if infer >= 0 {
		out[infer] = total.Div(rest)
	}
	if a, ok := total.Const(); ok {
		if b, ok := rest.Const(); ok && (infer < 0 && a != b || infer >= 0 && b != 0 && a%b != 0) {
			return nil, fmt.Errorf("%s can't take the shape %v", in, target)
		}
	}
	return out, nil
}

// axesArgument returns the axes: an attribute below the given opset, an input since; ok is false when they are an input
// that is not known. nil with ok means absent.
func (c *context) axesArgument(since int64) (list []int64, ok bool) {
	if c.opset < since {
		return c.Ints("axes"), true
	}
	if c.Input(1) == nil {
		return nil, true
	}
	return c.ints(1)
}

func squeeze(c *context) error {
	c.keepsElements()
	s := c.shape(0)
	list, ok := c.axesArgument(13)
	if s == nil || !ok {
		return c.set(0, c.dtype(0), nil)
	}
	var out graph.Shape = graph.Shape{}
	if list == nil {
		for _, d := range s {
			if !d.Known() {
				return c.set(0, c.dtype(0), nil)
			}
			if d.N != 1 {
				out = append(out, d)
			}
		}
		return c.set(0, c.dtype(0), out)
	}
	drop, err := axes(list, len(s))
	if err != nil {
		return err
	}
	for i, d := range s {
		if !slices.Contains(drop, i) {
			out = append(out, d)
		} else if d.Known() && d.N != 1 {
			return fmt.Errorf("axis %d of %s is not 1", i, s)
		}
	}
	return c.set(0, c.dtype(0), out)
}

func unsqueeze(c *context) error {
	c.keepsElements()
	s := c.shape(0)
	list, ok := c.axesArgument(13)
	if s == nil || !ok {
		return c.set(0, c.dtype(0), nil)
	}
	at, err := axes(list, len(s)+len(list))
	if err != nil {
		return err
	}
	out, k := make(graph.Shape, len(s)+len(list)), 0
	for i := range out {
		switch {
		case slices.Contains(at, i):
			out[i] = graph.Fixed(1)
		case k == len(s):
			return fmt.Errorf("axes %v repeat", list)
		default:
			out[i] = s[k]
			k++
		}
	}
	return c.set(0, c.dtype(0), out)
}

func flatten(c *context) error {
	c.keepsElements()
	s := c.shape(0)
	if s == nil {
		return c.set(0, c.dtype(0), unknownShape(2))
	}
	at := int(c.Int("axis", 1))
	if at < 0 {
		at += len(s)
	}
	if at < 0 || at > len(s) {
		return fmt.Errorf("axis %d is outside %s", c.Int("axis", 1), s)
	}
	return c.set(0, c.dtype(0), dims([]Expr{product(exprs(s[:at])), product(exprs(s[at:]))}))
}

func transpose(c *context) error {
	s := c.shape(0)
	if s == nil {
		if perm := c.Ints("perm"); perm != nil {
			return c.set(0, c.dtype(0), unknownShape(len(perm)))
		}
		return c.set(0, c.dtype(0), nil)
	}
	if len(s) < 2 {
		c.keepsElements()
	}
	perm := c.Ints("perm")
	if perm == nil {
		for i := range s {
			perm = append(perm, int64(len(s)-1-i))
		}
	}
	at, err := axes(perm, len(s))
	if err != nil || len(at) != len(s) {
		return fmt.Errorf("perm %v doesn't fit %s", perm, s)
	}
	out := make(graph.Shape, len(s))
	for i, a := range at {
		out[i] = s[a]
	}
	return c.set(0, c.dtype(0), out)
}

func expand(c *context) error {
	s, err := Broadcast(c.shape(0), c.target(1))
	if err != nil {
		return err
	}
	if n, ok := s.Dims(); ok && s != nil && len(c.elements(0)) == 1 {
		c.info.note(c.Output(0), repeat(c.elements(0), n))
	}
	return c.set(0, c.dtype(0), s)
}

func tile(c *context) error {
	s := c.shape(0)
	if s == nil {
		return c.set(0, c.dtype(0), nil)
	}
	times := c.elements(1)
	if times == nil {
		return c.set(0, c.dtype(0), unknownShape(len(s)))
	}
	if len(times) != len(s) {
		return fmt.Errorf("%d repeats for %s", len(times), s)
	}
	out := exprs(s)
	for i := range out {
		out[i] = out[i].Mul(times[i])
	}
	return c.set(0, c.dtype(0), dims(out))
}
