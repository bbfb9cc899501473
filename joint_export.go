package peftgraph

import (
	"context"
	"fmt"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/train/data"
)

// A jointExport is a joined model on its way to its place.
type jointExport struct {
	*Joint
	engine *engine
	opt    ExportOptions
	target *target
	proof  []*data.Dataset // what each task is proven on
}

func (x *jointExport) readProof() error {
	for _, r := range x.runs {
		d, err := r.proofData(x.opt)
		if err != nil {
			return err
		}
		x.proof = append(x.proof, d)
	}
	return nil
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
func (x *jointExport) prove(ctx context.Context) (*ExportedJoint, error) {
	t := x.target
	written, done, err := x.engine.side(ctx, t.path, t.staged.Path)
	if err != nil {
		return nil, err
	}
	defer done()
	all, tasks := mix(x.proof)
	rows, err := x.serving(written, done).Predict(ctx, all, tasks, x.opt.BatchSize, x.engine.step("predicting"))
	if err != nil {
		return nil, err
	}
	got := make([][][]float32, len(x.proof))
	for i, k := range tasks {
		got[k] = append(got[k], rows[i])
	}
	res := &ExportedJoint{Output: t.path, Bytes: t.staged.Bytes, WeightsIn: t.staged.Refers, TaskInput: multitask.TaskInput}
	var whole Comparison
	for k, p := range x.parts {
		delta, err := x.alone(ctx, p, k, got[k])
		if err != nil {
			return nil, fmt.Errorf("task %q: %w", p.Name, err)
		}
		whole.Outputs = append(whole.Outputs, delta)
		res.Tasks = append(res.Tasks, ExportedTask{x.Tasks[k], k, len(got[k]), delta})
	}
	if err := whole.Check(x.opt.Threshold); err != nil {
		return nil, err
	}
	res.Crosscheck, err = t.crossRead(written.graph)
	return res, err
}

// alone compares a task's outputs with those that its own model computes.
func (x *jointExport) alone(ctx context.Context, p multitask.Part, k int, got [][]float32) (OutputDelta, error) {
	delta := OutputDelta{Name: inject.LogitsName, Flips: -1}
	own, err := x.engine.serve(ctx, p.Name, p.Graph.Clone(), p.Plan)
	if err != nil {
		return delta, err
	}
	defer own.close()
	d := x.proof[k]
	want, err := own.Predict(ctx, d, nil, x.opt.BatchSize, nil)
	if err != nil {
		return delta, err
	}
	same, err := sameAnswer(x.Tasks[k])
	if same != nil {
		delta.Flips = 0
	}
	for i := range got {
		a, b := numeric.Widen(got[i]), numeric.Widen(want[i])
		delta.differ(a, b)
		if same != nil && !same(a, b, len(d.Encodings[i].IDs)) {
			delta.Flips++
		}
	}
	return delta, err
}
