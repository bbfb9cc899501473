//go:build unix

package main

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/runtime"
)

// chainLength is the number of products in the yardstick. A session of one product reads low and noisy, since its output is
// written to fresh memory each time.
const chainLength = 20

// chainGraph multiplies [rows, width] by constant matrices to inner columns, back to width, and so on: the shapes of a
// feed-forward block, and all of it matrix products.
func chainGraph(rows, width, inner int) (*graph.Graph, error) {
	g := graph.New("chain")
	g.Opsets[""] = 21
	x, err := g.AddInput("x", graph.Float, graph.ShapeOf(int64(rows), int64(width)))
	if err != nil {
		return nil, err
	}
	b, rng := g.Build("chain"), rand.New(rand.NewPCG(1, 2))
	in, out := width, inner
	for range chainLength {
		w := make([]float32, in*out)
		for i := range w {
			w[i] = float32((2*rng.Float64() - 1) * math.Sqrt(3/float64(in))) // of variance 1/in: products neither grow nor vanish
		}
		x = b.Op("MatMul", x, b.Const(graph.TensorOf([]int64{int64(in), int64(out)}, w)))
		in, out = out, in
	}
	if b.Err() != nil {
		return nil, b.Err()
	}
	g.AddOutput(x)
	return g, shape.Infer(g)
}

// chain returns the yardstick, with packed weights.
func (j job) chain(ctx context.Context, rt *runtime.Runtime, width, inner int) (*part, error) {
	g, err := chainGraph(j.Batch*j.Length, width, inner)
	if err != nil {
		return nil, err
	}
	flops, err := matmulFlops(g, nil)
	if err != nil {
		return nil, err
	}
	model, err := onnxfile.Marshal(g, onnxfile.Options{})
	if err != nil {
		return nil, err
	}
	s, err := rt.NewSession(ctx, model, runtime.Options{Name: "chain", Threads: j.Threads})
	if err != nil {
		return nil, err
	}
	x := make([]float32, j.Batch*j.Length*width)
	for i := range x {
		x[i] = float32(i%7) - 3
	}
	feeds := map[string]*graph.Tensor{"x": graph.TensorOf([]int64{int64(j.Batch * j.Length), int64(width)}, x)}
	return &part{name: "chain", flops: flops, calls: []call{{s, feeds, []string{g.Outputs()[0].Name()}}}}, nil
}
