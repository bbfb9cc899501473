package models

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/shape"
)

// LabelsKey is the metadata entry that holds a classifier's labels as config.json has them: {"0": "negative", …}.
const LabelsKey = "id2label"

// BuildOptions say what [Build] writes. The zero value is the whole checkpoint at opset 17.
type BuildOptions struct {
	Opset int64 // 11 to 21; 0 is 17, the first with LayerNormalization
	// EncoderOnly leaves out the pooler and the classifier that the checkpoint has.
	EncoderOnly bool
}

const defaultOpset, minOpset, maxOpset = 17, 11, 21

// Build makes the ONNX graph of the encoder in a Hugging Face checkpoint folder: config.json and model.safetensors, or the
// shards of model.safetensors.index.json. Inputs are input_ids, attention_mask and, where the family has them,
// token_type_ids, int64 [batch, sequence]; outputs are last_hidden_state [batch, sequence, hidden], pooler_output
// [batch, hidden] where the checkpoint has a pooler, and logits where it was fine-tuned as a classifier of sequences
// [batch, labels] or tokens [batch, sequence, labels], whose label names then are in the metadata. Other heads, such as a
// language model's, are left out. Parameters have the names that Hugging Face's model gives them.
//
// The tensors stay in model.safetensors: a weight is kept [out, in], as PyTorch stores it, and read by Gemm with transB.
// Saved with onnxfile.Reference in the checkpoint's folder, the model takes a few kilobytes beside the weights; saved
// self-contained it is one whole file. A MatMul would need a transposed copy of every weight: in the file or, behind a
// Transpose, on onnxruntime's heap. Nor would it be faster. In the processor time of a 6-layer encoder of width 384 on
// onnxruntime, interleaved in one process, Gemm takes 1.00 of MatMul's at 8×128 tokens, prepacked or not, and 1.03 prepacked
// and 0.94 not at 1×32, where MatMul behind a Transpose takes 1.01 to 1.06; outputs are equal to the bit.
//
// Tensors of another floating type than float are converted, and then are in memory.
func Build(dir string, opt BuildOptions) (*graph.Graph, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	w, err := openCheckpoint(dir, families[c.Family].prefix)
	if err != nil {
		return nil, fmt.Errorf("models: build %s: %w", dir, err)
	}
	g, err := build(c, w, opt)
	if err != nil {
		return nil, fmt.Errorf("models: build %s: %w", dir, err)
	}
	return g, nil
}

// BuildRandom makes the graph of a model of that architecture as it is before any training, for tests and benchmarks. The
// same seed gives the same weights.
func BuildRandom(c Config, seed uint64, opt BuildOptions) (*graph.Graph, error) {
	g, err := build(c, randomWeights{rand.New(rand.NewPCG(seed, 0))}, opt)
	if err != nil {
		return nil, fmt.Errorf("models: build a random %s: %w", c.Family, err)
	}
	return g, nil
}

func build(c Config, w weights, opt BuildOptions) (*graph.Graph, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if opt.Opset == 0 {
		opt.Opset = defaultOpset
	}
	if opt.Opset < minOpset || opt.Opset > maxOpset {
		return nil, fmt.Errorf("opset %d: want %d to %d", opt.Opset, minOpset, maxOpset)
	}
	if opt.EncoderOnly {
		c.Task, c.Labels = NoTask, nil
	}
	e := newEmitter(c, w, opt)
	e.encoder()
	if err := e.err(); err != nil {
		return nil, err
	}
	if err := e.describe(); err != nil {
		return nil, err
	}
	// Sizes are symbols of the inputs' batch and sequence throughout.
	return e.g, shape.Infer(e.g)
}

// describe puts the labels into the metadata.
func (e *emitter) describe() error {
	e.g.Producer = "peftgraph"
	if e.c.Task == NoTask {
		return nil
	}
	names := map[string]string{}
	for i, name := range e.c.Labels {
		names[strconv.Itoa(i)] = name
	}
	text, err := json.Marshal(names)
	if err != nil {
		return err
	}
	e.g.SetMeta(LabelsKey, string(text))
	return nil
}
