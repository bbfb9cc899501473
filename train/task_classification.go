package train

import "github.com/peftgraph/peftgraph/graph"

func init() {
	registerTask(Task{
		Name:      "classification",
		Summary:   "one label out of several for each text or pair of texts; cross entropy",
		LabelType: graph.Int64,
		Loss:      crossEntropy,
		Metrics:   []string{"accuracy", "f1", "mcc"},
	})
}

// crossEntropy is Σᵢ wᵢ · −log softmax(logitsᵢ)[labelᵢ]. The label is selected by comparing it with 0 … outputs−1, since
// Equal and Cast have kernels in every type and on every provider, and OneHot doesn't.
func crossEntropy(b *graph.Builder, logits, labels, weights *graph.Value, outputs int) *graph.Value {
	classes := make([]int64, outputs)
	for i := range classes {
		classes[i] = int64(i)
	}
	hit := b.Op("Equal", b.Op("Unsqueeze", labels, b.Ints(1)), b.Const(graph.TensorOf([]int64{1, int64(outputs)}, classes)))
	one := b.With(graph.IntAttr("to", int64(graph.Float))).Op("Cast", hit)
	logp := b.With(graph.IntAttr("axis", -1)).Op("LogSoftmax", logits)
	chosen := b.With(graph.IntAttr("keepdims", 0)).Op("ReduceSum", b.Op("Mul", logp, one), b.Ints(1))
	return b.Op("Neg", b.Op("ReduceSum", b.Op("Mul", chosen, weights), b.Ints(0)))
}
