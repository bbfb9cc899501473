//go:build unix

package main

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/shape"
)

// matmulFlops counts the floating-point operations of all matrix products in a graph, 2·M·N·K each, for the sizes of its
// named dimensions. A product of unknown size is an error, so that none is left out.
func matmulFlops(g *graph.Graph, sizes map[string]int64) (float64, error) {
	total := 0.0
	for _, n := range g.Nodes() {
		if n.Op != "MatMul" && n.Op != "Gemm" && n.Op != "FusedMatMul" {
			continue
		}
		a := n.Input(0).Shape
		depth := len(a) - 1
		if n.Int("transA", 0) != 0 {
			depth--
		}
		if depth < 0 {
			return 0, fmt.Errorf("%s: the shape of %s is not known", n, n.Input(0))
		}
		flops := 2.0
		for _, d := range append(graph.Shape{a[depth]}, n.Output(0).Shape...) {
			size, ok := shape.FromDim(d).Eval(sizes)
			if !ok {
				return 0, fmt.Errorf("%s: dimension %s of %s is not known", n, d, n.Output(0))
			}
			flops *= float64(size)
		}
		total += flops
	}
	return total, nil
}
