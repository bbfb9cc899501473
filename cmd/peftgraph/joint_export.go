package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

// exportedJoint is the JSON form of what export --adapter prints.
type exportedJoint struct {
	Output     string         `json:"output"`
	Bytes      int64          `json:"bytes"`
	WeightsIn  []string       `json:"weights_in,omitempty"`
	TaskInput  string         `json:"task_input"`
	Tasks      []exportedTask `json:"tasks"`
	Crosscheck reading        `json:"crosscheck"`
}

// exportedTask compares a task's logits in mixed batches with those of its own trained model.
type exportedTask struct {
	multitask.Task
	ID         int         `json:"id"` // of its rows in the task input
	Examples   int         `json:"examples"`
	Difference outputDelta `json:"difference"`
}

// exportJoint is export with --adapter: one model for several tasks.
func exportJoint(c *cli.Context, o *console) error {
	for _, name := range []string{"merge", "adapter-inputs", "all", "onnx-adapter", "keep-outputs"} {
		if c.IsSet(name) {
			return hintedError{usagef("export: --%s is for one run, and --adapter joins several whose adapters stay beside one base", name), "leave --" + name + " away"}
		}
	}
	targets, err := exportTargets(c)
	if err != nil {
		return err
	}
	j, err := joinTrained(c, o)
	if err != nil {
		return err
	}
	proof, err := j.proofData(c, o)
	if err != nil {
		return err
	}
	t := targets[0]
	defer t.discard()
	if err := t.stage(j.graph, weightsOption(c)); err != nil {
		return err
	}
	res := exportedJoint{Output: t.path, Bytes: t.staged.Bytes, WeightsIn: t.staged.Refers, TaskInput: multitask.TaskInput}
	if err := j.prove(c, o, t, proof, &res); err != nil {
		return err
	}
	if err := t.staged.Commit(); err != nil {
		return err
	}
	return o.result(res, res.print)
}

// weightsOption says where --reference leaves the weights.
func weightsOption(c *cli.Context) onnxfile.Options {
	if c.Bool("reference") {
		return onnxfile.Options{Weights: onnxfile.Reference}
	}
	return onnxfile.Options{Weights: onnxfile.SelfContained}
}

// proofData is what each task is proven on.
func (j *joint) proofData(c *cli.Context, o *console) ([]*data.Dataset, error) {
	var out []*data.Dataset
	for i, run := range j.runs {
		d, err := (&loadedRun{run: run, reader: j.readers[i]}).proofData(c, o)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// mix deals the sets' examples into one, so that batches have rows of every task.
func mix(sets []*data.Dataset) (all *data.Dataset, tasks []int) {
	all = &data.Dataset{PadID: sets[0].PadID}
	for i, more := 0, true; more; i++ {
		more = false
		for k, d := range sets {
			if i < len(d.Encodings) {
				all.Encodings, tasks, more = append(all.Encodings, d.Encodings[i]), append(tasks, k), true
			}
		}
	}
	return all, tasks
}

// prove runs mixed batches through the written model, and each task's examples through the task's own.
func (j *joint) prove(c *cli.Context, o *console, t *target, sets []*data.Dataset, res *exportedJoint) error {
	e, err := openEngine(c.Context, c, o)
	if err != nil {
		return err
	}
	written, done, err := e.side(c.Context, t.path, t.staged.Path)
	if err != nil {
		return err
	}
	defer done()
	batch := c.Int("eval-batch-size")
	all, tasks := mix(sets)
	together := &train.Predictor{Exec: written.exec, Graph: written.graph, Info: written.info, Tasks: j.tasks}
	rows, err := together.Predict(c.Context, all, tasks, batch, nil)
	if err != nil {
		return err
	}
	got := make([][]float32, len(sets))
	for i, k := range tasks {
		got[k] = append(got[k], rows[i]...)
	}
	var whole comparison
	for k, p := range j.parts {
		delta, err := e.alone(c, p, sets[k], got[k])
		if err != nil {
			return fmt.Errorf("task %q: %w", p.Name, err)
		}
		whole.Outputs = append(whole.Outputs, delta)
		res.Tasks = append(res.Tasks, exportedTask{j.tasks[k], k, len(sets[k].Encodings), delta})
	}
	if err := whole.check(c.Float64("threshold")); err != nil {
		return fmt.Errorf("%s: %w", t.path, err)
	}
	res.Crosscheck, err = t.crossRead(written.graph)
	return err
}

// alone compares logits with those that a task's own model computes.
func (e *engine) alone(c *cli.Context, p multitask.Part, d *data.Dataset, got []float32) (outputDelta, error) {
	delta := outputDelta{Name: inject.LogitsName, Flips: -1}
	own, done, err := e.predictor(c.Context, p.Name, p.Graph, p.Plan)
	if err != nil {
		return delta, err
	}
	defer done()
	want, err := own.Predict(c.Context, d, nil, c.Int("eval-batch-size"), nil)
	if err != nil {
		return delta, err
	}
	dims := []int64{int64(len(d.Encodings)), int64(len(want[0]))}
	return delta, delta.add(graph.TensorOf(dims, got), graph.TensorOf(dims, slices.Concat(want...)))
}

func (r exportedJoint) print(w io.Writer) {
	var names []string
	for _, t := range r.Tasks {
		names = append(names, t.Name)
	}
	fmt.Fprintf(w, "%s: tasks %s on one base, %s bytes%s\n", r.Output, strings.Join(names, ", "), thousands(int(r.Bytes)), weightsStay(r.WeightsIn))
	for _, t := range r.Tasks {
		fmt.Fprintf(w, "rows with %s %d → output %q [rows, %d]; against the trained model on %d texts, in mixed batches: max |Δlogit| %.2g%s\n",
			r.TaskInput, t.ID, t.Output, t.Outputs(), t.Examples, t.Difference.MaxAbs, t.Difference.flips())
	}
	fmt.Fprintln(w, r.Crosscheck)
}
