package shape

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

// Files come from anywhere: whatever a node's inputs, outputs and attributes are, a rule may fail and may not panic.
func TestMalformedNodes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, name := range Names() {
		for trial := range 300 {
			g := malformed(r, name)
			func() {
				defer func() {
					if p := recover(); p != nil {
						t.Errorf("trial %d of %s: %v\n%s", trial, name, p, g)
					}
				}()
				_ = Infer(g) // an error is as good as a shape
			}()
		}
	}
}

func malformed(r *rand.Rand, name string) *graph.Graph {
	g := graph.New("malformed")
	g.Opsets[""] = []int64{1, 7, 9, 11, 13, 18, 21}[r.IntN(7)]
	g.Opsets["com.microsoft"] = 1
	spec := graph.NodeSpec{Name: "n", Op: name}
	if domain, op, ok := strings.Cut(name, "microsoft."); ok {
		spec.Domain, spec.Op = domain+"microsoft", op
	}
	for i := range r.IntN(5) {
		spec.Inputs = append(spec.Inputs, oddInput(r, g, fmt.Sprint("x", i)))
	}
	for i := range r.IntN(4) {
		spec.Outputs = append(spec.Outputs, fmt.Sprint("y", i))
	}
	odd := []int64{-9, -1, 0, 1, 2, 3, 7, math.MaxInt64, math.MinInt64}
	number := func() int64 { return odd[r.IntN(len(odd))] }
	for _, a := range []string{"axis", "keepdims", "batch_dims", "start", "end", "k", "to", "dtype", "N", "allowzero", "q_num_heads", "kv_num_heads", "transA"} {
		if r.IntN(2) == 0 {
			spec.Attrs = append(spec.Attrs, graph.IntAttr(a, number()))
		}
	}
	for _, a := range []string{"axes", "perm", "split", "pads", "starts", "ends", "shape", "qkv_hidden_sizes", "value_ints"} {
		if list := []int64{}; r.IntN(2) == 0 {
			for range r.IntN(5) {
				list = append(list, number())
			}
			spec.Attrs = append(spec.Attrs, graph.IntsAttr(a, list...))
		}
	}
	spec.Attrs = append(spec.Attrs, graph.StringAttr("equation", []string{"", "ij,jk->ik", "i->j", ",,,", "ij->"}[r.IntN(5)]))
	if _, err := g.AddNode(spec); err != nil {
		panic(err)
	}
	return g
}

// oddInput is absent, or a graph input of unknown or strange shape, or a constant vector of strange integers.
func oddInput(r *rand.Rand, g *graph.Graph, name string) *graph.Value {
	var v *graph.Value
	switch r.IntN(4) {
	case 0:
		return nil
	case 1:
		data := []int64{-1, 0, 3, math.MaxInt64, math.MinInt64}[r.IntN(5):]
		v, _ = g.AddInitializer(name, graph.TensorOf(nil, data))
	default:
		shapes := []graph.Shape{nil, {}, {graph.UnknownDim()}, graph.ShapeOf(0), graph.ShapeOf(2, 3), graph.ShapeOf(math.MaxInt64, math.MaxInt64),
			{graph.Symbol("a"), graph.Symbol("b"), graph.Fixed(4)}, graph.ShapeOf(1, 1, 1, 1)}
		v, _ = g.AddInput(name, []graph.DType{graph.Undefined, graph.Float, graph.Int64}[r.IntN(3)], shapes[r.IntN(len(shapes))])
	}
	return v
}
