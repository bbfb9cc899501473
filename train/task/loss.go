package task

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

// checkSmoothing refuses a share that label smoothing can't spread.
func checkSmoothing(share float64) error {
	if !(share >= 0 && share < 1) {
		return fmt.Errorf("--label-smoothing %v: must be at least 0 and below 1", share)
	}
	return nil
}

// weighted is Σ weights·x over all elements, [1].
func (l *Loss) weighted(x *graph.Value) *graph.Value {
	return l.With(graph.IntAttr("keepdims", 0)).Op("ReduceSum", l.Op("Reshape", l.Op("Mul", x, l.Weights), l.Ints(-1)), l.Ints(0))
}

// oneHot is 1 where a class index along the last axis is the target's, [..., classes]. The class is selected by comparing it
// with 0 … classes−1, since Equal and Cast have kernels in every type and on every provider, and OneHot doesn't.
func (l *Loss) oneHot(target *graph.Value, rank int, classes int) *graph.Value {
	indices := make([]int64, classes)
	for i := range indices {
		indices[i] = int64(i)
	}
	dims := make([]int64, rank)
	for i := range dims {
		dims[i] = 1
	}
	dims = append(dims, int64(classes))
	hit := l.Op("Equal", l.Op("Unsqueeze", target, l.Ints(int64(rank))), l.Const(graph.TensorOf(dims, indices)))
	return l.With(graph.IntAttr("to", int64(graph.Float))).Op("Cast", hit)
}

// logSoftmax is along the last axis.
func (l *Loss) logSoftmax(x *graph.Value) *graph.Value {
	return l.With(graph.IntAttr("axis", -1)).Op("LogSoftmax", x)
}

// sumLast sums over the last axis of a value of rank dimensions.
func (l *Loss) sumLast(x *graph.Value, rank int) *graph.Value {
	return l.With(graph.IntAttr("keepdims", 0)).Op("ReduceSum", x, l.Ints(int64(rank-1)))
}

// constant is a float of one element.
func (l *Loss) constant(x float64) *graph.Value { return l.Float(graph.Float, x) }

// crossEntropy is −Σ_c q_c·log softmax(logits)_c for each target of the given rank, where q is the target's class or, with
// smoothing ε, (1−ε)·class + ε/classes (Szegedy et al. 2016, in PyTorch's form).
func (l *Loss) crossEntropy(logits, target *graph.Value, rank int, smoothing float64) *graph.Value {
	logp := l.logSoftmax(logits)
	chosen := l.sumLast(l.Op("Mul", logp, l.oneHot(target, rank, l.Outputs)), rank+1)
	if smoothing == 0 {
		return l.Op("Neg", chosen)
	}
	all := l.Op("Mul", l.sumLast(logp, rank+1), l.constant(-smoothing/float64(l.Outputs)))
	return l.Op("Sub", all, l.Op("Mul", chosen, l.constant(1-smoothing)))
}
