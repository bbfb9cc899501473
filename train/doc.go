// Package train moves the trainable parameters of an injected model: it builds the training graph, feeds it batches through
// an [Executor], and keeps the best adapter and what resuming needs.
//
// The package knows neither onnxruntime nor the command line. Parameters and gradients are one flat vector each, so that the
// optimizer, clipping, accumulation and checkpoints know nothing of methods.
package train

import (
	"context"

	"github.com/peftgraph/peftgraph/graph"
)

// An Executor runs one graph. Fetches are names of graph outputs; the results are in their order. Both onnxruntime sessions
// and the reference evaluator are Executors.
type Executor interface {
	Run(ctx context.Context, feeds map[string]*graph.Tensor, fetches []string) ([]*graph.Tensor, error)
}
