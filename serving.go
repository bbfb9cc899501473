package peftgraph

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

// A serving is a graph that answers for one task or for several, given to a runtime. Several goroutines may use it at once.
type serving struct {
	exec  train.Executor
	graph *graph.Graph // declares the inputs
	info  models.Info
	tasks []multitask.Task // a graph of one run has one, without a name
	joint bool             // the graph has [multitask.TaskInput]
	close func()
}

// serve gives a graph with the plan's logits to onnxruntime, no other output.
func (e *engine) serve(ctx context.Context, name string, g *graph.Graph, p *inject.Plan) (*serving, error) {
	g.SetOutputs(g.Value(p.Logits))
	g.Prune()
	s, err := e.session(ctx, name, g)
	if err != nil {
		return nil, err
	}
	task := multitask.Task{Output: p.Logits, Positions: p.Encoder.Positions, Task: p.Task}
	return &serving{s, g, p.Encoder, []multitask.Task{task}, false, func() { _ = s.Close() }}, nil
}

// all returns the logits of every example in the data set's order. tasks has each example's place in s.tasks; nil is the
// first for all.
func (s *serving) all(ctx context.Context, d *data.Dataset, tasks []int, size int, progress func(done, total int)) ([][]float32, error) {
	if tasks == nil {
		tasks = make([]int, len(d.Encodings))
	}
	out := make([][]float32, len(d.Encodings))
	done := 0
	for _, indices := range data.EvalOrder(d.Lengths(), size) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.some(ctx, d, tasks, indices, out); err != nil {
			return nil, err
		}
		done += len(indices)
		progress(done, len(out))
	}
	return out, nil
}

// some files the logits of the examples at indices in out. A batch whose longest text another of its tasks has no positions
// for is parted into one for each task.
func (s *serving) some(ctx context.Context, d *data.Dataset, tasks, indices []int, out [][]float32) error {
	rows := make([][]int, len(s.tasks))
	longest, positions := 0, math.MaxInt
	for _, i := range indices {
		k := tasks[i]
		rows[k] = append(rows[k], i)
		longest, positions = max(longest, len(d.Encodings[i].IDs)), min(positions, s.tasks[k].Positions)
	}
	if longest <= positions {
		rows = [][]int{indices}
	}
	for _, part := range rows {
		if len(part) == 0 {
			continue
		}
		if err := s.batch(ctx, d.Batch(part), tasks, out); err != nil {
			return err
		}
	}
	return nil
}

// batch runs one batch and files its rows' logits in out. Only the outputs of tasks that have rows are asked for.
func (s *serving) batch(ctx context.Context, b *data.Batch, tasks []int, out [][]float32) error {
	rows := make([][]int, len(s.tasks)) // by task, the examples
	ids := make([]int64, b.Size)
	for row, i := range b.Indices {
		ids[row] = int64(tasks[i])
		rows[tasks[i]] = append(rows[tasks[i]], i)
	}
	feeds, err := train.TokenFeeds(s.graph, s.info, b, multitask.TaskInput)
	if err != nil {
		return err
	}
	if s.joint {
		feeds[multitask.TaskInput] = graph.TensorOf(nil, ids)
	}
	var present []int
	var fetches []string
	for k, t := range s.tasks {
		if rows[k] != nil {
			present, fetches = append(present, k), append(fetches, t.Output)
		}
	}
	res, err := s.exec.Run(ctx, feeds, fetches)
	if err != nil {
		return err
	}
	for n, k := range present {
		if err := file(out, rows[k], res[n], s.tasks[k]); err != nil {
			return err
		}
	}
	return nil
}

// file puts the rows of a task's output where they belong, and refuses what is no number.
func file(out [][]float32, rows []int, output *graph.Tensor, t multitask.Task) error {
	logits, err := graph.Data[float32](output)
	if err != nil {
		return err
	}
	width := t.Outputs()
	if len(logits) != len(rows)*width {
		return fmt.Errorf("output %q has %d elements for %d examples and %d outputs", t.Output, len(logits), len(rows), width)
	}
	for n, i := range rows {
		out[i] = slices.Clone(logits[n*width : (n+1)*width])
		if slices.ContainsFunc(out[i], func(x float32) bool { return x-x != 0 }) {
			return &train.NotFiniteError{Output: t.Output}
		}
	}
	return nil
}
