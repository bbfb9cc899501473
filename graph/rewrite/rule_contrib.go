package rewrite

import "github.com/peftgraph/peftgraph/graph"

const microsoft = "com.microsoft"

// standard-gelu writes onnxruntime's Gelu, FastGelu and BiasGelu as Add and Gelu.
func init() {
	register(rule{"standard-gelu", []string{"com.microsoft.Gelu", "com.microsoft.FastGelu", "com.microsoft.BiasGelu"}, standardGelu})
}

// split-skip-layer-norm writes onnxruntime's SkipLayerNormalization as Add and LayerNormalization.
func init() {
	register(rule{"split-skip-layer-norm", []string{"com.microsoft.SkipLayerNormalization"}, splitSkipLayerNorm})
}

func standardGelu(p *pass, n *graph.Node) error {
	if p.g.Opset() < 20 {
		return p.miss(n, "opset %d has no Gelu", p.g.Opset())
	}
	return p.replace(n.Output(0), []*graph.Node{n}, func(b *graph.Builder) *graph.Value {
		x := n.Input(0)
		if bias := n.Input(1); bias != nil {
			x = b.Typed(b.Op("Add", x, bias), x.DType, x.Shape.Clone())
		}
		if n.Op == "FastGelu" {
			b = b.With(graph.StringAttr("approximate", "tanh"))
		}
		return b.Op("Gelu", x)
	})
}

// splitSkipLayerNorm: inputs x, skip, scale, shift, bias; output 0 is LayerNorm(x+skip+bias), output 3 the sum.
func splitSkipLayerNorm(p *pass, n *graph.Node) error {
	if p.g.Opset() < 17 {
		return p.miss(n, "opset %d has no LayerNormalization", p.g.Opset())
	}
	for _, i := range []int{1, 2} {
		if o := n.Output(i); o != nil && (len(o.Uses()) > 0 || o.IsOutput()) {
			return p.miss(n, "%q, a statistic, is read", o.Name())
		}
	}
	outs := []*graph.Value{n.Output(0)}
	if n.Output(3) != nil {
		outs = append(outs, n.Output(3))
	}
	return p.replaceAll(outs, []*graph.Node{n}, func(b *graph.Builder) []*graph.Value {
		x := n.Input(0)
		sum := b.Typed(b.Op("Add", x, n.Input(1)), x.DType, x.Shape.Clone())
		if bias := n.Input(4); bias != nil {
			sum = b.Typed(b.Op("Add", sum, bias), x.DType, x.Shape.Clone())
		}
		eps := graph.FloatAttr("epsilon", n.Float("epsilon", 1e-12))
		y := b.With(graph.IntAttr("axis", -1), eps).Op("LayerNormalization", sum, n.Input(2), n.Input(3))
		return []*graph.Value{y, sum}[:len(outs)]
	})
}
