package rewrite

import "github.com/peftgraph/peftgraph/graph"

// static-reshape gives a Reshape a constant target where its computed one copies sizes of the input (0) and has at most
// one other size that isn't a number (-1). The Shape, Gather and Concat that computed it then have no reader.
func init() { register(rule{"static-reshape", []string{"Reshape"}, staticReshape}) }

func staticReshape(p *pass, n *graph.Node) error {
	in, target := n.Input(0), n.Input(1)
	if target == nil || p.constant(target) != nil {
		return p.miss(n, "its target is constant already")
	}
	es, ok := p.info.Elements(target)
	if !ok || in.Shape == nil {
		return p.miss(n, "its target or its input is unknown: %s of %s", target, in)
	}
	sizes := make([]int64, len(es))
	rest := 0
	for i, e := range es {
		size, fixed := e.Const()
		switch {
		case fixed && size > 0:
			sizes[i] = size
		case i < len(in.Shape) && e.Known() && e.Dim().Same(in.Shape[i]):
			sizes[i] = 0
		case fixed && size == 0:
			return p.miss(n, "size %d of the target is 0", i)
		default:
			sizes[i] = -1
			rest++
		}
	}
	if rest > 1 {
		return p.miss(n, "the target %v has %d sizes that are neither numbers nor the input's, %s", es, rest, in.Shape)
	}
	b := p.g.Build(scope(n))
	c := b.Ints(sizes...)
	if b.Err() != nil {
		return b.Err()
	}
	n.SetInput(1, c)
	n.RemoveAttr("allowzero")
	return nil
}
