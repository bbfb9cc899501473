// Package optim updates a flat vector of parameters from a flat vector of gradients. It knows neither graphs nor methods.
package optim

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// An Optimizer moves parameters. Its state is float32 vectors as long as the parameters, by name, so that a checkpoint can
// hold it and continue to the bit.
type Optimizer interface {
	// Step updates params in place from grads at learning rate lr. decay[i] says whether weight decay applies to element i;
	// nil is all of them.
	Step(params, grads []float32, lr float64, decay []bool)
	// State returns the vectors to save; their elements alias the optimizer's own.
	State() map[string][]float32
	// Steps returns how many steps were taken, and Restore sets state and count from a checkpoint.
	Steps() int
	Restore(state map[string][]float32, steps int) error
}

// Settings are every optimizer's settings; each takes those it knows.
type Settings struct {
	WeightDecay  float64
	Beta1, Beta2 float64
	Eps          float64
	Momentum     float64
}

var optimizers = map[string]func(n int, s Settings) Optimizer{}

func register(name string, build func(n int, s Settings) Optimizer) {
	if _, dup := optimizers[name]; dup {
		panic("optim: optimizer " + name + " registered twice")
	}
	optimizers[name] = build
}

// Names returns the registered optimizers, sorted.
func Names() []string { return sortedKeys(optimizers) }

// New returns an optimizer for n parameters.
func New(name string, n int, s Settings) (Optimizer, error) {
	build, ok := optimizers[name]
	if !ok {
		return nil, fmt.Errorf("optim: optimizer %q: unknown; there are %s", name, strings.Join(Names(), ", "))
	}
	return build(n, s), nil
}

// A Schedule gives the factor by which the peak learning rate is multiplied at a step in 0 … total−1, after warmup steps of
// linear increase.
type Schedule func(step, warmup, total int) float64

var schedules = map[string]Schedule{}

func registerSchedule(name string, s Schedule) {
	if _, dup := schedules[name]; dup {
		panic("optim: schedule " + name + " registered twice")
	}
	schedules[name] = func(step, warmup, total int) float64 {
		if step < warmup {
			return float64(step) / float64(max(1, warmup))
		}
		return s(step, warmup, total)
	}
}

// ScheduleNames returns the registered schedules, sorted.
func ScheduleNames() []string { return sortedKeys(schedules) }

// NewSchedule returns a schedule by name.
func NewSchedule(name string) (Schedule, error) {
	s, ok := schedules[name]
	if !ok {
		return nil, fmt.Errorf("optim: schedule %q: unknown; there are %s", name, strings.Join(ScheduleNames(), ", "))
	}
	return s, nil
}

// Norm returns the Euclidean norm of x, summed in float64.
func Norm(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}

// Clip scales x in place so that its norm is at most limit and returns the norm it had. The factor is PyTorch's
// clip_grad_norm_: limit/(norm+1e-6). A limit of 0 leaves x alone.
func Clip(x []float32, limit float64) float64 {
	norm := Norm(x)
	factor := float32(limit / (norm + 1e-6))
	if limit > 0 && factor < 1 {
		for i := range x {
			x[i] *= factor
		}
	}
	return norm
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// restore copies saved vectors over an optimizer's own.
func restore(own, saved map[string][]float32) error {
	for name, to := range own {
		from, ok := saved[name]
		if !ok || len(from) != len(to) {
			return fmt.Errorf("optim: saved state %q has %d elements; %d are needed: it belongs to another run", name, len(from), len(to))
		}
		copy(to, from)
	}
	return nil
}
