package peftgraph

import (
	"context"
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

// A side is one of the models of a comparison.
type side struct {
	exec     train.Executor
	graph    *graph.Graph
	info     models.Info
	outputs  []string
	provider string           // that a session from a file came to run on
	tasks    []multitask.Task // whose outputs are known
	joint    bool             // the model is for several tasks
}

// task returns the place of the task that an output belongs to, −1 for none.
func (s side) task(output string) int {
	return slices.IndexFunc(s.tasks, func(t multitask.Task) bool { return t.Output == output })
}

// feeds are a model's inputs for a batch, its rows dealt to the tasks where there are several.
func (s side) feeds(b *data.Batch) (map[string]*graph.Tensor, error) {
	feeds, err := train.TokenFeeds(s.graph, s.info, b, multitask.TaskInput)
	if err != nil || !s.joint {
		return feeds, err
	}
	ids := make([]int64, b.Size)
	for row := range ids {
		ids[row] = int64(row % len(s.tasks))
	}
	feeds[multitask.TaskInput] = graph.TensorOf(nil, ids)
	return feeds, nil
}

// side loads a model from its file, as a user's program would, and with the settings that such a program gets. name is what
// errors call it.
func (e *engine) side(ctx context.Context, name, path string) (side, func(), error) {
	g, err := onnxfile.Load(path)
	if err != nil {
		return side{}, nil, err
	}
	info, err := models.Describe(g)
	if err != nil {
		return side{}, nil, fmt.Errorf("%s: %w", name, err)
	}
	tasks, err := multitask.ReadTasks(g)
	if err != nil {
		return side{}, nil, fmt.Errorf("%s: %w", name, err)
	}
	opt := runtime.Stock()
	opt.Name, opt.Provider, opt.Threads = name, e.Provider, e.Threads
	// Models that take turns would otherwise lose their cores to the last one's threads, which look for work a while yet.
	opt.Config = map[string]string{"session.force_spinning_stop": "1"}
	s, err := e.NewSessionFromFile(ctx, path, opt)
	if err != nil {
		return side{}, nil, err
	}
	out := side{exec: s, graph: g, info: info, provider: s.Provider(), tasks: tasks, joint: tasks != nil}
	for _, v := range g.Outputs() {
		out.outputs = append(out.outputs, v.Name())
	}
	return out, func() { _ = s.Close() }, nil
}

// newJudge is what counts as another answer in an output's rows of a batch, by the first model that knows.
func newJudge(output string, sides []side, d *data.Dataset, b *data.Batch) (judge, error) {
	for _, s := range sides {
		k := s.task(output)
		if k < 0 {
			continue
		}
		var lengths []int
		for row, i := range b.Indices {
			if !s.joint || row%len(s.tasks) == k {
				lengths = append(lengths, len(d.Encodings[i].IDs))
			}
		}
		same, err := sameAnswer(s.tasks[k])
		return judge{same, lengths}, err
	}
	if looksLikeLogits(output) {
		return judge{same: sameLargest}, nil
	}
	return judge{}, nil
}

// A judge says which rows are other answers.
type judge struct {
	same    sameness // nil where rows are no answers
	lengths []int    // the rows' tokens; nil for an output of a row for each text
}

// flips counts the rows of outputs [rows, …] that are other answers; −1 where none is one.
func (j judge) flips(dims []int64, a, b []float64) int {
	if j.same == nil || j.lengths == nil && (len(dims) != 2 || dims[1] < 2) {
		return -1
	}
	count, n := 0, len(a)/max(1, int(dims[0]))
	for i := range int(dims[0]) {
		tokens := 1
		if i < len(j.lengths) {
			tokens = j.lengths[i]
		}
		if !j.same(a[i*n:(i+1)*n], b[i*n:(i+1)*n], tokens) {
			count++
		}
	}
	return count
}
