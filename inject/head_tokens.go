package inject

import (
	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// HeadTokens reads every token.
const HeadTokens HeadKind = "tokens"

func init() {
	registerHead(&head{
		kind: HeadTokens, rank: 2, summary: "every token, for a task with an answer for each",
		tasks:    []models.Task{models.TokenClassification, models.QuestionAnswering},
		features: func(in *Injection, _ *graph.Patch) *graph.Value { return in.Current(in.Encoder.LastHidden) },
	})
}
