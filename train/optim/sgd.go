package optim

func init() {
	register("sgd", func(n int, s Settings) Optimizer { return &sgd{Settings: s, velocity: make([]float32, n)} })
}

// sgd is stochastic gradient descent with momentum μ as PyTorch has it: b ← μb + g + λθ;  θ ← θ − lr·b, where the first
// step sets b to g + λθ, which is what a b of zero gives.
type sgd struct {
	Settings
	velocity []float32
	t        int
}

func (s *sgd) Steps() int { return s.t }

func (s *sgd) State() map[string][]float32 { return map[string][]float32{"velocity": s.velocity} }

func (s *sgd) Restore(state map[string][]float32, steps int) error {
	s.t = steps
	return restore(s.State(), state)
}

func (s *sgd) Step(params, grads []float32, lr float64, decay []bool) {
	s.t++
	mu, lambda := float32(s.Momentum), float32(s.WeightDecay)
	for i, g := range grads {
		if decay == nil || decay[i] {
			g += lambda * params[i]
		}
		s.velocity[i] = mu*s.velocity[i] + g
		params[i] -= float32(lr) * s.velocity[i]
	}
}
