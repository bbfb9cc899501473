package rewrite

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	adapt(13, axesToInput, "Squeeze", "Unsqueeze", "ReduceSum")
	adapt(18, axesToInput, "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
		"ReduceLogSum", "ReduceLogSumExp")
	adapt(10, sliceToInputs, "Slice")
	adapt(10, topKToInput, "TopK")
	adapt(10, nothing, "Dropout") // the mask became boolean, which adaptable has seen to matter to nobody
	adapt(12, dropoutToInput, "Dropout")
	adapt(11, clipToInputs, "Clip")
	adapt(11, padToInputs, "Pad")
	adapt(11, scatterToElements, "Scatter")
	adapt(13, splitToInput, "Split")
	adapt(18, splitCount, "Split")
	adapt(13, softmaxToAxis, "Softmax", "LogSoftmax", "Hardmax")
}

func nothing(*pass, *graph.Node) error { return nil }

// adaptable checks what an adapter can't do, before anything is changed.
func adaptable(n *graph.Node, work []adapter, from int64) error {
	if len(work) == 0 {
		return nil
	}
	switch x := n.Input(0); {
	case n.Is("Dropout") && from < 10 && n.Output(1) != nil && len(n.Output(1).Uses()) > 0:
		return fmt.Errorf("its mask is read, and changes its type in version 10")
	case n.Is("Softmax", "LogSoftmax", "Hardmax") && x.Shape == nil && n.Int("axis", 1) != -1:
		return fmt.Errorf("the rank of %s is unknown; version 13 needs it to say which axes axis %d meant", x, n.Int("axis", 1))
	}
	return nil
}

// toInput gives the node a constant input and takes the attribute away.
func (p *pass) toInput(n *graph.Node, index int, attr string, t *graph.Tensor) error {
	b := p.g.Build(scope(n))
	v := b.Const(t)
	if b.Err() != nil {
		return b.Err()
	}
	n.SetInput(index, v)
	n.RemoveAttr(attr)
	return nil
}

// intsToInput moves an attribute of integers, when it is there, to an input.
func (p *pass) intsToInput(n *graph.Node, index int, attr string) error {
	a := n.Attr(attr)
	if a == nil {
		return nil
	}
	return p.toInput(n, index, attr, graph.TensorOf(nil, append([]int64{}, a.Ints...)))
}

func axesToInput(p *pass, n *graph.Node) error { return p.intsToInput(n, 1, "axes") }

func splitToInput(p *pass, n *graph.Node) error { return p.intsToInput(n, 1, "split") }

// splitCount: equal parts must be counted since version 18.
func splitCount(_ *pass, n *graph.Node) error {
	if n.Input(1) == nil {
		n.SetAttr(graph.IntAttr("num_outputs", int64(len(n.Outputs()))))
	}
	return nil
}

func sliceToInputs(p *pass, n *graph.Node) error {
	for i, attr := range []string{"starts", "ends", "axes"} {
		if err := p.intsToInput(n, i+1, attr); err != nil {
			return err
		}
	}
	return nil
}

func topKToInput(p *pass, n *graph.Node) error {
	return p.toInput(n, 1, "k", graph.TensorOf(nil, []int64{n.Int("k", 0)}))
}

// dropoutToInput keeps the ratio, which means nothing until someone sets the third input, training_mode.
func dropoutToInput(p *pass, n *graph.Node) error {
	return p.toInput(n, 1, "ratio", graph.Scalar(n.Float("ratio", 0.5)))
}

// clipToInputs: an absent bound stays absent. The bounds have the type of the input, float where that is unknown.
func clipToInputs(p *pass, n *graph.Node) error {
	dtype := n.Input(0).DType
	if dtype == graph.Undefined {
		dtype = graph.Float
	}
	for i, attr := range []string{"min", "max"} {
		a := n.Attr(attr)
		if a == nil {
			continue
		}
		if err := p.toInput(n, i+1, attr, graph.FloatScalar(dtype, float64(a.F))); err != nil {
			return err
		}
	}
	return nil
}

// padToInputs: an absent value means 0 in every version.
func padToInputs(p *pass, n *graph.Node) error {
	if err := p.intsToInput(n, 1, "pads"); err != nil {
		return err
	}
	a := n.Attr("value")
	if a == nil || n.Str("mode", "constant") != "constant" {
		n.RemoveAttr("value")
		return nil
	}
	dtype := n.Input(0).DType
	if dtype == graph.Undefined {
		dtype = graph.Float
	}
	return p.toInput(n, 2, "value", graph.FloatScalar(dtype, float64(a.F)))
}

func scatterToElements(_ *pass, n *graph.Node) error {
	n.Op = "ScatterElements"
	return nil
}

// softmaxToAxis: until version 12 the input was taken as a matrix [before axis, from axis on] whose rows were normalised, with
// axis 1 the default; since 13 one axis is, the last by default. They agree when the axis is the last, or the ones behind
// it have size 1; otherwise the matrix is made by Flatten.
func softmaxToAxis(p *pass, n *graph.Node) error {
	x, axis := n.Input(0), n.Int("axis", 1)
	rank := int64(x.Shape.Rank())
	if axis < 0 && rank >= 0 {
		axis += rank
	}
	last := rank < 0 || axis == rank-1
	for i := axis + 1; !last && i < rank; i++ {
		if d := x.Shape[i]; !d.Known() || d.N != 1 {
			break
		}
		last = i == rank-1
	}
	if last {
		if rank < 0 {
			axis = -1
		}
		n.SetAttr(graph.IntAttr("axis", axis))
		return nil
	}
	return p.replace(n.Output(0), []*graph.Node{n}, func(b *graph.Builder) *graph.Value {
		matrix := b.With(graph.IntAttr("axis", axis)).Op("Flatten", x)
		rows := b.With(graph.IntAttr("axis", -1)).Op(n.Op, matrix)
		return b.Op("Reshape", rows, b.Op("Shape", x))
	})
}
