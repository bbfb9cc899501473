package inject

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

func init() {
	register("lora", "low-rank updates W + s·B·A beside frozen linear maps (Hu et al. 2021)", func() Method {
		return &LoRA{R: 8, Alpha: 8, Bias: "none", Init: "default", Targets: Targets{Modules: ModuleNames{List: []string{"query", "value"}}}}
	})
}

// LoRA adds y += s·B·A·x beside linear maps, A [r, in] and B [out, r], with s = alpha/r, or alpha/√r for rank-stabilised
// LoRA (Kalajdzievski 2023). Names and defaults are Hugging Face PEFT's LoraConfig.
type LoRA struct {
	Targets
	R            int     `json:"r" flag:"rank" usage:"rank of the update"`
	Alpha        float64 `json:"lora_alpha" flag:"alpha" usage:"scale of the update: alpha/rank"`
	Dropout      float64 `json:"lora_dropout" flag:"dropout" usage:"probability of zeroing an input of the update while training"`
	RSLoRA       bool    `json:"use_rslora" flag:"rslora" usage:"scale by alpha/sqrt(rank)"`
	Bias         string  `json:"bias" flag:"bias" usage:"biases to train: none, lora_only (of the adapted modules) or all"`
	Init         string  `json:"init_lora_weights" flag:"init" usage:"start of A and B: default (A Kaiming uniform, B zero), gaussian (A normal, B zero) or random (neither zero: changes the output)"`
	RankPattern  Pattern `json:"rank_pattern,omitempty" flag:"rank-pattern" usage:"other ranks for some modules: NAME=RANK,..."`
	AlphaPattern Pattern `json:"alpha_pattern,omitempty" flag:"alpha-pattern" usage:"other alphas for some modules: NAME=ALPHA,..."`
}

// The roles of LoRA's parameters, as PEFT names them.
const (
	roleLoraA = "lora_A"
	roleLoraB = "lora_B"
)

func (l *LoRA) validate() error {
	switch {
	case l.R < 1:
		return fmt.Errorf("--rank %d: must be at least 1", l.R)
	case l.Dropout < 0 || l.Dropout >= 1:
		return fmt.Errorf("--dropout %v: must be at least 0 and below 1", l.Dropout)
	case l.Bias != "none" && l.Bias != "all" && l.Bias != "lora_only":
		return fmt.Errorf("--bias %q: must be none, lora_only or all", l.Bias)
	case l.Init != "default" && l.Init != "gaussian" && l.Init != "random":
		return fmt.Errorf("--init %q: must be default, gaussian or random", l.Init)
	}
	return nil
}

// Inject adds the update beside every chosen module.
func (l *LoRA) Inject(in *Injection) error {
	if err := l.validate(); err != nil {
		return err
	}
	chosen, err := in.choose(l.Targets)
	if err != nil {
		return err
	}
	for _, lin := range chosen {
		if err := l.adapt(in, lin); err != nil {
			return fmt.Errorf("module %q: %w", lin.Name, err)
		}
	}
	switch l.Bias {
	case "lora_only":
		return in.trainBiases(linearBiases(chosen))
	case "all":
		return in.trainBiases(in.allBiases())
	}
	return nil
}

func (l *LoRA) adapt(in *Injection, lin *models.Linear) error {
	if lin.Weight.DType != graph.Float {
		return fmt.Errorf("its weight %q is %s: only float32 models can be trained; export the model in float32", lin.Weight.Name(), lin.Weight.DType)
	}
	path := in.path(lin.Name)
	rank, err := l.RankPattern.lookup(path, float64(l.R))
	if err != nil {
		return err
	}
	scale, err := l.scale(path)
	if err != nil {
		return err
	}
	if rank > 2*float64(max(lin.In, lin.Out)) {
		return fmt.Errorf("--rank %v: more than twice the module's width of %d", rank, max(lin.In, lin.Out))
	}
	r := int(rank)

	p := in.Patch(lin.Name)
	rng := in.Rand(lin.Name)
	a, initA, b, initB := l.start(rng, r, lin.In, lin.Out)
	va := in.Trainable(p, "A", Trainable{Target: lin.Name, Role: roleLoraA, Init: initA}, graph.TensorOf([]int64{int64(r), int64(lin.In)}, a))
	vb := in.Trainable(p, "B", Trainable{Target: lin.Name, Role: roleLoraB, Init: initB}, graph.TensorOf([]int64{int64(lin.Out), int64(r)}, b))

	// y + B·(s·A·x): scaled where it is r wide, which is the cheapest place.
	transpose := p.With(graph.IntsAttr("perm", 1, 0))
	x := in.dropout(p, in.Current(lin.Input), l.Dropout)
	low := p.Op("Mul", p.Op("MatMul", x, transpose.Op("Transpose", va)), p.Float(graph.Float, scale))
	y := in.Current(lin.Output)
	site := Site{Target: lin.Name, Weight: lin.Weight.Name(), Transposed: lin.Transposed, Scale: scale}
	return in.Shunt(p, site, y, p.Op("Add", y, p.Op("MatMul", low, transpose.Op("Transpose", vb))))
}

// scale returns alpha/r or alpha/√r for a module.
func (l *LoRA) scale(path string) (float64, error) {
	rank, err := l.RankPattern.lookup(path, float64(l.R))
	if err != nil {
		return 0, err
	}
	if rank < 1 || rank != math.Trunc(rank) {
		return 0, fmt.Errorf("--rank-pattern: rank %v: must be a whole number of at least 1", rank)
	}
	alpha, err := l.AlphaPattern.lookup(path, l.Alpha)
	if err != nil {
		return 0, err
	}
	if l.RSLoRA {
		return alpha / math.Sqrt(rank), nil
	}
	return alpha / rank, nil
}

// start returns the initial A and B and what they are called. "default" is PEFT's init_lora_weights=True: Kaiming uniform
// with a=√5, which is U(−1/√in, 1/√in), and zeros; "random" is its False, both Kaiming uniform.
func (l *LoRA) start(rng *rand.Rand, r, in, out int) (a []float32, initA string, b []float32, initB string) {
	b, initB = make([]float32, out*r), "zeros"
	switch l.Init {
	case "gaussian":
		a, initA = normal(rng, r*in, 1/float64(r)), "normal(1/r)"
	default:
		a, initA = uniform(rng, r*in, 1/math.Sqrt(float64(in))), "kaiming_uniform(sqrt5)"
	}
	if l.Init == "random" {
		b, initB = uniform(rng, out*r, 1/math.Sqrt(float64(r))), "kaiming_uniform(sqrt5)"
	}
	return a, initA, b, initB
}

// Merge adds s·B·A to the weight.
func (l *LoRA) Merge(m *Merging, s Site, mod *Module) error {
	a, err := m.Value(s, roleLoraA)
	if err != nil {
		return err
	}
	b, err := m.Value(s, roleLoraB)
	if err != nil {
		return err
	}
	out, in := mod.Out, mod.In
	r := len(a) / in
	if len(a) != r*in || len(b) != out*r {
		return fmt.Errorf("A has %d elements and B %d: they don't fit a weight of %d×%d", len(a), len(b), out, in)
	}
	for o := range out {
		row := mod.Weight[o*in : (o+1)*in]
		for k := range r {
			f := s.Scale * float64(b[o*r+k])
			for i, v := range a[k*in : (k+1)*in] {
				row[i] = float32(float64(row[i]) + f*float64(v))
			}
		}
	}
	return nil
}

// uniform draws n values from U(−bound, bound).
func uniform(rng *rand.Rand, n int, bound float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32((2*rng.Float64() - 1) * bound)
	}
	return out
}

// normal draws n values from N(0, std²).
func normal(rng *rand.Rand, n int, std float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64() * std)
	}
	return out
}
