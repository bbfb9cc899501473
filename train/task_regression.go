package train

import "github.com/peftgraph/peftgraph/graph"

func init() {
	registerTask(Task{
		Name:      "regression",
		Summary:   "one number for each text or pair of texts; squared error",
		LabelType: graph.Float,
		Loss:      squaredError,
		Metrics:   []string{"pearson", "spearman"},
	})
}

// squaredError is Σᵢ wᵢ · (logitsᵢ − labelᵢ)².
func squaredError(b *graph.Builder, logits, labels, weights *graph.Value, _ int) *graph.Value {
	d := b.Op("Sub", b.Op("Squeeze", logits, b.Ints(1)), labels)
	return b.Op("ReduceSum", b.Op("Mul", b.Op("Mul", d, d), weights), b.Ints(0))
}
