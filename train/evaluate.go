package train

import (
	"context"
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train/data"
)

// A Predictor computes logits with a graph that has the model's inputs and its logits output.
type Predictor struct {
	Exec  Executor
	Graph *graph.Graph // declares the inputs
	Plan  *inject.Plan
	// Params, where the graph has [ParamsInput], are the flat parameters to use.
	Params []float32
}

// Predict returns the logits of every example in the data set's order, [examples, outputs]. progress, when set, is told how
// many examples are done.
func (p *Predictor) Predict(ctx context.Context, d *data.Dataset, batchSize int, progress func(done, total int)) (Predictions, error) {
	outputs := p.Plan.Task.Outputs()
	out := Predictions{Logits: make([]float32, len(d.Encodings)*outputs), Outputs: outputs, Labels: labels(d)}
	done := 0
	for _, indices := range data.EvalOrder(d.Lengths(), batchSize) {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		b := d.Batch(indices)
		logits, err := p.batch(ctx, b)
		if err != nil {
			return out, err
		}
		if len(logits) != b.Size*outputs {
			return out, fmt.Errorf("train: output %q has %d elements for %d examples and %d outputs", p.Plan.Logits, len(logits), b.Size, outputs)
		}
		for row, i := range b.Indices {
			copy(out.Logits[i*outputs:(i+1)*outputs], logits[row*outputs:(row+1)*outputs])
		}
		if done += b.Size; progress != nil {
			progress(done, len(d.Encodings))
		}
	}
	return out, nil
}

func (p *Predictor) batch(ctx context.Context, b *data.Batch) ([]float32, error) {
	feeds, err := TokenFeeds(p.Graph, p.Plan.Encoder, b)
	if err != nil {
		return nil, err
	}
	if p.Params != nil {
		feeds[ParamsInput] = graph.TensorOf(nil, p.Params)
	}
	res, err := p.Exec.Run(ctx, feeds, []string{p.Plan.Logits})
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return answers(res[0], p.Plan.Logits)
}

// A NotFiniteError says that a model's answer is no number.
type NotFiniteError struct{ Output string }

func (e *NotFiniteError) Error() string {
	return fmt.Sprintf("train: output %q is not a finite number", e.Output)
}

// Hint says what to try.
func (e *NotFiniteError) Hint() string {
	return "the adapter has diverged or doesn't fit the base: train again with a lower --lr"
}

// answers reads what a model computed, and refuses what is no number.
func answers(t *graph.Tensor, output string) ([]float32, error) {
	out, err := float32s(t)
	if err == nil && !allFinite(out) {
		err = &NotFiniteError{output}
	}
	return out, err
}

// float32s reads a tensor of either floating type: the reference evaluator computes in float64.
func float32s(t *graph.Tensor) ([]float32, error) {
	if t.DType == graph.Float {
		return graph.Data[float32](t)
	}
	wide, err := graph.Data[float64](t)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	out := make([]float32, len(wide))
	for i, v := range wide {
		out[i] = float32(v)
	}
	return out, nil
}

// labels returns the data set's labels or scores; nil when it has neither.
func labels(d *data.Dataset) []float64 {
	var out []float64
	for _, l := range d.Labels {
		out = append(out, float64(l))
	}
	for _, s := range d.Scores {
		out = append(out, float64(s))
	}
	return out
}
