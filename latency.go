package peftgraph

import (
	"context"
	"slices"
	"time"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/train/data"
)

// How long a latency is measured, for all models together, and how many runs a median wants however long or short they take.
const (
	measureFor = time.Second
	leastRuns  = 3
	mostRuns   = 200
)

// A Latency is how long onnxruntime takes for all outputs of a model, with its own session options.
type Latency struct {
	Alone       Timing `json:"alone"`   // batch size 1
	Batched     Timing `json:"batched"` // batches of the size asked for, or of all texts where there are fewer
	Threads     int    `json:"threads"` // that one operator may use; 0 is onnxruntime's default, one per physical core
	Provider    string `json:"provider"`
	Onnxruntime string `json:"onnxruntime"`
}

// A Timing is the median of runs on the same batch, whose texts are of median length.
type Timing struct {
	BatchSize int     `json:"batch_size"`
	Tokens    int     `json:"tokens"` // a text, padding included
	Runs      int     `json:"runs"`
	PerText   float64 `json:"ms_per_text"`
}

// measure times models in turn, so that what else the machine does meets all alike.
func (e *engine) measure(ctx context.Context, d *data.Dataset, batch int, sides ...side) ([]Latency, error) {
	progress := e.step("measuring latency")
	alone, err := timings(ctx, progress, d, 1, sides)
	if err != nil {
		return nil, err
	}
	batched, err := timings(ctx, progress, d, batch, sides)
	if err != nil {
		return nil, err
	}
	out := make([]Latency, len(sides))
	for i, s := range sides {
		out[i] = Latency{alone[i], batched[i], e.Threads, s.provider, e.Info().Version}
	}
	return out, nil
}

func timings(ctx context.Context, progress func(done, total int), d *data.Dataset, size int, sides []side) ([]Timing, error) {
	b := d.Batch(typical(d.Lengths(), size))
	feeds := make([]map[string]*graph.Tensor, len(sides))
	for i, s := range sides {
		var err error
		if feeds[i], err = s.feeds(b); err != nil {
			return nil, err
		}
	}
	took := make([][]time.Duration, len(sides))
	start := time.Now()
	for round := 0; round <= leastRuns || round <= mostRuns && time.Since(start) < measureFor; round++ {
		for i, s := range sides {
			before := time.Now()
			if _, err := s.exec.Run(ctx, feeds[i], s.outputs); err != nil {
				return nil, err
			}
			if round > 0 { // the first warms up
				took[i] = append(took[i], time.Since(before))
			}
		}
		progress(round, -1)
	}
	out := make([]Timing, len(sides))
	for i, t := range took {
		slices.Sort(t)
		out[i] = Timing{b.Size, b.Length, len(t), float64(t[len(t)/2].Nanoseconds()) / 1e6 / float64(b.Size)}
	}
	return out, nil
}

// typical returns the middle one of the full batches.
func typical(lengths []int, size int) []int {
	size = min(max(size, 1), len(lengths))
	return data.EvalOrder(lengths, size)[len(lengths)/size/2]
}
