package peftgraph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// TrainOptions say what a run is trained on, with what, and where it is kept.
type TrainOptions struct {
	Engine
	Watch
	// InjectOptions are for a model that isn't injected yet. Where its classes aren't named, they come from the data; its
	// Seed is that of Settings, and its Tokenizer the one for all texts.
	InjectOptions
	Output string // the run folder to make
	// Data are files of labelled text to train on, and Eval those that decide which epoch was best, as [data.Files] takes them; "-"
	// is standard input.
	Data, Eval []string
	// Split, where there is no Eval, is the share of the data that is held out to decide it, drawn with the seed of Settings. With
	// neither, the last epoch counts as the best.
	Split       float64
	DataOptions data.Options // how the data are read
	MaxLength   int          // tokens after which a text is cut; 0 is [DefaultMaxLength]
	Settings    train.Settings
	FusedMatMul bool // let the gradient graph use com.microsoft.FusedMatMul
}

// ResumeOptions say how a run goes on.
type ResumeOptions struct {
	Engine
	Watch
	Model string // the model it was trained on, where it was moved
}

// Watch is what a caller hears and sees of training.
type Watch struct {
	Begin     func(Begun)       // where set, is told what the work will be
	Report    func(train.Event) // where set, is told of each step, evaluation and epoch, and of what is doubtful
	DumpGraph string            // where set, the training graph is also written to this file
}

// Begun says before a training begins what it will be.
type Begun struct {
	Plan         *inject.Plan
	Settings     train.Settings
	Examples     int // rows of the data, but for blocks that a task packs them into
	Tokens       int // of all examples
	Longest      int // tokens of the longest example
	EvalExamples int // 0 where there is nothing to judge on
	Steps        int // of the whole run
	After        int // the steps that a resumed run has taken already
	// Memory is what a step is expected to need, nil where that can't be told.
	Memory *train.Memory
}

// Training is what came of a training.
type Training struct {
	Steps     int
	Examples  int
	Truncated int           // examples longer than the run's MaxLength
	Memory    *train.Memory // what a step was expected to need; nil where that can't be told
	PerStep   float64       // mean seconds a step, without the first, in which onnxruntime sets itself up; 0 is unknown
}

// Train trains an injected model, or injects the methods of opt into a base and trains at once. Bad input leaves nothing
// behind. When ctx ends, the running step is finished and saved, and the error is a [*train.InterruptedError]: [Resume] goes on
// from there to the bit.
func (m *Model) Train(ctx context.Context, opt TrainOptions) (*Run, error) {
	j, err := m.job(opt)
	if err != nil {
		return nil, err
	}
	return j.start(ctx)
}

// Resume goes on with a run that was interrupted, on the same data with the same settings.
func Resume(ctx context.Context, dir string, opt ResumeOptions) (*Run, error) {
	j, err := resumed(dir, opt)
	if err != nil {
		return nil, err
	}
	r, err := j.start(ctx)
	if r != nil {
		r.model = opt.Model
	}
	return r, err
}

// job reads everything and writes nothing.
func (m *Model) job(opt TrainOptions) (*job, error) {
	if opt.Settings == (train.Settings{}) {
		opt.Settings = train.DefaultSettings()
		opt.Settings.Seed = cmp.Or(opt.Seed, opt.Settings.Seed)
	}
	opt.Seed = opt.Settings.Seed
	if err := opt.Settings.Validate(); err != nil {
		return nil, &SettingError{"", err.Error()}
	}
	switch {
	case len(opt.Data) == 0:
		return nil, settingf("Data", "it is needed")
	case opt.Output == "":
		return nil, settingf("Output", "it is needed")
	case opt.Split != 0 && len(opt.Eval) > 0:
		return nil, settingf("Split", "setting Eval has what to judge on; leave one of both away")
	case !(opt.Split >= 0 && opt.Split < 1):
		return nil, settingf("Split", "%v: must be above 0 and below 1", opt.Split)
	}
	j := &job{Engine: opt.Engine, Watch: opt.Watch, autodiff: autodiff.Options{FusedMatMul: opt.FusedMatMul}}
	var err error
	if j.run, err = train.NewRun(opt.Output); err != nil {
		return nil, err
	}
	m, set, err := m.trainable(&opt)
	if err != nil {
		return nil, err
	}
	plan := *m.Plan // the model's own stays open for other data
	said, err := task.Choose(&plan.Task, set)
	if err != nil {
		return nil, err
	}
	for _, line := range said {
		j.notef("%s", line)
	}
	j.graph, j.run.Plan, j.run.Settings = m.Graph, &plan, opt.Settings
	if j.reader, err = newReader(m.tokenizer(opt.Tokenizer), opt.MaxLength, m.Info); err != nil {
		return nil, err
	}
	if err := j.read(set, opt); err != nil {
		return nil, err
	}
	if slices.Contains(slices.Concat(opt.Data, opt.Eval), data.Stdin) {
		j.notef("standard input can't be read again: this run can't be resumed")
	}
	j.create = func() error { return j.run.Create(j.reader.tokenizer.Path()) }
	return j, j.run.SetModel(m.Path)
}

// trainable is the model with something to train in it, and the training data read as its task wants; so will the other data.
func (m *Model) trainable(opt *TrainOptions) (*Model, *data.Set, error) {
	var t task.Task
	var err error
	switch {
	case m.Plan == nil && len(opt.Methods) == 0:
		return nil, nil, fmt.Errorf("%s: %w", m.Path, &inject.NoPlanError{})
	case m.Plan == nil && opt.NoHead:
		return nil, nil, settingf("NoHead", "nothing says what to train for")
	case m.Plan == nil:
		t, err = opt.task()
	case len(opt.Methods) > 0:
		return nil, nil, settingf("Method", "%s is injected already; train the original model, or give no method", m.Path)
	case m.Plan.Task.Type == "":
		return nil, nil, fmt.Errorf("%s was injected without a head: inject again with a task", m.Path)
	default:
		opt.Labels = m.Plan.Task.Labels
		t, err = task.Of(m.Plan.Task)
	}
	if err != nil {
		return nil, nil, err
	}
	opt.DataOptions.Schema = t.Schema()
	set, err := data.ReadAll(opt.Data, opt.DataOptions)
	if err != nil {
		return nil, nil, err
	}
	if opt.Labels, err = t.Labels(set, opt.Labels); err != nil || m.Plan != nil {
		return m, set, err
	}
	m, err = m.Inject(opt.InjectOptions)
	return m, set, err
}

// read encodes the data, and says what is doubtful about them.
func (j *job) read(set *data.Set, opt TrainOptions) (err error) {
	j.run.MaxLength = j.reader.maxLength
	j.run.Data = train.DataColumns{Format: set.Format, Text: set.TextColumn, Pair: set.PairColumn, Label: set.LabelColumn, Header: set.Header,
		Base: set.LabelBase, Join: set.Join, Strict: opt.DataOptions.Strict, Latin1: opt.DataOptions.Latin1, Forced: opt.DataOptions.Format != "", Split: opt.Split}
	var eval *data.Set
	if len(opt.Eval) > 0 {
		if eval, err = data.ReadAll(opt.Eval, opt.DataOptions); err != nil {
			return err
		}
	}
	j.notes(set.SkippedText())
	if eval != nil {
		j.notes(eval.SkippedText())
	}
	if set, eval, err = j.encode(set, eval); err != nil {
		return err
	}
	if j.run.Data.Split > 0 {
		j.notes(data.SplitText(set, eval))
	}
	j.notes(data.Compare(set, eval, j.run.Plan.Task.Labels)...)
	files, err := data.Files(opt.Data...)
	if err != nil {
		return err
	}
	judged, err := data.Files(opt.Eval...)
	if err != nil {
		return err
	}
	return j.run.SetData(files, judged)
}

// notes passes on lines that aren't empty.
func (j *job) notes(lines ...string) {
	for _, line := range lines {
		if line != "" {
			j.notef("%s", line)
		}
	}
}

// encode encodes the data, of which a part is held out where the run says so. It returns what is trained on and judged on.
func (j *job) encode(set, eval *data.Set) (_, _ *data.Set, err error) {
	if share := j.run.Data.Split; share > 0 {
		if set, eval, err = data.Split(set, share, j.run.Settings.Seed); err != nil {
			return nil, nil, err
		}
	}
	if j.train, err = j.reader.dataset(j.Engine, set, j.run.Plan.Task); err == nil && eval != nil {
		j.eval, err = j.reader.dataset(j.Engine, eval, j.run.Plan.Task)
	}
	return set, eval, err
}

// resumed rebuilds a job from its folder; the settings are the run's own.
func resumed(dir string, opt ResumeOptions) (*job, error) {
	run, err := train.OpenRun(dir)
	if err != nil {
		return nil, err
	}
	if run.Finished {
		return nil, &FinishedError{run.Dir}
	}
	j := &job{Engine: opt.Engine, Watch: opt.Watch, run: run}
	if j.graph, err = injectedModel(run, opt.Model, false); err != nil {
		return nil, err
	}
	if err := j.reread(); err != nil {
		return nil, err
	}
	return j, j.checkpoint()
}

// reread reads the run's data as they were read at its start.
func (j *job) reread() error {
	if err := j.run.CheckData(); err != nil {
		return err
	}
	var err error
	if j.reader, err = runReader(j.run); err != nil {
		return err
	}
	var eval *data.Set
	set, err := readLike(data.Options{}, j.run, j.run.TrainPaths())
	if err == nil && j.run.EvalFile != "" {
		eval, err = readLike(data.Options{}, j.run, j.run.EvalPaths())
	}
	if err == nil {
		_, _, err = j.encode(set, eval)
	}
	return err
}

// checkpoint reads the state to go on from: none for a run that was killed before it wrote one.
func (j *job) checkpoint() error {
	state, err := j.run.Checkpoint()
	if errors.Is(err, fs.ErrNotExist) {
		j.notef("%s has no checkpoint yet: starting from the beginning", j.run.Dir)
		j.run.BestEpoch, j.run.Best = 0, nil // an adapter that is lost too is written again
		return nil
	}
	if err != nil {
		return hinted(err, "the best adapter so far can still be exported; to train, start again in another folder")
	}
	j.resumed = &state
	return nil
}
