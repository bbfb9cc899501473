package shape

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", gather, "Gather")
	register("", gatherElements, "GatherElements")
	register("", gatherND, "GatherND")
	register("", nonZero, "NonZero")
}

func gather(c *context) error {
	s, at := c.shape(0), c.shape(1)
	if s == nil || at == nil {
		return c.set(0, c.dtype(0), nil)
	}
	a, err := axis(c.Int("axis", 0), len(s))
	if err != nil {
		return err
	}
	if len(s) == 1 {
		c.pickElements()
	}
	return c.set(0, c.dtype(0), joinDims(s[:a], at, s[a+1:]))
}

// joinDims concatenates; the result is never nil, since that would mean an unknown rank.
func joinDims(parts ...graph.Shape) graph.Shape {
	out := graph.Shape{}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// pickElements tracks what a Gather of a tracked vector picks.
func (c *context) pickElements() {
	es := c.elements(0)
	picks, ok := c.ints(1)
	if es == nil || !ok {
		return
	}
	out := make([]Expr, len(picks))
	for i, p := range picks {
		if p < 0 {
			p += int64(len(es))
		}
		if p >= 0 && p < int64(len(es)) {
			out[i] = es[p]
		}
	}
	c.info.note(c.Output(0), out)
}

func gatherElements(c *context) error { return c.set(0, c.dtype(0), c.shape(1)) }

func gatherND(c *context) error {
	s, at := c.shape(0), c.shape(1)
	if len(s) == 0 || len(at) == 0 || !at[len(at)-1].Known() {
		return c.set(0, c.dtype(0), nil)
	}
	last := int(c.Int("batch_dims", 0)) + int(at[len(at)-1].N)
	if last > len(s) || last < 0 {
		return fmt.Errorf("indices %s don't fit %s", at, s)
	}
	return c.set(0, c.dtype(0), joinDims(at[:len(at)-1], s[last:]))
}

// nonZero has as many columns as the input has non-zero elements: known for a constant fill, which is how old exporters
// count from 0 to n (NonZero of ConstantOfShape).
func nonZero(c *context) error {
	s := c.shape(0)
	if s == nil {
		return c.set(0, graph.Int64, unknownShape(2))
	}
	count := Expr{}
	if p := c.Input(0).Producer(); p.Is("ConstantOfShape") {
		count = Int(0)
		if a := p.Attr("value"); a != nil && a.T != nil {
			if fill := constantElements(a.T); len(fill) == 1 && isTrue(fill[0]) {
				count = product(exprs(s))
			}
		}
	}
	return c.set(0, graph.Int64, dims([]Expr{Int(int64(len(s))), count}))
}
