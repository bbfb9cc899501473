package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
)

// A JointPredictor computes logits of several tasks with one graph of [multitask.Join]. A batch may have rows of all of them.
type JointPredictor struct {
	Exec  Executor
	Graph *graph.Graph // declares the inputs
	Info  models.Info
	Tasks []multitask.Task
}

// Predict returns the logits of every example in the data set's order; tasks has each example's place in p.Tasks. progress,
// when set, is told how many examples are done.
func (p *JointPredictor) Predict(ctx context.Context, d *data.Dataset, tasks []int, batchSize int, progress func(done, total int)) ([][]float32, error) {
	out := make([][]float32, len(d.Encodings))
	done := 0
	for _, indices := range p.batches(d, tasks, batchSize) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.batch(ctx, d.Batch(indices), tasks, out); err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		if done += len(indices); progress != nil {
			progress(done, len(out))
		}
	}
	return out, nil
}

// batches orders the examples as [data.EvalOrder] does. A batch whose longest text another of its tasks has no positions for
// is parted into one for each task.
func (p *JointPredictor) batches(d *data.Dataset, tasks []int, batchSize int) (out [][]int) {
	lengths := d.Lengths()
	for _, indices := range data.EvalOrder(lengths, batchSize) {
		rows := make([][]int, len(p.Tasks))
		longest, positions := 0, math.MaxInt
		for _, i := range indices {
			k := tasks[i]
			rows[k] = append(rows[k], i)
			longest, positions = max(longest, lengths[i]), min(positions, p.Tasks[k].Positions)
		}
		if longest <= positions {
			rows = [][]int{indices}
		}
		out = append(out, rows...)
	}
	return slices.DeleteFunc(out, func(indices []int) bool { return len(indices) == 0 })
}

// batch runs one batch and files its rows' logits in out. Only the outputs of tasks that have rows are asked for.
func (p *JointPredictor) batch(ctx context.Context, b *data.Batch, tasks []int, out [][]float32) error {
	feeds, err := TokenFeeds(p.Graph, p.Info, b, multitask.TaskInput)
	if err != nil {
		return err
	}
	ids := make([]int64, b.Size)
	rows := map[int][]int{} // by task, the examples
	for row, i := range b.Indices {
		ids[row] = int64(tasks[i])
		rows[tasks[i]] = append(rows[tasks[i]], i)
	}
	feeds[multitask.TaskInput] = graph.TensorOf(nil, ids)
	var present []int
	var fetches []string
	for k, t := range p.Tasks {
		if rows[k] != nil {
			present, fetches = append(present, k), append(fetches, t.Output)
		}
	}
	res, err := p.Exec.Run(ctx, feeds, fetches)
	if err != nil {
		return err
	}
	for n, k := range present {
		logits, err := answers(res[n], p.Tasks[k].Output)
		if err != nil {
			return err
		}
		width := p.Tasks[k].Outputs()
		if len(logits) != len(rows[k])*width {
			return fmt.Errorf("output %q has %d elements for %d examples and %d outputs", p.Tasks[k].Output, len(logits), len(rows[k]), width)
		}
		for n, i := range rows[k] {
			out[i] = slices.Clone(logits[n*width : (n+1)*width])
		}
	}
	return nil
}
