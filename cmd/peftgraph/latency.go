package main

import (
	"context"
	"fmt"
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

// A latency is how long onnxruntime takes for all outputs of a model, with its own session options.
type latency struct {
	Alone       timing `json:"alone"`   // batch size 1
	Batched     timing `json:"batched"` // batches of --eval-batch-size, or of all texts where there are fewer
	Threads     int    `json:"threads"` // that one operator may use; 0 is onnxruntime's default, one per physical core
	Provider    string `json:"provider"`
	Onnxruntime string `json:"onnxruntime"`
}

// A timing is the median of runs on the same batch, whose texts are of median length.
type timing struct {
	BatchSize int     `json:"batch_size"`
	Tokens    int     `json:"tokens"` // a text, padding included
	Runs      int     `json:"runs"`
	PerText   float64 `json:"ms_per_text"`
}

// measure times models in turn, so that what else the machine does meets all alike.
func (e *engine) measure(ctx context.Context, o *console, d *data.Dataset, batch int, sides ...side) ([]latency, error) {
	bar := o.bar("measuring latency", false)
	defer bar.end()
	alone, err := timings(ctx, bar, d, 1, sides)
	if err != nil {
		return nil, err
	}
	batched, err := timings(ctx, bar, d, batch, sides)
	if err != nil {
		return nil, err
	}
	out := make([]latency, len(sides))
	for i, s := range sides {
		out[i] = latency{alone[i], batched[i], e.threads, s.provider, e.Info().Version}
	}
	return out, nil
}

func timings(ctx context.Context, bar *bar, d *data.Dataset, size int, sides []side) ([]timing, error) {
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
		bar.at(int64(round), -1, "")
	}
	out := make([]timing, len(sides))
	for i, t := range took {
		slices.Sort(t)
		out[i] = timing{b.Size, b.Length, len(t), float64(t[len(t)/2].Nanoseconds()) / 1e6 / float64(b.Size)}
	}
	return out, nil
}

// typical returns the middle one of the full batches.
func typical(lengths []int, size int) []int {
	size = min(max(size, 1), len(lengths))
	return data.EvalOrder(lengths, size)[len(lengths)/size/2]
}

// text is the latency's numbers, and conditions what they were measured with.
func (l latency) text() string {
	return fmt.Sprintf("%.3g ms for a text alone, %.3g ms a text in batches of %d", l.Alone.PerText, l.Batched.PerText, l.Batched.BatchSize)
}

func (l latency) conditions() string {
	threads := "threads: one per physical core"
	if l.Threads > 0 {
		threads = fmt.Sprintf("threads: %d", l.Threads)
	}
	return fmt.Sprintf("medians at %d and %d tokens, onnxruntime %s on %s with its own session options, %s", l.Alone.Tokens, l.Batched.Tokens, l.Onnxruntime, l.Provider, threads)
}
