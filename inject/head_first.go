package inject

import (
	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// HeadCLS is the first token.
const HeadCLS HeadKind = "cls"

func init() {
	registerHead(&head{
		kind: HeadCLS, rank: 5, summary: "the first token",
		tasks:    []models.Task{models.SequenceClassification, models.FeatureExtraction},
		features: func(in *Injection, p *graph.Patch) *graph.Value { return in.firstToken(p) },
	})
}
