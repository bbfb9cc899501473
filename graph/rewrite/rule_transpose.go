package rewrite

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// direct-transpose makes one Transpose of the last two axes out of Reshape to three axes, Transpose, Reshape back to four: so
// PyTorch's newer exporter writes kᵀ in scaled dot-product attention.
func init() { register(rule{"direct-transpose", []string{"Reshape"}, directTranspose}) }

// merge-transposes makes one Transpose of two in a row.
func init() { register(rule{"merge-transposes", []string{"Transpose"}, mergeTransposes}) }

func directTranspose(p *pass, root *graph.Node) error {
	m := p.match()
	m.take(root)
	swap := m.producer(root, root.Input(0), "Transpose")
	if swap == nil {
		return m.failure
	}
	flat := m.producer(swap, swap.Input(0), "Reshape")
	if flat == nil {
		return m.failure
	}
	x, out := flat.Input(0), root.Output(0)
	if !slices.Equal(swap.Ints("perm"), []int64{0, 2, 1}) {
		return p.miss(swap, "it permutes %v, not the last two of three axes", swap.Ints("perm"))
	}
	if len(x.Shape) != 4 || !sameDims(swap.Input(0).Shape[1:], x.Shape[2:]) ||
		!sameDims(out.Shape, graph.Shape{x.Shape[0], x.Shape[1], x.Shape[3], x.Shape[2]}) {
		return p.miss(root, "it makes %s of %s by way of %s", out.Shape, x.Shape, swap.Input(0).Shape)
	}
	if !m.closed(out) {
		return m.failure
	}
	return p.replace(out, m.cluster, func(b *graph.Builder) *graph.Value {
		return b.With(graph.IntsAttr("perm", 0, 1, 3, 2)).Op("Transpose", x)
	})
}

func sameDims(a, b graph.Shape) bool { return slices.EqualFunc(a, b, graph.Dim.Same) }

func mergeTransposes(p *pass, root *graph.Node) error {
	m := p.match()
	m.take(root)
	first := m.producer(root, root.Input(0), "Transpose")
	if first == nil || !m.closed(root.Output(0)) {
		return m.failure
	}
	inner, outer := first.Ints("perm"), root.Ints("perm")
	if inner == nil || len(inner) != len(outer) {
		return p.miss(root, "perm is left to its default")
	}
	perm := make([]int64, len(outer))
	for i, a := range outer {
		perm[i] = inner[a]
	}
	return p.replace(root.Output(0), m.cluster, func(b *graph.Builder) *graph.Value {
		return b.With(graph.IntsAttr("perm", perm...)).Op("Transpose", first.Input(0))
	})
}
