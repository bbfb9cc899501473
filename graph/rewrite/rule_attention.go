package rewrite

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// split-attention writes the 4-D form of Attention-23 as its definition: softmax(q·kᵀ·scale + mask)·v. PyTorch's newer
// exporter writes Attention from opset 23 on; gradients and other exporters know the pieces.
func init() { register(rule{"split-attention", []string{"Attention"}, splitAttention}) }

func splitAttention(p *pass, n *graph.Node) error {
	q, k, v, mask := n.Input(0), n.Input(1), n.Input(2), n.Input(3)
	if err := p.plainAttention(n); err != nil {
		return err
	}
	head, _ := q.Shape[3:].Dims()
	scale := float64(n.Float("scale", float32(1/math.Sqrt(float64(head[0])))))
	return p.replace(n.Output(0), []*graph.Node{n}, func(b *graph.Builder) *graph.Value {
		kt := b.With(graph.IntsAttr("perm", 0, 1, 3, 2)).Op("Transpose", k)
		scores := b.Op("Mul", b.Op("MatMul", q, kt), b.Float(q.DType, scale))
		switch {
		case mask == nil:
		case mask.DType == graph.Bool:
			// The lowest number instead of the definition's −∞: the same result, and no NaN for a row without any key.
			scores = b.Op("Where", mask, scores, b.Float(q.DType, -math.MaxFloat32))
		default:
			scores = b.Op("Add", scores, mask)
		}
		return b.Op("MatMul", b.With(graph.IntAttr("axis", -1)).Op("Softmax", scores), v)
	})
}

// plainAttention fails for what the decomposition leaves out.
func (p *pass) plainAttention(n *graph.Node) error {
	q, k, v := n.Input(0), n.Input(1), n.Input(2)
	switch {
	case q.Shape.Rank() != 4 || k.Shape.Rank() != 4 || v.Shape.Rank() != 4:
		return p.miss(n, "it isn't the form with heads as an axis")
	case !q.Shape[3].Known() || !q.Shape[1].Same(k.Shape[1]) || q.DType != graph.Float && q.DType != graph.Double:
		return p.miss(n, "query %s and key %s: an unknown head size, shared heads or a half-precision type", q, k)
	case n.Int("is_causal", 0) != 0 || n.Float("softcap", 0) != 0:
		return p.miss(n, "it is causal, or caps the scores")
	case n.Input(4) != nil || n.Input(5) != nil || n.Input(6) != nil:
		return p.miss(n, "it has past keys or padding lengths")
	}
	for i := 1; i < len(n.Outputs()); i++ {
		if o := n.Output(i); o != nil && (len(o.Uses()) > 0 || o.IsOutput()) {
			return p.miss(n, "output %d is read", i)
		}
	}
	return nil
}
