// Package multitask joins several adapters of one base into one graph, which serves a batch whose rows are of different tasks.
//
// The graph has the base's inputs and [TaskInput], which says whose each row is, and one output of logits for each task. What
// all tasks compute alike, such as the layers below the first adapted one, is computed once for the whole batch. From where
// they part on, each task has a branch (an ONNX If) that picks its rows and is skipped where there are none. So adapters of
// any methods, lengths and numbers of labels go together, each computes what it does alone, and the base's weights are there
// once.
package multitask

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/inject"
)

// TaskInput is the joined graph's input of int64 [batch]: each row's task, by its place in the list of [ReadTasks]. A row
// that is of none of them is in no output.
const TaskInput = "task_ids"

// MetadataKey is the metadata_props entry of a joined model that holds its tasks as JSON.
const MetadataKey = "peftgraph.tasks"

// OutputPrefix begins the name of each task's output; the task's name follows.
const OutputPrefix = inject.LogitsName + "."

// A Part is one trained adapter and its head on the base.
type Part struct {
	Name  string       // of the task: letters, digits, "_", "-" and "."
	Graph *graph.Graph // as it is deployed, with the adapter's tensors as constants
	Plan  *inject.Plan
}

// A Task says where its logits are.
type Task struct {
	Name   string `json:"name"`
	Output string `json:"output"` // float [rows of the task, labels], in the rows' order
	// Positions is how many tokens a batch with rows of the task may have, padding included: virtual tokens take some.
	Positions int `json:"positions"`
	inject.Task
}

// TaskOf is a plan's task alone on its model.
func TaskOf(name string, p *inject.Plan) Task {
	return Task{name, p.Logits, p.Encoder.Positions, p.Task}
}

// ReadTasks returns the tasks of a joined graph, nil for any other.
func ReadTasks(g *graph.Graph) ([]Task, error) {
	text, ok := g.Meta(MetadataKey)
	if !ok {
		return nil, nil
	}
	var tasks []Task
	if err := json.Unmarshal([]byte(text), &tasks); err != nil {
		return nil, fmt.Errorf("multitask: %s: %w", MetadataKey, err)
	}
	return tasks, nil
}

var taskName = regexp.MustCompile(`^[\pL\pN_.-]+$`)

// Join returns one graph for all parts, which must be of one base. The parts' graphs stay as they are and share their
// tensors with the new one.
func Join(parts []Part) (*graph.Graph, error) {
	if err := check(parts); err != nil {
		return nil, fmt.Errorf("multitask: %w", err)
	}
	first := parts[0]
	j := &joining{g: graph.New(first.Graph.Name), numbers: map[string]int{}, outer: map[int]*graph.Value{}, shared: map[int]int{}}
	if err := j.header(parts); err != nil {
		return nil, fmt.Errorf("multitask: %w", err)
	}
	var branches []*branch
	for i, p := range parts {
		b, err := j.number(i, p)
		if err != nil {
			return nil, fmt.Errorf("multitask: task %q: %w", p.Name, err)
		}
		branches = append(branches, b)
	}
	var tasks []Task
	for _, b := range branches {
		out, err := b.emit()
		if err != nil {
			return nil, fmt.Errorf("multitask: task %q: %w", b.Name, err)
		}
		j.g.AddOutput(out)
		t := TaskOf(b.Name, b.Plan)
		t.Output = out.Name()
		tasks = append(tasks, t)
	}
	text, err := json.Marshal(tasks)
	if err != nil {
		return nil, fmt.Errorf("multitask: %w", err)
	}
	j.g.SetMeta(MetadataKey, string(text))
	return j.g, j.g.Check()
}

func check(parts []Part) error {
	if len(parts) == 0 {
		return fmt.Errorf("no adapters")
	}
	seen := map[string]bool{}
	for _, p := range parts {
		switch {
		case !taskName.MatchString(p.Name):
			return fmt.Errorf("task %q: a name has letters, digits, \"_\", \"-\" and \".\" only", p.Name)
		case seen[p.Name]:
			return fmt.Errorf("two tasks are named %q", p.Name)
		case p.Plan.Logits == "" || p.Graph.Value(p.Plan.Logits) == nil:
			return fmt.Errorf("task %q has no head", p.Name)
		case p.Plan.Base != parts[0].Plan.Base:
			return fmt.Errorf("task %q was trained on another base than %q (fingerprint %.12s, not %.12s)", p.Name, parts[0].Name, p.Plan.Base, parts[0].Plan.Base)
		case !maps.Equal(p.Graph.Opsets, parts[0].Graph.Opsets):
			return fmt.Errorf("task %q uses the operator sets %v and %q uses %v", p.Name, p.Graph.Opsets, parts[0].Name, parts[0].Graph.Opsets)
		}
		seen[p.Name] = true
	}
	return nil
}

// A joining is the graph being made. Values that compute the same have one number, in whatever part they are.
type joining struct {
	g       *graph.Graph
	batch   graph.Dim
	tasks   *graph.Value
	numbers map[string]int
	shared  map[int]int          // how many parts have the number
	outer   map[int]*graph.Value // what j.g has of it
	parts   int
	copies  bool // the base lies in several files
}

// header takes over what the first graph says of itself, its inputs included.
func (j *joining) header(parts []Part) error {
	from := parts[0].Graph
	j.parts, j.copies = len(parts), copies(parts)
	j.g.IRVersion, j.g.Producer, j.g.Extra, j.g.Opsets = from.IRVersion, from.Producer, from.Extra, maps.Clone(from.Opsets)
	j.g.Metadata = slices.DeleteFunc(slices.Clone(from.Metadata), func(kv graph.KV) bool { return kv.Key == inject.MetadataKey || kv.Key == "id2label" })
	ids := from.Value(parts[0].Plan.Encoder.Inputs.IDs)
	if ids == nil || len(ids.Shape) != 2 || ids.Shape[0].Known() {
		return fmt.Errorf("the model's ids are %s, and tasks are served from batches of any size only: export it with a dynamic batch axis", ids)
	}
	for _, v := range from.Inputs() {
		if v.Init() != nil {
			return fmt.Errorf("input %s has a default: adapters go in as constants", v)
		}
		in, err := j.g.AddInput(v.Name(), v.DType, v.Shape.Clone())
		if err != nil {
			return err
		}
		in.Extra = v.Extra
	}
	if err := shape.Unify(j.g.Inputs()...); err != nil {
		return err
	}
	var err error
	j.batch = j.g.Inputs()[0].Shape[0]
	j.tasks, err = j.g.AddInput(TaskInput, graph.Int64, graph.Shape{j.batch})
	return err
}
