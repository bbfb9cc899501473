package peftgraph

import (
	"context"
	"errors"
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
)

// A Named is a run and the name that its task has beside others.
type Named struct {
	Name string // letters, digits, "_", "-" and "."
	*Run
}

// A Joint is several trained runs on one base, joined into one graph: any methods, numbers of labels and lengths. The base's
// weights are there once.
type Joint struct {
	Tasks []multitask.Task // by their place in the task input

	runs  []Named
	parts []multitask.Part
	graph *graph.Graph
	info  models.Info // of what any batch can have
}

// Join joins runs on the same base, in their order. The runs stay as they are.
func Join(runs ...Named) (*Joint, error) {
	j := &Joint{runs: runs}
	for _, r := range runs {
		if err := r.exportable(); err != nil {
			return nil, err
		}
		g := r.graph.Clone()
		if err := errors.Join(detach(g, r.Plan), deploy(g, r.Plan)); err != nil {
			return nil, err
		}
		j.parts = append(j.parts, multitask.Part{Name: r.Name, Graph: g, Plan: r.Plan})
	}
	var err error
	if j.graph, err = multitask.Join(j.parts); err != nil {
		return nil, err
	}
	if j.Tasks, err = multitask.ReadTasks(j.graph); err != nil {
		return nil, err
	}
	j.info = runs[0].Plan.Encoder
	for _, t := range j.Tasks {
		j.info.Positions = min(j.info.Positions, t.Positions)
	}
	return j, j.info.Store(j.graph)
}

// deploy makes a trained graph one that computes logits only, with the adapter as constants.
func deploy(g *graph.Graph, p *inject.Plan) error {
	g.SetOutputs(g.Value(p.Logits))
	_, err := constant.change(g, p)
	return err
}

// serving is the joined graph in a runtime, or the file it was written to.
func (j *Joint) serving(s side, done func()) *serving {
	return &serving{&train.Predictor{Exec: s.exec, Graph: s.graph, Info: s.info, Tasks: j.Tasks}, done}
}

// Predictor gives the joined graph to onnxruntime. The caller closes the predictor.
func (j *Joint) Predictor(ctx context.Context, opt PredictorOptions) (*Predictor, error) {
	e, err := opt.open(ctx)
	if err != nil {
		return nil, err
	}
	s, err := e.session(ctx, "the joined adapters", j.graph)
	if err != nil {
		return nil, err
	}
	var readers []*reader
	for _, r := range j.runs {
		readers = append(readers, r.reader)
	}
	return newPredictor(j.serving(side{exec: s, graph: j.graph, info: j.info}, func() { _ = s.Close() }), readers, opt)
}

// ExportedJoint says what was written for several tasks, and how it was proven.
type ExportedJoint struct {
	Output     string         `json:"output"`
	Bytes      int64          `json:"bytes"`
	WeightsIn  []string       `json:"weights_in,omitempty"`
	TaskInput  string         `json:"task_input"`
	Tasks      []ExportedTask `json:"tasks"`
	Crosscheck Reading        `json:"crosscheck"`
}

// ExportedTask compares a task's logits in mixed batches with those of its own trained model.
type ExportedTask struct {
	multitask.Task
	ID         int         `json:"id"` // of its rows in the task input
	Examples   int         `json:"examples"`
	Difference OutputDelta `json:"difference"`
}

// Export writes one model for all tasks, with an input that says whose each row is, and proves it in mixed batches against
// each task's own model. Of the options, those that choose a form have no meaning here.
func (j *Joint) Export(ctx context.Context, opt ExportOptions) (*ExportedJoint, error) {
	if opt.All || opt.Form != "" || opt.ONNXAdapter != "" || opt.KeepOutputs {
		return nil, &SettingError{"", "a form is for one run, and adapters that are joined stay beside one base"}
	}
	targets, err := opt.targets()
	if err != nil {
		return nil, err
	}
	if opt.folder != "" {
		return nil, settingf("Path", "%s is a folder for other programs, whose files tell of one task: name a file, as in deploy/joint.onnx", opt.folder)
	}
	opt.only("its files for other programs would tell of one task")
	e, err := opt.open(ctx)
	if err != nil {
		return nil, err
	}
	x := &jointExport{Joint: j, engine: e, opt: opt, target: targets[0]}
	defer x.target.discard()
	if err := x.readProof(); err != nil {
		return nil, err
	}
	if err := x.target.stage(j.graph, SaveOptions{SelfContained: !opt.Reference}.weights()); err != nil {
		return nil, err
	}
	res, err := x.prove(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", x.target.path, err)
	}
	return res, x.target.staged.Commit()
}
