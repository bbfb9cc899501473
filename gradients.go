package peftgraph

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/task"
)

// GradientOptions say how gradients are checked.
type GradientOptions struct {
	Engine
	Parameters int    // how many parameters to vary, spread over the layers; 0 is all
	Length     int    // tokens of the texts made up for it; 0 is 5
	Seed       uint64 // of values, tokens and directions
}

// Gradients compare emitted gradients with measured ones.
type Gradients struct {
	Model   string                 `json:"model"`
	Results []train.GradientResult `json:"results"`
	Worst   float64                `json:"worst_relative_error"`       // of the emitted gradients from central differences, in float64
	Float32 float64                `json:"onnxruntime_relative_error"` // of onnxruntime's float32 gradients from those, over all parameters
}

// Check fails with a [*DiffersError] when an error is past its threshold; a NaN is.
func (g *Gradients) Check(worst, float32s float64) error {
	if !(g.Worst <= worst) || !(g.Float32 <= float32s) {
		return &DiffersError{"the gradients are past a threshold"}
	}
	return nil
}

// CheckGradients compares the gradients that training an injected model would follow with central differences, in float64, and
// onnxruntime's with both.
func (m *Model) CheckGradients(ctx context.Context, opt GradientOptions) (*Gradients, error) {
	if m.Plan == nil {
		return nil, fmt.Errorf("%s: %w", m.Path, &inject.NoPlanError{})
	}
	s, err := train.NewStepGraph(m.Graph, m.Plan, autodiff.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Path, err)
	}
	feeds, err := opt.feeds(s, m.Graph)
	if err != nil {
		return nil, err
	}
	exec, err := refeval.New(s.Graph)
	if err != nil {
		return nil, err
	}
	res := &Gradients{Model: filepath.Clean(m.Path)}
	res.Results, err = s.CheckGradients(ctx, exec, feeds, spread(s.Layout.Slots, opt.Parameters), opt.Seed, opt.step("varying parameters"))
	if err != nil {
		return nil, err
	}
	for _, r := range res.Results {
		res.Worst = math.Max(res.Worst, r.RelErr)
	}
	res.Float32, err = opt.againstRuntime(ctx, s, exec, feeds)
	return res, err
}

// feeds makes two texts up and moves every parameter off its start: where B is zero, A's gradient is too.
func (opt GradientOptions) feeds(s *train.StepGraph, g *graph.Graph) (map[string]*graph.Tensor, error) {
	values, err := s.Plan.Values(g)
	if err != nil {
		return nil, err
	}
	params, err := s.Layout.Flatten(values)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(opt.Seed, 0))
	for i := range params {
		params[i] += float32(0.02 * rng.NormFloat64())
	}
	const length = 5
	n := min(max(cmp.Or(opt.Length, length), 2), s.Plan.Encoder.Positions)
	d := task.MakeUp(s.Task, s.Plan.Task.Labels, s.Plan.Encoder.Vocab, n, 2, opt.Seed)
	return s.Feeds(d.Batch([]int{0, 1}), params, 0.5, opt.Seed, 0)
}

// spread chooses n of the slots, evenly, the first and the last among them.
func spread(slots []train.Slot, n int) []train.Slot {
	if n <= 0 || n >= len(slots) {
		return slots
	}
	var out []train.Slot
	for i := range n {
		out = append(out, slots[i*(len(slots)-1)/max(1, n-1)])
	}
	return out
}

// againstRuntime returns ‖float32 gradient of onnxruntime − float64 gradient‖ / ‖float64 gradient‖ over all parameters.
func (opt GradientOptions) againstRuntime(ctx context.Context, s *train.StepGraph, exact train.Executor, feeds map[string]*graph.Tensor) (float64, error) {
	e, err := opt.open(ctx)
	if err != nil {
		return 0, err
	}
	session, err := e.session(ctx, "training graph", s.Graph)
	if err != nil {
		return 0, err
	}
	defer session.Close()
	var grads [2][]float64
	for i, exec := range []train.Executor{session, exact} {
		res, err := exec.Run(ctx, feeds, []string{train.GradsOutput})
		if err != nil {
			return 0, err
		}
		if grads[i], err = res[0].Float64s(); err != nil {
			return 0, err
		}
	}
	var diff, norm float64
	for i, g := range grads[1] {
		diff += (grads[0][i] - g) * (grads[0][i] - g)
		norm += g * g
	}
	return math.Sqrt(diff / max(norm, 1e-30)), nil
}
