package inject

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// HeadMean is the mean over the tokens that the attention mask admits.
const HeadMean HeadKind = "mean"

func init() {
	registerHead(&head{
		kind: HeadMean, rank: 3, summary: "the mean of a text's tokens",
		tasks: []models.Task{models.SequenceClassification, models.FeatureExtraction},
		fits: func(e *models.Encoder, _ Task) error {
			if e.AttentionMask == nil {
				return fmt.Errorf("the model has no attention mask input; use cls or pooler")
			}
			return nil
		},
		features: func(in *Injection, p *graph.Patch) *graph.Value {
			return p.Typed(in.mean(p, in.Current(in.Encoder.LastHidden)), graph.Float, in.pooledShape())
		},
	})
}

// mean is Σ mask·h / max(Σ mask, 1e-9) over the tokens, as sentence-transformers pools, in operators that mean the same at
// every operator set from 7 on.
func (in *Injection) mean(p *graph.Patch, hidden *graph.Value) *graph.Value {
	mask := in.Encoder.AttentionMask
	m := p.With(graph.IntAttr("to", int64(graph.Float))).Op("Cast", mask)
	row := p.Op("Reshape", m, p.Ints(0, 1, -1))
	count := p.Op("MatMul", row, p.Op("Reshape", m, p.Ints(0, -1, 1)))
	sum := p.Op("MatMul", row, hidden)
	mean := p.Op("Div", sum, p.Op("Max", count, p.Float(graph.Float, 1e-9)))
	return p.Op("Reshape", mean, p.Ints(-1, int64(in.Encoder.Hidden)))
}
