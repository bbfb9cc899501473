package inject

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
)

// Heads of a masked language model: decoder(LayerNorm(gelu(dense(x)))) for each token, an output for each word of the vocabulary
// (Devlin et al. 2019, as Hugging Face's BertLMPredictionHead has it).
const (
	HeadLM      HeadKind = "lm"       // a new one, for encoders without
	HeadOwnLM   HeadKind = "own-lm"   // the file's own, frozen
	HeadTunedLM HeadKind = "tuned-lm" // the file's own; all of it trains but the decoder's weight, which mostly is the embeddings'
)

func init() {
	tasks := []models.Task{models.MaskedLM}
	hidden := func(in *Injection, _ *graph.Patch) *graph.Value { return in.Current(in.Encoder.LastHidden) }
	vocabulary := func(e *models.Encoder) int { return e.Vocab }
	own := func(e *models.Encoder, _ Task) error {
		if e.Task != models.MaskedLM {
			return fmt.Errorf("the model was exported without a masked language model's head; use %s", HeadLM)
		}
		return nil
	}
	registerHead(&head{
		kind: HeadOwnLM, rank: 1, own: true, summary: "the masked language model's head that the model was exported with, frozen",
		tasks: tasks, features: hidden, width: vocabulary, fits: own,
		outputs: func(in *Injection, _ *graph.Patch, _ *graph.Value) *graph.Value { return in.Encoder.Published },
	})
	registerHead(&head{
		kind: HeadTunedLM, summary: "the same, trained further but for the decoder's weight",
		tasks: tasks, features: hidden, width: vocabulary, fits: own,
		outputs: func(in *Injection, p *graph.Patch, _ *graph.Value) *graph.Value {
			if err := in.tuneLM(); err != nil {
				p.Fail(err)
			}
			return in.Encoder.Published
		},
	})
	registerHead(&head{
		kind: HeadLM, rank: 6, summary: "a new masked language model's head, whose decoder is the model's own word embeddings",
		tasks: tasks, features: hidden, width: vocabulary,
		fits: func(e *models.Encoder, _ Task) error {
			if w := e.Embeddings.Word; w == nil || w.Init() == nil || w.DType != graph.Float || len(w.Init().Dims) != 2 {
				return fmt.Errorf("the model's word embeddings are not a table of float32, which the decoder would be")
			}
			return nil
		},
		outputs: (*Injection).newLM,
	})
}

// tuneLM trains copies of the head's parameters, without the decoder's weight.
func (in *Injection) tuneLM() error {
	t, decoder := in.Encoder.Transform, in.Encoder.Classifier
	if err := in.trainLinear(t.Dense); err != nil {
		return err
	}
	if err := in.trainNorm(t.Norm); err != nil || decoder.Bias == nil {
		return err
	}
	return in.trainCopy(decoder.Bias, Trainable{Target: decoder.Name, Role: "bias"}, linearNodes(decoder))
}

// newLM returns the logits [batch, tokens, vocabulary]. The decoder reads the word embeddings' table itself, or the copy of it
// that trains, so that no second one is stored; the transform ends at the table's width, which ELECTRA has narrower than the layers.
func (in *Injection) newLM(p *graph.Patch, x *graph.Value) *graph.Value {
	e := in.Encoder
	table := in.parameter(wordEmbeddings, e.Embeddings.Word)
	vocab, width := e.Embeddings.Word.Init().Dims[0], e.Embeddings.Word.Init().Dims[1]
	filled := func(n int64, v float32) *graph.Tensor {
		return graph.TensorOf(nil, slices.Repeat([]float32{v}, int(n)))
	}
	add := func(name, target, role, how string, t *graph.Tensor) *graph.Value {
		return in.Trainable(p, name, Trainable{Target: target, Role: role, Init: how}, t)
	}
	start := numeric.Normal(in.Rand("transform.dense"), int(width)*e.Hidden, 0.02)
	w := add("transform/weight", "transform.dense", "weight", "normal(0.02)", graph.TensorOf([]int64{width, int64(e.Hidden)}, start))
	b := add("transform/bias", "transform.dense", "bias", "zeros", filled(width, 0))
	scale := add("norm/weight", "transform.LayerNorm", "weight", "ones", filled(width, 1))
	shift := add("norm/bias", "transform.LayerNorm", "bias", "zeros", filled(width, 0))
	bias := add("bias", "classifier", "bias", "zeros", filled(vocab, 0))

	y := p.Op("Add", p.Op("MatMul", x, p.With(graph.IntsAttr("perm", 1, 0)).Op("Transpose", w)), b)
	y = in.normalized(p, gelu(p, y), scale, shift, e.LayerNormEps)
	// Gemm takes the table as it lies; MatMul would want it transposed, which is a copy.
	logits := p.With(graph.IntAttr("transB", 1)).Op("Gemm", p.Op("Reshape", y, p.Ints(-1, width)), table, bias)
	size := p.With(graph.IntAttr("axis", 0)).Op("Concat", p.Op("Gather", p.Op("Shape", y), p.Ints(0, 1)), p.Ints(vocab))
	return p.Typed(p.Op("Reshape", logits, size), graph.Float, append(in.tokens(), graph.Fixed(vocab)))
}
