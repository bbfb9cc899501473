package inject

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
)

// Heads with a linear map of their own between the first token and the classifier.
const (
	HeadNewPooler     HeadKind = "new-pooler"     // the pooler, a trained copy of the model's own, or new where it has none
	HeadPreClassifier HeadKind = "pre-classifier" // the same with relu, as DistilBERT's classifier has it in Hugging Face's models
)

func init() {
	registerDense(HeadNewPooler, "the same, trained too: a copy of the model's own, or new where it has none", headDense{"pooler", "pooler.dense", "tanh"})
	registerDense(HeadPreClassifier, "the same with relu, as DistilBERT's classifier has it", headDense{"pre_classifier", "pre_classifier", "relu"})
}

func registerDense(kind HeadKind, summary string, d headDense) {
	registerHead(&head{
		kind: kind, summary: summary, tasks: []models.Task{models.SequenceClassification}, dense: &d,
		features: func(in *Injection, p *graph.Patch) *graph.Value {
			w, b := in.denseStart(p, &d)
			dense := p.With(graph.IntAttr("transB", 1)).Op("Gemm", in.firstToken(p), w, b)
			return p.Typed(activations[d.activation](p, dense), graph.Float, in.pooledShape())
		},
	})
}

// denseStart adds the parameters of the linear map [hidden, hidden]: the base's where it has one before the same activation,
// else N(0, 0.02²) and zeros.
func (in *Injection) denseStart(p *graph.Patch, d *headDense) (w, b *graph.Value) {
	n, how := int64(in.Encoder.Hidden), "normal(0.02)"
	tw := graph.TensorOf([]int64{n, n}, numeric.Normal(in.Rand(d.target), int(n*n), 0.02))
	tb := graph.TensorOf(nil, make([]float32, n))
	if base := in.Encoder.Pooler; base != nil && in.Encoder.PoolerActivation == d.activation {
		var err error
		if tw, tb, err = baseLinear(base); err != nil {
			p.Fail(fmt.Errorf("%s: %w", d.name, err))
			return nil, nil
		}
		how = "base"
	}
	w = in.Trainable(p, d.name+"/weight", Trainable{Target: d.target, Role: "weight", Init: how}, tw)
	b = in.Trainable(p, d.name+"/bias", Trainable{Target: d.target, Role: "bias", Init: how}, tb)
	return w, b
}
