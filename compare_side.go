package peftgraph

import (
	"context"
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/folder"
)

// A side is one of the models of a comparison.
type side struct {
	exec     train.Executor
	graph    *graph.Graph
	info     models.Info
	outputs  []string
	provider string           // that a session from a file came to run on
	tasks    []multitask.Task // whose outputs are known
	joint    bool             // the model is for several tasks; else all of tasks are the outputs of one
}

// answering are the outputs of a model in its standard form that make up its task's answer.
func answering(info models.Info, of inject.Task) (out []multitask.Task) {
	for _, output := range folder.Answers(of) {
		out = append(out, multitask.Task{Output: output, Positions: info.Positions, Task: of})
	}
	return out
}

// setOutputs lists the graph's outputs, those first whose task is known.
func (s *side) setOutputs() {
	for _, t := range s.tasks {
		s.outputs = append(s.outputs, t.Output)
	}
	for _, v := range s.graph.Outputs() {
		if s.task(v.Name()) < 0 {
			s.outputs = append(s.outputs, v.Name())
		}
	}
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
	joint := tasks != nil
	if of, ok, err := folder.ReadTask(g); err != nil {
		return side{}, nil, fmt.Errorf("%s: %w", name, err)
	} else if ok {
		tasks = answering(info, of)
	}
	opt := runtime.Stock()
	opt.Name, opt.Provider, opt.Threads = name, e.Provider, e.Threads
	// Models that take turns would otherwise lose their cores to the last one's threads, which look for work a while yet.
	opt.Config = map[string]string{"session.force_spinning_stop": "1"}
	s, err := e.NewSessionFromFile(ctx, path, opt)
	if err != nil {
		return side{}, nil, err
	}
	out := side{exec: s, graph: g, info: info, provider: s.Provider(), tasks: tasks, joint: joint}
	out.setOutputs()
	return out, func() { _ = s.Close() }, nil
}

// newJudge is what counts as another answer in the rows of a batch that the outputs have, by the first model that knows what
// the output k is. What it judges may be made up of several outputs.
func newJudge(outputs []string, k int, sides []side, d *data.Dataset, b *data.Batch) (judge, error) {
	for _, s := range sides {
		at := s.task(outputs[k])
		if at < 0 {
			continue
		}
		j := judge{parts: []int{k}}
		if !s.joint {
			j.parts = nil
			for _, t := range s.tasks {
				j.parts = append(j.parts, slices.Index(outputs, t.Output))
			}
		}
		if slices.Contains(j.parts, -1) {
			return judge{}, nil // the other models lack a part of the answer
		}
		for row, i := range b.Indices {
			if !s.joint || row%len(s.tasks) == at {
				j.lengths = append(j.lengths, len(d.Encodings[i].IDs))
			}
		}
		var err error
		j.same, err = sameAnswer(s.tasks[at])
		return j, err
	}
	if looksLikeLogits(outputs[k]) {
		return judge{same: sameLargest, parts: []int{k}}, nil
	}
	return judge{}, nil
}

// A judge says which rows are other answers.
type judge struct {
	same    sameness // nil where rows are no answers
	parts   []int    // the places of the outputs that make the answer up, each a column of it where they are several
	lengths []int    // the rows' tokens; nil for an output of a row for each text
}

// flips counts the rows of what two models computed that are other answers; −1 where none is one.
func (j judge) flips(x, y []*graph.Tensor) (int, error) {
	if j.same == nil {
		return -1, nil
	}
	dims, a, err := j.answers(x)
	if err != nil {
		return 0, err
	}
	_, b, err := j.answers(y)
	if err != nil {
		return 0, err
	}
	if j.lengths == nil && (len(dims) != 2 || dims[1] < 2) {
		return -1, nil
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
	return count, nil
}

// answers are the values that the task reads, row by row.
func (j judge) answers(outputs []*graph.Tensor) (dims []int64, values []float64, err error) {
	dims = outputs[j.parts[0]].Dims
	if len(j.parts) == 1 {
		values, err = outputs[j.parts[0]].Float64s()
		return dims, values, err
	}
	for column, k := range j.parts {
		part, err := outputs[k].Float64s()
		if err != nil {
			return nil, nil, err
		}
		if values == nil {
			values = make([]float64, len(part)*len(j.parts))
		}
		for i, v := range part {
			values[i*len(j.parts)+column] = v
		}
	}
	return dims, values, nil
}
