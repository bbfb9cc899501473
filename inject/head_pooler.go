package inject

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// HeadPooler is tanh(dense(first token)), the model's own pooler, frozen.
const HeadPooler HeadKind = "pooler"

func init() {
	registerHead(&head{
		kind: HeadPooler, rank: 4, summary: "tanh of a linear map of the first token, the model's own pooler, frozen",
		tasks:       []models.Task{models.SequenceClassification, models.FeatureExtraction},
		readsPooler: true, instead: HeadNewPooler,
		fits: func(e *models.Encoder, _ Task) error {
			if e.Pooled == nil {
				return fmt.Errorf("the model has no pooler; use new-pooler, cls or mean")
			}
			return nil
		},
		features: func(in *Injection, _ *graph.Patch) *graph.Value { return in.Current(in.Encoder.Pooled) },
	})
}
