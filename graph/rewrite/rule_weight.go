package rewrite

import "github.com/peftgraph/peftgraph/graph"

// untranspose-weight makes x·Wᵀ read W itself: onnxruntime folds a Transpose of a constant into a second copy of it on the
// heap. Matrices go to Gemm(transB=1); tensors of higher rank to com.microsoft.FusedMatMul(transB=1) where the options
// allow it, and stay as they are otherwise, since reshaping to a matrix and back costs nodes for both directions.
func init() { register(rule{"untranspose-weight", []string{"MatMul"}, untransposeWeight}) }

func untransposeWeight(p *pass, n *graph.Node) error {
	x, t := n.Input(0), n.Input(1).Producer()
	if !t.Is("Transpose") {
		return p.miss(n, "its second input is not transposed")
	}
	w := t.Input(0)
	perm := t.Ints("perm")
	if p.constant(w) == nil || len(w.Shape) != 2 || perm != nil && perm[0] != 1 {
		return p.miss(t, "%s is no constant matrix whose axes are swapped", w)
	}
	op, domain := "Gemm", ""
	if x.Shape.Rank() != 2 {
		if !p.opts.Contrib || x.Shape.Rank() < 2 {
			return p.miss(n, "%s is no matrix, and operators outside of ai.onnx are not allowed", x)
		}
		op, domain = "FusedMatMul", microsoft
		if p.g.Opsets[microsoft] == 0 {
			p.g.Opsets[microsoft] = 1
		}
	}
	return p.replace(n.Output(0), []*graph.Node{n}, func(b *graph.Builder) *graph.Value {
		return b.In(domain).With(graph.IntAttr("transB", 1)).Op(op, x, w)
	})
}
