package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/task"
)

func gradcheckCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.Float64Flag{Name: "threshold", Value: 1e-6, Usage: "largest relative error against central differences that passes"},
		&cli.Float64Flag{Name: "float32-threshold", Value: 1e-3, Usage: "largest relative error of onnxruntime's float32 gradients against the float64 ones that passes"},
		&cli.IntFlag{Name: "parameters", Value: 12, Usage: "how many parameters to vary, spread over the layers; 0 is all"},
		&cli.IntFlag{Name: "length", Value: 5, Usage: "tokens of the texts made up for it"},
		&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "seed of values, tokens and directions"},
	}
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:        "gradcheck",
		Usage:       "check the emitted gradients of an injected model against central differences, in float64, and onnxruntime against both",
		ArgsUsage:   "MODEL.onnx",
		Description: "Exit status 3 when an error is past its threshold.",
		Flags:       append(flags, outputFlags()...),
		Action:      withPath("injected model", runGradcheck),
	}
}

// gradients is the JSON form of what gradcheck prints.
type gradients struct {
	Model   string                 `json:"model"`
	Results []train.GradientResult `json:"results"`
	Worst   float64                `json:"worst_relative_error"`
	Float32 float64                `json:"onnxruntime_relative_error"`
}

func runGradcheck(c *cli.Context, o *console, path string) error {
	g, plan, err := loadModel(path)
	if err != nil {
		return err
	}
	if plan == nil {
		return fmt.Errorf("%s: %w", path, &inject.NoPlanError{})
	}
	s, err := train.NewStepGraph(g, plan, autodiff.Options{})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	feeds, err := gradcheckFeeds(c, s, g)
	if err != nil {
		return err
	}
	exec, err := refeval.New(s.Graph)
	if err != nil {
		return err
	}
	b := o.bar("varying parameters", false)
	slots := spread(s.Layout.Slots, c.Int("parameters"))
	res := gradients{Model: filepath.Clean(path)}
	res.Results, err = s.CheckGradients(c.Context, exec, feeds, slots, c.Uint64("seed"), func(done, total int) { b.at(int64(done), int64(total), "") })
	b.end()
	if err != nil {
		return err
	}
	for _, r := range res.Results {
		res.Worst = math.Max(res.Worst, r.RelErr)
	}
	if res.Float32, err = againstRuntime(c, o, s, exec, feeds); err != nil {
		return err
	}
	if err := o.result(res, func(w io.Writer) { res.print(w) }); err != nil {
		return err
	}
	if !(res.Worst <= c.Float64("threshold")) || !(res.Float32 <= c.Float64("float32-threshold")) {
		return differsError{"the gradients are past a threshold"}
	}
	return nil
}

// gradcheckFeeds makes two texts up and moves every parameter off its start: where B is zero, A's gradient is too.
func gradcheckFeeds(c *cli.Context, s *train.StepGraph, g *graph.Graph) (map[string]*graph.Tensor, error) {
	values, err := s.Plan.Values(g)
	if err != nil {
		return nil, err
	}
	params, err := s.Layout.Flatten(values)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(c.Uint64("seed"), 0))
	for i := range params {
		params[i] += float32(0.02 * rng.NormFloat64())
	}
	n := min(max(c.Int("length"), 2), s.Plan.Encoder.Positions)
	d := task.MakeUp(s.Task, s.Plan.Task.Labels, s.Plan.Encoder.Vocab, n, 2, c.Uint64("seed"))
	return s.Feeds(d.Batch([]int{0, 1}), params, 0.5, c.Uint64("seed"), 0)
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
func againstRuntime(c *cli.Context, o *console, s *train.StepGraph, exact train.Executor, feeds map[string]*graph.Tensor) (float64, error) {
	e, err := openEngine(c.Context, c, o)
	if err != nil {
		return 0, err
	}
	session, err := e.session(c.Context, "training graph", s.Graph)
	if err != nil {
		return 0, err
	}
	defer session.Close()
	var grads [2][]float64
	for i, exec := range []train.Executor{session, exact} {
		res, err := exec.Run(c.Context, feeds, []string{train.GradsOutput})
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

func (g gradients) print(w io.Writer) {
	for _, r := range g.Results {
		fmt.Fprintf(w, "%-70s emitted %+.9e  measured %+.9e  relative error %.1e\n", r.Name, r.Emitted, r.Measured, r.RelErr)
	}
	fmt.Fprintf(w, "worst relative error %.1e over %d parameters, in float64; relative to the largest of the derivative, its usual size (the gradient's norm over the root of its length) and %g\n",
		g.Worst, len(g.Results), train.GradientFloor)
	fmt.Fprintf(w, "onnxruntime's float32 gradients: relative error %.1e over all parameters\n", g.Float32)
}
