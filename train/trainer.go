package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/optim"
	"github.com/peftgraph/peftgraph/train/task"
)

// Settings are what a run is made with; with the seed they determine it.
type Settings struct {
	Epochs       int     `json:"epochs"`
	BatchSize    int     `json:"batch_size"`
	Accumulate   int     `json:"accumulate"` // batches per optimizer step
	LearningRate float64 `json:"learning_rate"`
	WeightDecay  float64 `json:"weight_decay"`
	Warmup       float64 `json:"warmup"`    // share of the steps over which the learning rate rises
	ClipNorm     float64 `json:"clip_norm"` // largest gradient norm; 0 is none
	Optimizer    string  `json:"optimizer"`
	Schedule     string  `json:"schedule"`
	Seed         uint64  `json:"seed"`
	EvalBatch    int     `json:"eval_batch_size"`
}

// DefaultSettings are good for LoRA on a BERT with some thousand examples.
func DefaultSettings() Settings {
	return Settings{Epochs: 3, BatchSize: 32, Accumulate: 1, LearningRate: 1e-3, WeightDecay: 0.01, Warmup: 0.06, ClipNorm: 1,
		Optimizer: "adamw", Schedule: "linear", Seed: 1, EvalBatch: 32}
}

// Validate checks the settings.
func (s Settings) Validate() error {
	for _, c := range []struct {
		bad  bool
		flag string
		v    any
		want string
	}{
		{s.Epochs < 1, "epochs", s.Epochs, "at least 1"},
		{s.BatchSize < 1, "batch-size", s.BatchSize, "at least 1"},
		{s.EvalBatch < 1, "eval-batch-size", s.EvalBatch, "at least 1"},
		{s.Accumulate < 1, "accumulate", s.Accumulate, "at least 1"},
		{!(s.LearningRate > 0) || math.IsInf(s.LearningRate, 0), "lr", s.LearningRate, "above 0"},
		{!(s.WeightDecay >= 0), "weight-decay", s.WeightDecay, "at least 0"},
		{!(s.Warmup >= 0 && s.Warmup <= 1), "warmup", s.Warmup, "from 0 to 1"},
		{!(s.ClipNorm >= 0), "clip", s.ClipNorm, "at least 0"},
	} {
		if c.bad {
			return fmt.Errorf("train: --%s %v: must be %s", c.flag, c.v, c.want)
		}
	}
	return nil
}

// A Trainer runs the loop. Eval may be nil: then the last parameters count as the best.
type Trainer struct {
	Settings
	Step    *StepGraph
	Exec    Executor   // runs Step.Graph
	Forward *Predictor // runs the forward graph; its Params are set by the trainer
	Train   *data.Dataset
	Eval    *data.Dataset
	// Save, when set, is called at the end of each epoch and when the run is interrupted.
	Save func(State) error
	// Report, when set, is told of each step, evaluation and epoch.
	Report func(Event)

	opt      optim.Optimizer
	schedule optim.Schedule
	decay    []bool
	state    State
	batches  int // an epoch
	said     map[string]bool
}

// A State is all that a run needs to go on: with the same settings and data it continues to the bit.
type State struct {
	Epoch      int       // epochs finished
	Batch      int       // batches finished in the epoch after them
	Steps      int       // optimizer steps taken
	LossSum    float64   // Σ loss over the examples of the unfinished epoch
	LossCount  float64   // Σ of their weights, their number where each weighs 1
	Params     []float32 // flat, in the layout's order
	Optimizer  map[string][]float32
	Best       []float32   // the best parameters so far
	BestEpoch  int         // the epoch after which they were reached, from 1; 0 when there are none yet
	BestMetric task.Scores // what they reached
	// Fitted are the task's settings with what it chose on the evaluation set for the best parameters, by which BestMetric is
	// measured; nil where it chooses nothing.
	Fitted json.RawMessage
}

// An Event is something that happened in a run.
type Event struct {
	Kind    string      `json:"kind"` // "step", "eval", "note" or "epoch"
	Epoch   int         `json:"epoch"`
	Step    int         `json:"step"`
	Steps   int         `json:"steps"` // of the whole run
	Loss    float64     `json:"loss,omitempty"`
	Norm    float64     `json:"grad_norm,omitempty"`
	LR      float64     `json:"lr,omitempty"`
	Metrics task.Scores `json:"metrics,omitempty"`
	Best    bool        `json:"best,omitempty"`
	Seconds float64     `json:"seconds,omitempty"`
	Tokens  int         `json:"tokens,omitempty"` // positions computed, padding included
	Note    string      `json:"note,omitempty"`   // what is doubtful, in one line: it is said once in a run
	// Done and Total count examples of a running evaluation.
	Done  int `json:"-"`
	Total int `json:"-"`
}

// InterruptedError says that a run stopped because its context was cancelled, after finishing and saving the step.
type InterruptedError struct{ Epoch, Step, Steps int }

func (e *InterruptedError) Error() string {
	return fmt.Sprintf("train: interrupted in epoch %d after step %d of %d", e.Epoch, e.Step, e.Steps)
}

// DivergedError says that the loss, a gradient or a parameter is no longer a finite number.
type DivergedError struct {
	Step int
	What string
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("train: step %d: the %s is not a finite number", e.Step, e.What)
}

// Hint says what to try.
func (e *DivergedError) Hint() string { return "lower --lr, or --clip the gradients" }

// Run trains from the plan's initial values, or from a saved state, and returns the final state. When ctx is cancelled the
// running step is finished, Save is called and the error is an [*InterruptedError].
func (t *Trainer) Run(ctx context.Context, initial []float32, from *State) (State, error) {
	if err := t.prepare(initial, from); err != nil {
		return t.state, err
	}
	for t.state.Epoch < t.Epochs {
		if err := t.epoch(ctx); err != nil {
			return t.state, err
		}
	}
	return t.state, nil
}

func (t *Trainer) prepare(initial []float32, from *State) (err error) {
	if err := t.Validate(); err != nil {
		return err
	}
	if len(t.Train.Encodings) == 0 {
		return errors.New("train: the training set is empty")
	}
	if err := t.units(); err != nil {
		return err
	}
	for _, d := range []*data.Dataset{t.Train, t.Eval} {
		if d == nil {
			continue
		}
		if err := task.CheckTargets(t.Step.Task, d, t.Step.Plan.Task.Labels); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	if t.opt, err = optim.New(t.Optimizer, len(initial), optim.Settings{WeightDecay: t.WeightDecay, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Momentum: 0.9}); err != nil {
		return err
	}
	if t.schedule, err = optim.NewSchedule(t.Schedule); err != nil {
		return err
	}
	t.decay = t.Step.Layout.Decay()
	t.state = State{Params: slices.Clone(initial), Optimizer: t.opt.State()}
	if from == nil {
		t.startBias(t.state.Params)
		return nil
	}
	if len(from.Params) != len(initial) {
		return fmt.Errorf("train: the saved state has %d parameters and the model %d: it belongs to another run", len(from.Params), len(initial))
	}
	if err := t.opt.Restore(from.Optimizer, from.Steps); err != nil {
		return err
	}
	t.state = *from
	t.state.Params, t.state.Optimizer = slices.Clone(from.Params), t.opt.State()
	return nil
}

// units checks that the training set has something to learn from, in the groups that the loss compares.
func (t *Trainer) units() error {
	want := 1
	if g, ok := t.Step.Task.(task.Grouped); ok {
		want = g.Group()
	}
	if have := max(t.Train.Group, 1); have != want {
		return fmt.Errorf("train: the training set has %d texts a row, and the loss compares %d", have, want)
	}
	if t.stepsPerEpoch() == 0 {
		return errors.New("train: every row of the training set weighs 0: there is nothing to learn from")
	}
	return nil
}

// startBias puts a new classifier's bias where the task says that it should start.
func (t *Trainer) startBias(params []float32) {
	s, ok := t.Step.Task.(task.Starter)
	if !ok {
		return
	}
	for _, slot := range t.Step.Layout.Slots {
		if slot.Method == "head" && slot.Target == "classifier" && slot.Role == "bias" && slot.Init != "base" {
			copy(params[slot.Offset:slot.Offset+slot.Len()], s.Start(t.Train, t.Step.Plan.Task.Labels))
		}
	}
}

// Steps returns the number of optimizer steps of the whole run.
func (t *Trainer) Steps() int { return t.Epochs * t.stepsPerEpoch() }

func (t *Trainer) stepsPerEpoch() int {
	if t.batches == 0 {
		t.batches = len(t.Train.TrainOrder(t.BatchSize, t.Seed, 0))
	}
	return ceil(t.batches, t.Accumulate)
}

func ceil(n, by int) int { return (n + by - 1) / by }

func (t *Trainer) epoch(ctx context.Context) error {
	order := t.Train.TrainOrder(t.BatchSize, t.Seed, uint64(t.state.Epoch))
	for t.state.Batch < len(order) {
		if ctx.Err() != nil {
			return t.interrupted()
		}
		group := order[t.state.Batch:min(t.state.Batch+t.Accumulate, len(order))]
		// The step is finished even when the user has asked to stop.
		if err := t.step(context.WithoutCancel(ctx), group); err != nil {
			return err
		}
	}
	mean := t.state.LossSum / max(t.state.LossCount, math.SmallestNonzeroFloat64)
	best, scores, err := t.judge(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return t.interrupted()
		}
		return err
	}
	t.state.Epoch++
	t.state.Batch, t.state.LossSum, t.state.LossCount = 0, 0, 0
	t.report(Event{Kind: "epoch", Loss: mean, Metrics: scores, Best: best})
	return t.save()
}

func (t *Trainer) interrupted() error {
	if err := t.save(); err != nil {
		return err
	}
	return &InterruptedError{t.state.Epoch + 1, t.state.Steps, t.Steps()}
}

func (t *Trainer) save() error {
	if t.Save == nil {
		return nil
	}
	return t.Save(t.state)
}

func (t *Trainer) report(e Event) {
	if t.Report == nil {
		return
	}
	e.Step, e.Steps = t.state.Steps, t.Steps()
	if e.Epoch = t.state.Epoch; e.Kind != "epoch" {
		e.Epoch++
	}
	t.Report(e)
}

// step computes the gradient over a group of batches and takes one optimizer step. Each example weighs the same, whatever
// batch it is in.
func (t *Trainer) step(ctx context.Context, group [][]int) error {
	start := time.Now()
	var batches []*data.Batch
	var numbers []uint64
	weight, tokens := 0.0, 0
	for i, indices := range group {
		number := uint64(t.state.Epoch)<<32 | uint64(t.state.Batch+i)
		b := t.Train.Draw(indices, t.Seed, number)
		batches, numbers = append(batches, b), append(numbers, number)
		weight += b.Weight
		tokens += b.Size * b.Length
	}
	if weight == 0 {
		return t.skip(group)
	}
	var grads []float32
	loss := 0.0
	for i, b := range batches {
		l, g, err := t.gradient(ctx, b, 1/weight, numbers[i])
		if err != nil {
			return err
		}
		loss += l
		if grads == nil {
			grads = g
			continue
		}
		for k, v := range g {
			grads[k] += v
		}
	}
	lr := t.LearningRate * t.schedule(t.state.Steps, int(math.Ceil(t.Warmup*float64(t.Steps()))), t.Steps())
	norm := optim.Clip(grads, t.ClipNorm)
	if err := finite(t.state.Steps+1, loss, norm); err != nil {
		return err
	}
	t.opt.Step(t.state.Params, grads, lr, t.decay)
	if !allFinite(t.state.Params) {
		return &DivergedError{t.state.Steps + 1, "largest updated parameter"}
	}
	t.state.Steps++
	t.state.Batch += len(group)
	t.state.LossSum += loss * weight
	t.state.LossCount += weight
	t.report(Event{Kind: "step", Loss: loss, Norm: norm, LR: lr, Seconds: time.Since(start).Seconds(), Tokens: tokens})
	return nil
}

// skip counts a step without a target: nothing is learned from it.
func (t *Trainer) skip(group [][]int) error {
	t.state.Steps++
	t.state.Batch += len(group)
	t.report(Event{Kind: "step"})
	return nil
}

func finite(step int, loss, norm float64) error {
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return &DivergedError{step, "loss"}
	}
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return &DivergedError{step, "gradient"}
	}
	return nil
}

// allFinite reports whether no element is NaN or infinite: x−x is 0 for all others.
func allFinite(xs []float32) bool {
	for _, x := range xs {
		if x-x != 0 {
			return false
		}
	}
	return true
}

// gradient runs the training graph on one batch. The gradient is the caller's to change.
func (t *Trainer) gradient(ctx context.Context, b *data.Batch, weight float64, number uint64) (float64, []float32, error) {
	feeds, err := t.Step.Feeds(b, t.state.Params, weight, t.Seed, number)
	if err != nil {
		return 0, nil, err
	}
	res, err := t.Exec.Run(ctx, feeds, []string{LossOutput, GradsOutput})
	if err != nil {
		return 0, nil, fmt.Errorf("train: step %d: %w", t.state.Steps+1, err)
	}
	loss, err := float32s(res[0])
	if err != nil {
		return 0, nil, err
	}
	grads, err := float32s(res[1])
	if err != nil {
		return 0, nil, err
	}
	return float64(loss[0]), slices.Clone(grads), nil
}

// Feeds returns everything the training graph reads for a batch: its weights are multiplied by scale, and dropout masks are
// drawn from (seed, number).
func (s *StepGraph) Feeds(b *data.Batch, params []float32, scale float64, seed, number uint64) (map[string]*graph.Tensor, error) {
	feeds, err := TokenFeeds(s.Graph, s.Plan.Encoder, b)
	if err != nil {
		return nil, err
	}
	if err := s.targetFeeds(feeds, b, scale); err != nil {
		return nil, err
	}
	feeds[ParamsInput] = graph.TensorOf(nil, params)
	return feeds, s.maskFeeds(feeds, b, seed, number)
}

// judge evaluates the present parameters and keeps them if they are the best so far.
func (t *Trainer) judge(ctx context.Context) (best bool, scores task.Scores, err error) {
	if t.Eval == nil {
		return true, nil, t.keep(nil, nil, t.lastStep(ctx))
	}
	t.Forward.Params = t.state.Params
	r := &task.Results{Data: t.Eval, Width: t.Step.Plan.Task.Outputs(), Labels: t.Step.Plan.Task.Labels}
	r.Rows, err = t.Forward.Predict(ctx, t.Eval, nil, t.EvalBatch, func(done, total int) {
		t.report(Event{Kind: "eval", Done: done, Total: total})
	})
	if err != nil {
		return false, nil, err
	}
	fitted, settings, err := fit(t.Step.Plan.Task, r)
	if err != nil {
		return false, nil, err
	}
	if scores, err = fitted.Evaluate(r); err != nil {
		return false, nil, err
	}
	if w, ok := fitted.(task.Warner); ok {
		t.note(w.Warn(r)...)
	}
	first := task.Decides(fitted, scores)
	kept := t.state.BestMetric[first]
	if best = t.state.BestEpoch == 0 || task.Better(fitted, first, scores[first], kept); !best {
		if scores[first] == kept {
			t.note(fmt.Sprintf("after epoch %d, %s is %.4f as after epoch %d, which is kept", t.state.Epoch+1, first, kept, t.state.BestEpoch))
		}
		return false, scores, nil
	}
	return true, scores, t.keep(scores, settings, nil)
}

// note reports what is doubtful, each once.
func (t *Trainer) note(notes ...string) {
	for _, text := range notes {
		if t.said[text] {
			continue
		}
		if t.said == nil {
			t.said = map[string]bool{}
		}
		t.said[text] = true
		t.report(Event{Kind: "note", Note: text})
	}
}

// keep makes the present parameters the best ones.
func (t *Trainer) keep(scores task.Scores, fitted json.RawMessage, err error) error {
	if err == nil {
		t.state.Best, t.state.BestEpoch = slices.Clone(t.state.Params), t.state.Epoch+1
		t.state.BestMetric, t.state.Fitted = scores, fitted
	}
	return err
}

// fit returns the task as it is once it has chosen what it chooses on labelled examples, and its settings then, nil where it
// chooses nothing.
func fit(of inject.Task, r *task.Results) (task.Task, json.RawMessage, error) {
	t, err := task.Of(of)
	if err != nil {
		return nil, nil, err
	}
	f, ok := t.(task.Fitter)
	if !ok {
		return t, nil, nil
	}
	if err := f.Fit(r); err != nil {
		return nil, nil, err
	}
	settings, err := json.Marshal(t)
	return t, settings, err
}

// lastStep looks whether the last step diverged, which without an evaluation nothing else would notice.
func (t *Trainer) lastStep(ctx context.Context) error {
	b := t.Train.Batch(t.Train.EvalOrder(t.BatchSize)[0])
	if b.Weight == 0 {
		return nil
	}
	loss, _, err := t.gradient(ctx, b, 1/b.Weight, uint64(t.state.Epoch))
	if err != nil {
		return err
	}
	return finite(t.state.Steps, loss, 0)
}
