package rewrite

import "github.com/peftgraph/peftgraph/graph"

// static-cast-like writes CastLike as the Cast that it is once types are known: what it takes the type from may be anything,
// and would otherwise count as something that the result depends on.
func init() { register(rule{"static-cast-like", []string{"CastLike"}, staticCastLike}) }

func staticCastLike(p *pass, n *graph.Node) error {
	to := n.Output(0).DType
	if to == graph.Undefined {
		return p.miss(n, "the type it casts to is not known")
	}
	return p.replace(n.Output(0), []*graph.Node{n}, func(b *graph.Builder) *graph.Value {
		return b.With(graph.IntAttr("to", int64(to))).Op("Cast", n.Input(0))
	})
}
