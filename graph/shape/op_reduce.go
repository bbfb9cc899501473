package shape

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", reduce(13, Expr.Add), "ReduceSum")
	register("", reduce(18, Expr.Mul), "ReduceProd")
	register("", reduce(18, Expr.Max), "ReduceMax")
	register("", reduce(18, Expr.Min), "ReduceMin")
	register("", reduce(18, nil), "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
	register("", argReduce, "ArgMax", "ArgMin")
	register("", topK, "TopK")
}

// reduce makes the rule of a reduction whose axes became an input at opset since; f folds tracked elements.
func reduce(since int64, f func(a, b Expr) Expr) rule {
	return func(c *context) error {
		s := c.shape(0)
		list, ok := c.axesArgument(since)
		keep := c.Int("keepdims", 1) != 0
		switch {
		case s == nil:
			return c.set(0, c.dtype(0), nil)
		case !ok && keep:
			return c.set(0, c.dtype(0), unknownShape(len(s)))
		case !ok:
			return c.set(0, c.dtype(0), nil)
		case len(list) == 0 && c.Int("noop_with_empty_axes", 0) != 0:
			return sameElements(c)
		}
		at, err := axes(list, len(s))
		if err != nil {
			return err
		}
		out := graph.Shape{}
		for i, d := range s {
			if len(at) > 0 && !slices.Contains(at, i) {
				out = append(out, d)
			} else if keep {
				out = append(out, graph.Fixed(1))
			}
		}
		if es := c.elements(0); len(es) > 0 && len(s) == 1 && f != nil {
			total := es[0]
			for _, e := range es[1:] {
				total = f(total, e)
			}
			c.info.note(c.Output(0), []Expr{total})
		}
		return c.set(0, c.dtype(0), out)
	}
}

func argReduce(c *context) error {
	s := c.shape(0)
	if s == nil {
		return c.set(0, graph.Int64, nil)
	}
	at, err := axis(c.Int("axis", 0), len(s))
	if err != nil {
		return err
	}
	out := s.Clone()
	if c.Int("keepdims", 1) != 0 {
		out[at] = graph.Fixed(1)
	} else {
		out = slices.Delete(out, at, at+1)
	}
	return c.set(0, graph.Int64, out)
}

func topK(c *context) error {
	out := c.shape(0).Clone()
	if out != nil {
		at, err := axis(c.Int("axis", -1), len(out))
		if err != nil {
			return err
		}
		out[at] = graph.UnknownDim()
		if es := c.elements(1); len(es) == 1 {
			out[at] = es[0].Dim()
		} else if c.opset < 10 {
			out[at] = Int(c.Int("k", -1)).Dim()
		}
	}
	if err := c.set(0, c.dtype(0), out); err != nil {
		return err
	}
	return c.set(1, graph.Int64, out)
}
