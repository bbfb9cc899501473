package train

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train/autodiff/gradcheck"
)

// GradientFloor is the least that the error of a gradient is relative to. It keeps the rounding noise of a derivative that is
// zero, a key bias's for example, from counting: a difference of losses near 1 has an error of about 1e-16, and is divided by
// its step.
const GradientFloor = 1e-6

// A GradientResult compares the emitted gradient of one trainable with differences of the loss along one random direction:
// RelErr is |difference| / max(|either|, ‖gradient‖/√n, [GradientFloor]), where n is the trainable's size. The second is what
// |gradient · direction| is on average, so that a direction that happens to be almost orthogonal doesn't count as an error.
type GradientResult struct {
	Name     string  `json:"name"`
	Target   string  `json:"target"`
	Role     string  `json:"role"`
	Emitted  float64 `json:"emitted"` // gradient · direction
	Measured float64 `json:"measured"`
	RelErr   float64 `json:"relative_error"`
}

// CheckGradients varies each chosen slot of the flat parameters along a random direction and compares the loss's slope
// ([gradcheck.Slope]) with the emitted gradient. exec runs s.Graph in float64, such as the reference evaluator, with what the
// gradient's constants stand for in place of what float32 makes of them; feeds are [StepGraph.Feeds]; progress, when set, is
// told how far it is.
func (s *StepGraph) CheckGradients(ctx context.Context, exec Executor, feeds map[string]*graph.Tensor, slots []Slot, seed uint64, progress func(done, total int)) ([]GradientResult, error) {
	params, err := feeds[ParamsInput].Float64s()
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	constants, err := s.detached(ctx, exec, feeds)
	if err != nil {
		return nil, err
	}
	for name, exact := range s.exact {
		constants[name] = graph.Scalar(exact)
	}
	at := func(p []float64, fetch string) ([]float64, error) {
		own := maps.Clone(feeds)
		maps.Copy(own, constants)
		own[ParamsInput] = graph.TensorOf(nil, p)
		res, err := exec.Run(ctx, own, []string{fetch})
		if err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		return res[0].Float64s()
	}
	grads, err := at(params, GradsOutput)
	if err != nil {
		return nil, err
	}
	var out []GradientResult
	for i, slot := range slots {
		d := direction(len(params), slot, seed)
		r := GradientResult{Name: slot.Name, Target: slot.Target, Role: slot.Role}
		norm := 0.0
		for k := slot.Offset; k < slot.Offset+slot.Len(); k++ {
			r.Emitted += grads[k] * d[k]
			norm += grads[k] * grads[k]
		}
		r.Measured, err = gradcheck.Slope(gradcheck.DefaultStep, func(h float64) (float64, error) {
			moved := slices.Clone(params)
			for k := slot.Offset; k < slot.Offset+slot.Len(); k++ {
				moved[k] += h * d[k]
			}
			l, err := at(moved, LossOutput)
			if err != nil {
				return 0, err
			}
			return l[0], nil
		})
		if err != nil {
			return nil, err
		}
		r.RelErr = math.Abs(r.Emitted-r.Measured) / max(math.Abs(r.Emitted), math.Abs(r.Measured), math.Sqrt(norm/float64(slot.Len())), GradientFloor)
		out = append(out, r)
		if progress != nil {
			progress(i+1, len(slots))
		}
	}
	return out, nil
}

// detached returns the results that the gradient takes as constants, DoRA's norms for one, which a difference must do too.
func (s *StepGraph) detached(ctx context.Context, exec Executor, feeds map[string]*graph.Tensor) (map[string]*graph.Tensor, error) {
	var names []string
	for _, n := range s.Graph.Nodes() {
		if inject.Detached(n) && slices.ContainsFunc(n.Output(0).Users(), func(u *graph.Node) bool { return !inject.Detached(u) }) {
			names = append(names, n.Output(0).Name())
		}
	}
	out := map[string]*graph.Tensor{}
	if len(names) == 0 {
		return out, nil
	}
	values, err := exec.Run(ctx, feeds, names)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	for i, name := range names {
		out[name] = values[i]
	}
	return out, nil
}

// direction is a random unit vector within one slot.
func direction(n int, s Slot, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, uint64(s.Offset)))
	d := make([]float64, n)
	norm := 0.0
	for k := s.Offset; k < s.Offset+s.Len(); k++ {
		d[k] = rng.NormFloat64()
		norm += d[k] * d[k]
	}
	for k := s.Offset; k < s.Offset+s.Len(); k++ {
		d[k] /= math.Sqrt(norm)
	}
	return d
}
