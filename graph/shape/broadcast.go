package shape

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// Broadcast returns the shape that ONNX's multidirectional broadcasting gives, nil when a rank is unknown. Two different
// names give an unknown dimension: either may turn out to be 1. A pair of numbers that don't broadcast is an error.
func Broadcast(shapes ...graph.Shape) (graph.Shape, error) {
	rank := 0
	for _, s := range shapes {
		if s == nil {
			return nil, nil
		}
		rank = max(rank, len(s))
	}
	out := make(graph.Shape, rank)
	for i := range out {
		d := graph.Fixed(1)
		for _, s := range shapes {
			if k := i - rank + len(s); k >= 0 {
				var err error
				if d, err = broadcastDim(d, s[k]); err != nil {
					return nil, fmt.Errorf("shapes %v don't broadcast: %w", shapes, err)
				}
			}
		}
		out[i] = d
	}
	return out, nil
}

func broadcastDim(a, b graph.Dim) (graph.Dim, error) {
	one := graph.Fixed(1)
	switch {
	case a.Same(b) || b.Same(one):
		return a, nil
	case a.Same(one):
		return b, nil
	case a.Known() && b.Known():
		return a, fmt.Errorf("%d and %d differ", a.N, b.N)
	case a.Known():
		return a, nil
	case b.Known():
		return b, nil
	case a.Sym != "" && minOf(b, a):
		return a, nil
	case b.Sym != "" && minOf(a, b):
		return b, nil
	}
	return graph.UnknownDim(), nil
}

// minOf reports whether m is min(…, d): against d it can only broadcast when both are equal. Position tables give that
// form, sliced to the sequence's length.
func minOf(m, d graph.Dim) bool {
	fn, args, ok := splitCall(m.Sym)
	return ok && fn == "min" && slices.ContainsFunc(args, func(e Expr) bool { return e.Dim().Same(d) })
}
