package peftgraph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/folder"
	"github.com/peftgraph/peftgraph/train/task"
)

// A Run is a trained adapter with its base. What the run folder says, such as the plan, the settings and the best metrics,
// are its fields.
type Run struct {
	*train.Run
	Training *Training // what training took; nil for a run that was opened

	model    string // the base's path, "" where the folder says it
	deployed string // the path of a model that stands for a run and is one of a [folder.Folder]; "" for others
	mu       sync.Mutex
	graph    *graph.Graph // injected, with the trained values
	reader   *reader
}

// OpenRun opens a run folder, with the model that it was trained on where the folder says that it is. For predictions and
// evaluation a deployed model, or its folder, stands for a run too, whether [Run.Export] wrote it or Optimum; and an injected
// model's file stands for a run that took no step. Their tokenizer lies beside them.
func OpenRun(path string) (*Run, error) { return OpenRunOn(path, "") }

// OpenRunOn opens a run folder whose model was moved to the path model.
func OpenRunOn(path, model string) (*Run, error) {
	r := &Run{model: model}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return r, r.open(path)
	}
	var err error
	if r.Run, err = train.OpenRun(path); err != nil {
		if found, none := folder.FindModel(path); none == nil && !train.IsRun(path) {
			return r, r.open(found)
		}
		return nil, err
	}
	return r, r.load()
}

// open makes a model a run: one that is injected with a head, or deployed.
func (r *Run) open(path string) error {
	g, plan, err := loadModel(path)
	if err != nil {
		return err
	}
	r.model = path
	if plan != nil && plan.Task.Type != "" {
		r.Run, r.graph = &train.Run{Dir: filepath.Dir(path), Plan: plan, MaxLength: DefaultMaxLength}, g
		r.reader, err = runReader(r.Run)
		return err
	}
	none := hinted(fmt.Errorf("%s: neither a run folder nor a model that was injected with a head, nor a deployed one", path), "the folder that train wrote to")
	if plan != nil {
		return none
	}
	f, err := folder.Read(path)
	if err != nil {
		return err
	}
	if f.Task.Type == "" {
		return none
	}
	r.Run, r.graph, r.deployed = &train.Run{Dir: f.Dir, Plan: f.Plan(), MaxLength: f.MaxLength}, f.Graph, path
	if r.reader, err = runReader(r.Run); errors.Is(err, data.ErrNoTokenizer) {
		err = hinted(err, "put the run's own tokenizer.json or vocab.txt beside it, or export into a folder")
	}
	return err
}

// load loads the model, the trained values and the tokenizer, unless it has.
func (r *Run) load() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reader != nil {
		return nil
	}
	if r.graph, err = trainedModel(r.Run, r.model); err != nil {
		return err
	}
	r.reader, err = runReader(r.Run)
	return err
}

// injectedModel loads the model that a run was trained on, or the one at path when it isn't empty, and injects what the
// run's plan says when the file is the base: at its start, or without values ([inject.Options]). Another base is refused.
func injectedModel(run *train.Run, path string, unset bool) (*graph.Graph, error) {
	var err error
	if path == "" {
		if path, err = run.ModelPath(); err != nil {
			return nil, err
		}
	}
	g, plan, err := loadModel(path)
	if err != nil {
		return nil, err
	}
	same := plan.Same
	if plan == nil {
		if plan, err = reinject(g, run.Plan, path, unset); err != nil {
			return nil, err
		}
		same = func(p *inject.Plan) bool { return sameEffect(plan, p) }
	}
	if !same(run.Plan) {
		return nil, hinted(fmt.Errorf("%s: its plan is not the one that %s was trained with", path, run.Dir),
			"name the model it was trained on with setting Model, or use the version of peftgraph that trained it")
	}
	return g, nil
}

// sameEffect compares what two injections did to the same base. How settings are written may differ: a newer program has
// more of them.
func sameEffect(a, b *inject.Plan) bool {
	x, y := *a, *b
	x.Methods, y.Methods = nil, nil
	x.Encoder, y.Encoder = models.Info{}, models.Info{}
	return x.Same(&y)
}

// reinject repeats the injection of a plan: with the same base, settings and seed it gives the same plan.
func reinject(g *graph.Graph, p *inject.Plan, path string, unset bool) (*inject.Plan, error) {
	fingerprint, err := onnxfile.Fingerprint(g)
	if err != nil {
		return nil, err
	}
	if fingerprint != p.Base {
		return nil, hinted(fmt.Errorf("%s: another model than the one the adapter was trained on (fingerprint %.12s, want %.12s)", path, fingerprint, p.Base),
			"name the model it was trained on with setting Model")
	}
	enc, err := recognise(path, g)
	if err != nil {
		return nil, err
	}
	var ms []inject.Method
	for _, a := range p.Methods {
		m, err := p.Method(a.Name)
		if err != nil {
			return nil, err
		}
		ms = append(ms, m)
	}
	return inject.Inject(enc, ms, inject.Options{Task: p.Task, Head: p.Head.Kind, HeadDrop: p.Head.Dropout, Seed: p.Seed, Base: p.Base, Unset: unset})
}

// trainedModel is injectedModel with the run's trained values in it.
func trainedModel(run *train.Run, path string) (*graph.Graph, error) {
	g, err := injectedModel(run, path, true)
	if err != nil {
		return nil, err
	}
	values, err := run.Adapter()
	if err != nil {
		return nil, hinted(err, "if the adapter is damaged or lost, restore it from a copy or train again into another folder")
	}
	return g, run.Plan.SetValues(g, values)
}

// answerer gives the run's model to onnxruntime, without what only training needs, for who wants answers, not all outputs: a sparse
// task's are computed where it wants them.
func (r *Run) answerer(ctx context.Context, e *engine) (*serving, error) {
	if err := r.load(); err != nil {
		return nil, err
	}
	g := r.graph.Clone()
	inject.Deploy(g)
	if r.deployed == "" { // of a deployed model nobody knows where the head begins
		var err error
		if g, err = train.Cut(g, r.Plan); err != nil {
			return nil, err
		}
	}
	return e.serve(ctx, r.Dir, g, r.Plan)
}

// EvaluateOptions say what a run is judged on.
type EvaluateOptions struct {
	Engine
	Data        []string     // files of labelled text, as [data.Files] takes them; "-" is standard input
	DataOptions data.Options // how it is read; the zero value reads it as the run's own data
	BatchSize   int          // 0 is that of train.DefaultSettings
}

// An Evaluation is what a run reached.
type Evaluation struct {
	Examples  int
	Truncated int // texts longer than the run's
	Skipped   int // bad rows, which were passed over
	Metrics   task.Scores
	// Warnings are what is doubtful although the metrics may look well, in a line each.
	Warnings []string
	Detail   task.Answer // what the task has to tell beside them, such as each class's precision and recall; nil for some
}

// Evaluate judges the run by its task's metrics.
func (r *Run) Evaluate(ctx context.Context, opt EvaluateOptions) (*Evaluation, error) {
	if len(opt.Data) == 0 {
		return nil, settingf("Data", "labelled text to judge on is needed")
	}
	e, err := opt.open(ctx)
	if err != nil {
		return nil, err
	}
	s, err := r.answerer(ctx, e)
	if err != nil {
		return nil, err
	}
	defer s.close()
	set, err := readLike(opt.DataOptions, r.Run, opt.Data)
	if err != nil {
		return nil, err
	}
	if bad := set.SkippedText(); bad != "" {
		opt.notef("%s", bad)
	}
	d, err := r.reader.dataset(opt.Engine, set, r.Plan.Task)
	if err != nil {
		return nil, err
	}
	rows, err := s.Predict(ctx, d, nil, cmp.Or(opt.BatchSize, train.DefaultSettings().EvalBatch), opt.step("predicting"))
	if err != nil {
		return nil, err
	}
	out, err := evaluate(r.Plan.Task, d, rows)
	if err == nil {
		out.Skipped = set.Skipped
	}
	return out, err
}

// A FinishedError says that a run has nothing left to train.
type FinishedError struct{ Dir string }

func (e *FinishedError) Error() string { return e.Dir + ": the run is finished" }

// Hint says what to try.
func (e *FinishedError) Hint() string {
	return "export it; to train longer, start another run with more epochs"
}
