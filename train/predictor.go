package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// A Predictor computes a model's outputs: those of one task, or of several with one graph of [multitask.Join], where a batch
// may have rows of all of them.
type Predictor struct {
	Exec  Executor
	Graph *graph.Graph // declares the inputs
	Info  models.Info
	Tasks []multitask.Task
	// Params, where the graph has [ParamsInput], are the flat parameters to use.
	Params []float32

	reducers []task.Reducer // by task, nil where outputs are kept as they are
}

// NewPredictor returns a predictor of one plan's task.
func NewPredictor(exec Executor, g *graph.Graph, p *inject.Plan) *Predictor {
	return &Predictor{Exec: exec, Graph: g, Info: p.Encoder, Tasks: []multitask.Task{multitask.TaskOf("", p)}}
}

// Predict returns the outputs of every encoding in the data set's order: as many as the task has, or as many for each token.
// tasks has each encoding's place in p.Tasks; nil is the first for all. progress, when set, is told how many units are done.
func (p *Predictor) Predict(ctx context.Context, d *data.Dataset, tasks []int, batchSize int, progress func(done, total int)) ([][]float32, error) {
	if err := p.prepare(); err != nil {
		return nil, err
	}
	if tasks == nil {
		tasks = make([]int, len(d.Encodings))
	}
	out := make([][]float32, len(d.Encodings))
	done := 0
	for _, indices := range p.batches(d, tasks, batchSize) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.batch(ctx, d, d.Batch(indices), tasks, out); err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		if done += len(indices); progress != nil {
			progress(done, d.Units())
		}
	}
	return out, nil
}

func (p *Predictor) prepare() error {
	if p.reducers != nil {
		return nil
	}
	p.reducers = make([]task.Reducer, len(p.Tasks))
	for i, t := range p.Tasks {
		of, err := task.Of(t.Task)
		if err != nil {
			return err
		}
		p.reducers[i], _ = of.(task.Reducer)
	}
	return nil
}

// batches orders the units as [data.Dataset.EvalOrder] does. A batch whose longest text another of its tasks has no positions
// for is parted into one for each task.
func (p *Predictor) batches(d *data.Dataset, tasks []int, batchSize int) (out [][]int) {
	lengths := d.Lengths()
	group := len(d.Encodings) / max(1, d.Units())
	for _, indices := range d.EvalOrder(batchSize) {
		rows := make([][]int, len(p.Tasks))
		longest, positions := 0, math.MaxInt
		for _, i := range indices {
			k := tasks[i*group]
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

// batch runs one batch and files its rows' outputs in out. Only the outputs of tasks that have rows are asked for.
func (p *Predictor) batch(ctx context.Context, d *data.Dataset, b *data.Batch, tasks []int, out [][]float32) error {
	feeds, err := TokenFeeds(p.Graph, p.Info, b, multitask.TaskInput)
	if err != nil {
		return err
	}
	sparse := isInput(p.Graph, RowsInput)
	if sparse {
		if err := rowsFeed(feeds, b); err != nil {
			return err
		}
	}
	if p.Params != nil {
		feeds[ParamsInput] = graph.TensorOf(nil, p.Params)
	}
	ids := make([]int64, b.Size)
	rows := make([][]int, len(p.Tasks)) // by task, of the batch
	for row, i := range b.Indices {
		ids[row] = int64(tasks[i])
		rows[tasks[i]] = append(rows[tasks[i]], row)
	}
	if isInput(p.Graph, multitask.TaskInput) {
		feeds[multitask.TaskInput] = graph.TensorOf(nil, ids)
	}
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
		if err := p.file(k, res[n], d, b, rows[k], sparse, out); err != nil {
			return err
		}
	}
	return nil
}

func isInput(g *graph.Graph, name string) bool {
	v := g.Value(name)
	return v != nil && v.IsInput()
}

// file puts the batch's rows of one task's output into out: without what padding has or, where the data set is sparse, with
// the tokens chosen alone, which are all that the output has where the model is sparse; and reduced where the task wants that.
func (p *Predictor) file(k int, res *graph.Tensor, d *data.Dataset, b *data.Batch, rows []int, sparse bool, out [][]float32) error {
	t := p.Tasks[k]
	values, err := answers(res, t.Output)
	if err != nil {
		return err
	}
	width := t.Outputs()
	if t.Head() == models.FeatureExtraction {
		width = p.Info.Hidden
	}
	sizes, all := make([]int, len(rows)), 0
	for n, row := range rows {
		sizes[n] = width
		switch {
		case sparse:
			sizes[n] *= len(b.Chosen[row])
		case t.Head().PerToken():
			sizes[n] *= b.Length
		}
		all += sizes[n]
	}
	if len(values) != all {
		return fmt.Errorf("output %q has %d elements for %d rows: want %d", t.Output, len(values), len(rows), all)
	}
	for n, batchRow := range rows {
		i := b.Indices[batchRow]
		row := values[:sizes[n]]
		values = values[sizes[n]:]
		switch {
		case sparse:
		case t.Head().PerToken() && b.Chosen != nil:
			row = pick(row, b.Chosen[batchRow], width)
		case t.Head().PerToken():
			row = row[:len(d.Encodings[i].IDs)*width]
		}
		if r := p.reducers[k]; r != nil {
			out[i] = r.Reduce(d, i, row, width)
		} else {
			out[i] = slices.Clone(row)
		}
	}
	return nil
}

// pick returns the outputs of some tokens.
func pick(row []float32, tokens []int, width int) []float32 {
	out := make([]float32, 0, len(tokens)*width)
	for _, k := range tokens {
		out = append(out, row[k*width:(k+1)*width]...)
	}
	return out
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
