package optim

import (
	"math"
	goruntime "runtime"
	"sync"
)

func init() {
	register("adamw", func(n int, s Settings) Optimizer {
		return &adamW{Settings: s, m: make([]float32, n), v: make([]float32, n)}
	})
}

// adamW is Adam with decoupled weight decay (Loshchilov & Hutter 2019), in PyTorch's order of operations:
//
//	θ ← θ·(1 − lr·λ);  m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²
//	θ ← θ − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)
type adamW struct {
	Settings
	m, v []float32
	t    int
}

func (a *adamW) Steps() int { return a.t }

func (a *adamW) State() map[string][]float32 { return map[string][]float32{"m": a.m, "v": a.v} }

func (a *adamW) Restore(state map[string][]float32, steps int) error {
	a.t = steps
	return restore(a.State(), state)
}

func (a *adamW) Step(params, grads []float32, lr float64, decay []bool) {
	a.t++
	size := lr / (1 - math.Pow(a.Beta1, float64(a.t)))
	root := math.Sqrt(1 - math.Pow(a.Beta2, float64(a.t)))
	shrink := float32(1 - lr*a.WeightDecay)
	inParallel(len(params), func(lo, hi int) {
		b1, b2 := float32(a.Beta1), float32(a.Beta2)
		for i := lo; i < hi; i++ {
			g := grads[i]
			if decay == nil || decay[i] {
				params[i] *= shrink
			}
			a.m[i] = b1*a.m[i] + (1-b1)*g
			a.v[i] = b2*a.v[i] + (1-b2)*g*g
			params[i] -= float32(size * float64(a.m[i]) / (math.Sqrt(float64(a.v[i]))/root + a.Eps))
		}
	})
}

// inParallel splits 0 … n−1 among the processors; every element is computed alone, so the split doesn't change the result.
func inParallel(n int, do func(lo, hi int)) {
	const worthwhile = 1 << 16
	parts := min(goruntime.GOMAXPROCS(0), n/worthwhile+1)
	var wg sync.WaitGroup
	for p := range parts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			do(n*p/parts, n*(p+1)/parts)
		}()
	}
	wg.Wait()
}
