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
)

// A GradientResult compares the emitted gradient of one trainable with a central difference of the loss along one random
// direction: RelErr is |difference| / max(|either|, ‖gradient‖/√n, 1e-5), where n is the trainable's size. The second is what
// |gradient · direction| is on average, so that a direction that happens to be almost orthogonal doesn't count as an error.
type GradientResult struct {
	Name     string  `json:"name"`
	Target   string  `json:"target"`
	Role     string  `json:"role"`
	Emitted  float64 `json:"emitted"` // gradient · direction
	Measured float64 `json:"measured"`
	RelErr   float64 `json:"relative_error"`
}

// gradientFloor keeps the rounding noise of a derivative that is zero, a key bias's for example, from counting: a difference
// of losses near 1 has an error of about 1e-16, which fivePoint divides by its step.
const gradientFloor = 1e-5

// CheckGradients varies each chosen slot of the flat parameters along a random direction and compares the loss's five-point
// central difference with the emitted gradient. exec runs s.Graph in float64, such as the reference evaluator; feeds are
// [StepGraph.Feeds]; progress, when set, is told how far it is.
func (s *StepGraph) CheckGradients(ctx context.Context, exec Executor, feeds map[string]*graph.Tensor, slots []Slot, seed uint64, progress func(done, total int)) ([]GradientResult, error) {
	params, err := feeds[ParamsInput].Float64s()
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	constant, err := s.detached(ctx, exec, feeds)
	if err != nil {
		return nil, err
	}
	at := func(p []float64, fetch string) ([]float64, error) {
		own := maps.Clone(feeds)
		maps.Copy(own, constant)
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
		r.Measured, err = fivePoint(params, d, func(p []float64) (float64, error) {
			l, err := at(p, LossOutput)
			if err != nil {
				return 0, err
			}
			return l[0], nil
		})
		if err != nil {
			return nil, err
		}
		r.RelErr = math.Abs(r.Emitted-r.Measured) / max(math.Abs(r.Emitted), math.Abs(r.Measured), math.Sqrt(norm/float64(slot.Len())), gradientFloor)
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

// fivePoint is f'(x)·d ≈ (8(f(x+hd) − f(x−hd)) − (f(x+2hd) − f(x−2hd))) / 12h, exact to h⁴.
func fivePoint(x, d []float64, f func([]float64) (float64, error)) (float64, error) {
	const h = 2e-4
	sum := 0.0
	for _, c := range []struct{ at, weight float64 }{{1, 8}, {-1, -8}, {2, -1}, {-2, 1}} {
		p := make([]float64, len(x))
		for i := range x {
			p[i] = x[i] + c.at*h*d[i]
		}
		y, err := f(p)
		if err != nil {
			return 0, err
		}
		sum += c.weight * y
	}
	return sum / (12 * h), nil
}
