// Package models knows what a BERT is: it recognises encoders in ONNX graphs by structure ([Recognise]) and builds them from
// checkpoints. An [Encoder] is a view of a graph: it points at the graph's own nodes and values and owns none of them.
package models

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// An Encoder is what recognition found in a graph: where each part of a BERT-family encoder is.
type Encoder struct {
	Graph  *graph.Graph
	Family string // registry name of the architecture: "bert", "roberta", "distilbert"
	// Prefix is the encoder's module path inside Hugging Face's task models: "bert." in AutoModelForSequenceClassification.
	Prefix string

	// Graph inputs. TokenTypeIDs and PositionIDs are nil when the graph has no such input.
	InputIDs, AttentionMask, TokenTypeIDs, PositionIDs *graph.Value

	Embeddings Embeddings
	Layers     []Layer

	// LastHidden is the encoder's output [batch, sequence, hidden].
	LastHidden *graph.Value
	// Pooler is act(dense(first token)) when the graph has one, tanh in BERT, relu before DistilBERT's classifier; Pooled is
	// its output [batch, hidden].
	Pooler           *Linear
	Pooled           *graph.Value
	PoolerActivation string
	// Classifier is the linear map to Logits when the file was exported with a head; Task says what it reads.
	Classifier *Linear
	Logits     *graph.Value
	Task       Task
	// Published is the graph's output that Logits are handed on to, rearranged in some files; a part of them where they are split.
	Published *graph.Value
	// Transform is what a masked language model has between LastHidden and Classifier, its decoder; nil for other heads.
	Transform *Transform

	Hidden, Heads, HeadDim, Intermediate int
	Vocab, MaxPositions, TypeVocab       int
	LayerNormEps                         float64
	Activation                           string // "gelu", "gelu_tanh", "relu", …
	// PositionOffset is the position id of the first token: 0 for BERT, padding_idx+1 for RoBERTa. MaxPositions is the rows of the
	// position embeddings, or how many tokens the table of distances serves.
	PositionOffset int
}

// Task is what the head that a file was exported with does.
type Task string

// The tasks that recognition tells apart by what the classifier reads.
const (
	NoTask                 Task = ""
	SequenceClassification Task = "sequence-classification" // reads Pooled or the first token
	TokenClassification    Task = "token-classification"    // reads every token
	QuestionAnswering      Task = "question-answering"      // reads every token; its two logits are split into start and end
	MaskedLM               Task = "masked-lm"               // a score for every word of the vocabulary at every token; no Classifier
	FeatureExtraction      Task = "feature-extraction"      // no classifier: the features themselves
)

// PerToken reports whether a head computes something for each token rather than for each text.
func (t Task) PerToken() bool {
	return t == TokenClassification || t == QuestionAnswering || t == MaskedLM
}

// A Transform is LayerNorm(act(dense(x))) of every token, the first half of a masked language model's head. Dense maps to the
// width of the word embeddings, of which the decoder's weight is often a copy.
type Transform struct {
	Dense      *Linear
	Activation string // as [Encoder.Activation]
	Norm       *Norm
}

// Embeddings is the part before the first layer: LayerNorm(word + position + token type).
type Embeddings struct {
	// The tables, [rows, hidden]. TokenType is nil where the family has none or where the exporter folded it away.
	Word, Position, TokenType *graph.Value
	// WordOut is word_embeddings(input_ids) [batch, sequence, hidden], before anything is added.
	WordOut *graph.Value
	Norm    Norm
	// Projection maps embeddings that are narrower than the layers (ELECTRA) to the layers' width; nil where there is none.
	Projection *Linear
}

// A Layer is one transformer layer. The three projections read Input.
type Layer struct {
	Input, Output                        *graph.Value // [batch, sequence, hidden]
	Query, Key, Value                    Linear
	Attention                            Attention
	AttentionOutput, Intermediate, Dense Linear // attention.output.dense, intermediate.dense, output.dense
	AttentionNorm, OutputNorm            Norm   // attention.output.LayerNorm, output.LayerNorm
	// ActivationOut is act(intermediate.dense(x)) [batch, sequence, intermediate].
	ActivationOut *graph.Value
}

// Attention is softmax(q·kᵀ·scale + mask)·v between the projections and attention.output.dense.
type Attention struct {
	// Node is the Softmax, or the Attention node of opset 23 that does all of this; there Scores, Masked and Probs are nil.
	Node *graph.Node
	// QueryHeads and ValueHeads are [batch, heads, sequence, head]. KeyHeads is [batch, heads, head, sequence] when
	// KeyTransposed, else [batch, heads, sequence, head]. All are the values that enter the two MatMuls, before the scaling
	// where that comes last.
	QueryHeads, KeyHeads, ValueHeads *graph.Value
	KeyTransposed                    bool
	// Scores is q·kᵀ [batch, heads, sequence, sequence], Masked what enters the softmax, Probs what is multiplied with the
	// values (past guards against rows that are masked everywhere), Context probs·v.
	Scores, Masked, Probs, Context *graph.Value
	// Mask is what is added to the scores (or selects among them), broadcast to the scores' shape; nil when there is none.
	// MaskNode is the Add, Where or Attention that applies it.
	Mask     *graph.Value
	MaskNode *graph.Node
	// PositionBias is a second term that is added to the scores and depends on positions only (MPNet); nil in most models.
	PositionBias *graph.Value
	// Distances is a learned table [2·positions-1, head] of the distances i-j between two tokens, and Relative what its products
	// with the queries (Hugging Face's relative_key) or with queries and keys (relative_key_query) add to the scores. Both are
	// nil where tokens have positions of their own, as in most models.
	Distances                      *graph.Value
	DistancesName                  string // "encoder.layer.0.attention.self.distance_embedding"
	Relative                       []*graph.Value
	RelativeToQuery, RelativeToKey bool
}

// A Linear is y = x·W + b, however the exporter wrote it.
type Linear struct {
	// Name is the module's path as Hugging Face has it: "encoder.layer.0.attention.self.query", without the model prefix.
	Name string
	// Input [batch, sequence, in] and Output [batch, sequence, out] (after the bias). Both are 2-D where the exporter
	// flattened the batch (Gemm), and in the pooler; they always have one rank.
	Input, Output *graph.Value
	// Weight is the initializer; it is [in, out] unless Transposed, then [out, in] as PyTorch stores it.
	Weight     *graph.Value
	Transposed bool
	Bias       *graph.Value // [out], or nil
	// BiasNode is the fused node (BiasGelu, SkipLayerNormalization) that adds Bias when it reads Output; Output is then
	// before the bias. nil when Output includes the bias.
	BiasNode *graph.Node
	In, Out  int
	// Nodes are the nodes that compute Output from Input, in order.
	Nodes []*graph.Node
}

// A Norm is a LayerNorm over the last axis, however the exporter wrote it.
type Norm struct {
	Name          string       // "encoder.layer.0.output.LayerNorm"
	Input, Output *graph.Value // Input is nil where Skip computes the sum that it normalises and nobody asks for it
	Scale, Bias   *graph.Value // [hidden]; Bias may be nil
	Eps           float64
	Nodes         []*graph.Node
	// Skip is the SkipLayerNormalization node that also adds the residual; nil when an Add before the Norm does.
	Skip *graph.Node
}

// Linears returns every linear map of the encoder in model order, a projection of the embeddings first, the pooler and the
// head's last.
func (e *Encoder) Linears() []*Linear {
	var out []*Linear
	if e.Embeddings.Projection != nil {
		out = append(out, e.Embeddings.Projection)
	}
	for i := range e.Layers {
		l := &e.Layers[i]
		out = append(out, &l.Query, &l.Key, &l.Value, &l.AttentionOutput, &l.Intermediate, &l.Dense)
	}
	for _, l := range []*Linear{e.Pooler, e.transform(), e.Classifier} {
		if l != nil {
			out = append(out, l)
		}
	}
	return out
}

// transform returns the first linear map of a masked language model's head, or nil.
func (e *Encoder) transform() *Linear {
	if e.Transform == nil {
		return nil
	}
	return e.Transform.Dense
}

// HeadLinears returns the linear maps of the head that the file was exported with: not the pooler, which is the encoder's.
func (e *Encoder) HeadLinears() []*Linear {
	return slices.DeleteFunc([]*Linear{e.transform(), e.Classifier}, func(l *Linear) bool { return l == nil })
}

// Norms returns every LayerNorm of the encoder in model order, without a head's.
func (e *Encoder) Norms() []*Norm {
	out := []*Norm{&e.Embeddings.Norm}
	for i := range e.Layers {
		out = append(out, &e.Layers[i].AttentionNorm, &e.Layers[i].OutputNorm)
	}
	return out
}
