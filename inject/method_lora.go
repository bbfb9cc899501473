package inject

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
)

func init() {
	register("lora", "low-rank updates W + s·B·A beside frozen linear maps (Hu et al. 2021)", func() Method {
		return &LoRA{R: 8, Alpha: 8, Bias: "none", Init: "default", Targets: Targets{Modules: ModuleNames{List: []string{"query", "value"}}}}
	})
}

// LoRA adds y += s·B·A·x beside linear maps, A [r, in] and B [out, r], with s = alpha/r, or alpha/√r for rank-stabilised
// LoRA (Kalajdzievski 2023), and y += s·B·A[:, ids] beside the word embeddings, A [r, vocab]. Names and defaults are
// Hugging Face PEFT's LoraConfig.
type LoRA struct {
	Targets
	R             int         `json:"r" flag:"rank" usage:"rank of the update"`
	Alpha         float64     `json:"lora_alpha" flag:"alpha" usage:"scale of the update: alpha/rank"`
	Dropout       float64     `json:"lora_dropout" flag:"dropout" usage:"probability of zeroing an input of the update while training"`
	RSLoRA        bool        `json:"use_rslora" flag:"rslora" usage:"scale by alpha/sqrt(rank)"`
	DoRA          bool        `json:"use_dora,omitempty" flag:"dora" usage:"train the length of each output's weight vector apart from its direction (Liu et al. 2024)"`
	Bias          string      `json:"bias" flag:"bias" usage:"biases to train: none, lora_only (of the adapted modules) or all"`
	UpdateBias    bool        `json:"lora_bias,omitempty" flag:"lora-bias" usage:"add a trained bias to B"`
	Init          string      `json:"init_lora_weights" flag:"init" usage:"start of A and B: default (A Kaiming uniform, B zero), gaussian (A normal, B zero), orthogonal (B·A zero, neither alone), pissa (the weight's largest singular vectors), olora (the start of its QR decomposition) or random (neither zero: changes the output)"`
	RankPattern   Pattern     `json:"rank_pattern,omitempty" flag:"rank-pattern" usage:"other ranks for some modules: NAME=RANK,..."`
	AlphaPattern  Pattern     `json:"alpha_pattern,omitempty" flag:"alpha-pattern" usage:"other alphas for some modules: NAME=ALPHA,..."`
	ModulesToSave ModuleNames `json:"modules_to_save" flag:"modules-to-save" usage:"modules to train whole instead, such as pooler"`
}

// The roles of LoRA's parameters, as PEFT names them; A0 and B0 are the frozen starts that pissa and olora take off the base.
const (
	roleLoraA      = "lora_A"
	roleLoraB      = "lora_B"
	roleLoraA0     = "lora_A0"
	roleLoraB0     = "lora_B0"
	roleLoraBias   = "lora_B.bias"
	roleMagnitude  = "lora_magnitude_vector"
	roleEmbeddingA = "lora_embedding_A"
	roleEmbeddingB = "lora_embedding_B"
)

// ChangesAtStart says why the outputs are not the base's before training.
func (l *LoRA) ChangesAtStart() string {
	switch {
	case l.Init == "random":
		return "A and B start at random"
	case l.Init == "orthogonal":
		return "B·A starts at zero up to float32's rounding of A and B"
	case l.DoRA:
		return "magnitudes start at the weights' lengths, rounded to float32"
	}
	return ""
}

func (l *LoRA) validate() error {
	if err := errors.Join(checkRank("rank", float64(l.R)), l.checkAlpha("alpha", l.Alpha), CheckDropout("dropout", l.Dropout)); err != nil {
		return err
	}
	if err := errors.Join(l.RankPattern.check("rank-pattern", checkRank), l.AlphaPattern.check("alpha-pattern", l.checkAlpha)); err != nil {
		return err
	}
	_, known := loraStarts[l.Init]
	switch {
	case l.ModulesToSave.Pattern != "":
		return fmt.Errorf("--modules-to-save %q: must be names", l.ModulesToSave)
	case l.Bias != "none" && l.Bias != "all" && l.Bias != "lora_only":
		return fmt.Errorf("--bias %q: must be none, lora_only or all", l.Bias)
	case !known:
		return fmt.Errorf("--init %q: must be one of %s", l.Init, strings.Join(slices.Sorted(maps.Keys(loraStarts)), ", "))
	case l.UpdateBias && l.DoRA:
		return fmt.Errorf("--lora-bias: not with --dora, as in PEFT")
	case l.UpdateBias && l.Init != "default" && l.Init != "random":
		return fmt.Errorf("--lora-bias: only with --init default or random, as in PEFT")
	case l.DoRA && l.FromBase():
		return fmt.Errorf("--dora: not with --init %s: an adapter that starts from the base can't be saved with a magnitude", l.Init)
	}
	return l.Targets.validate()
}

func checkRank(flag string, r float64) error {
	if !(r >= 1) || r != math.Trunc(r) || math.IsInf(r, 0) {
		return fmt.Errorf("--%s %v: must be a whole number of at least 1", flag, r)
	}
	return nil
}

func (l *LoRA) checkAlpha(flag string, alpha float64) error {
	switch {
	case !finite(alpha):
		return fmt.Errorf("--%s %v: must be a number", flag, alpha)
	case alpha <= 0 && l.Init == "pissa":
		return fmt.Errorf("--%s %v: must be above 0 with --init pissa", flag, alpha)
	}
	return nil
}

// FromBase reports whether training starts from a part of the base's weights (pissa, olora), which the plan then holds as
// frozen.
func (l *LoRA) FromBase() bool { return loraStarts[l.Init].fromBase }

// Inject adds the update beside every chosen module.
func (l *LoRA) Inject(in *Injection) error {
	if err := l.settle(in); err != nil {
		return err
	}
	linears, others, err := in.chooseAmong(l.Targets, []string{wordEmbeddings}, l.ModulesToSave)
	if err != nil {
		return err
	}
	if err := l.trainWhole(in, linears); err != nil {
		return err
	}
	if len(others) > 0 {
		if err := l.adaptEmbedding(in); err != nil {
			return fmt.Errorf("module %q: %w", wordEmbeddings, err)
		}
	}
	starts := make([]factors, len(linears))
	concurrently(len(linears), func(i int) { starts[i] = l.start(in, linears[i]) })
	for i, lin := range linears {
		if err := l.adapt(in, lin, starts[i]); err != nil {
			return fmt.Errorf("module %q: %w", lin.Name, err)
		}
	}
	return nil
}

// trainWhole adds trainable copies of base parameters. They come first, since the updates may read them.
func (l *LoRA) trainWhole(in *Injection, adapted []*models.Linear) error {
	if err := in.trainModules(l.ModulesToSave); err != nil {
		return err
	}
	switch l.Bias {
	case "lora_only":
		return in.trainBiases(linearBiases(adapted))
	case "all":
		return in.trainBiases(in.allBiases())
	}
	return nil
}

func (l *LoRA) adapt(in *Injection, lin *models.Linear, f factors) error {
	if f.err != nil {
		return f.err
	}
	start, r, scale, a, b := loraStarts[l.Init], f.r, f.scale, f.a, f.b
	p := in.Patch(lin.Name)
	u := update{scale: scale}
	u.a = in.Trainable(p, "A", Trainable{Target: lin.Name, Role: roleLoraA, Init: start.a}, graph.TensorOf([]int64{int64(r), int64(lin.In)}, a))
	u.b = in.Trainable(p, "B", Trainable{Target: lin.Name, Role: roleLoraB, Init: start.b}, graph.TensorOf([]int64{int64(lin.Out), int64(r)}, b))
	site := Site{Target: lin.Name, Weight: lin.Weight.Name(), Transposed: lin.Transposed, Scale: scale}
	if l.UpdateBias {
		if lin.Bias == nil {
			return fmt.Errorf("--lora-bias: the module has no bias to fold it into")
		}
		zeros := graph.TensorOf(nil, make([]float32, lin.Out))
		u.bias = in.Trainable(p, "B.bias", Trainable{Target: lin.Name, Role: roleLoraBias, Init: "zeros"}, zeros)
		site.Bias = lin.Bias.Name()
	}

	x, old := in.Current(lin.Input), in.Current(lin.Output)
	y := old
	if start.fromBase {
		// The base's file keeps W; the layer that training starts from is W − s·B0·A0.
		first := update{scale: scale}
		first.a = in.Frozen(p, "A0", Trainable{Target: lin.Name, Role: roleLoraA0, Init: start.a}, graph.TensorOf([]int64{int64(r), int64(lin.In)}, a))
		first.b = in.Frozen(p, "B0", Trainable{Target: lin.Name, Role: roleLoraB0, Init: start.b}, graph.TensorOf([]int64{int64(lin.Out), int64(r)}, b))
		y = p.Op("Sub", y, first.apply(p, x))
	}
	dropped := in.dropout(p, x, l.Dropout)
	delta := u.apply(p, dropped)
	if l.DoRA {
		var err error
		if delta, err = l.decompose(in, p, lin, u, dropped, delta); err != nil {
			return err
		}
	}
	return in.Shunt(p, site, old, p.Op("Add", y, delta))
}

// An update is x ↦ s·(B·A·x + bias) in a graph.
type update struct {
	a, b  *graph.Value // [r, in], [out, r]
	bias  *graph.Value // [out], or nil
	scale float64
}

// apply scales where the value is r wide, which is the cheapest place.
func (u update) apply(p *graph.Patch, x *graph.Value) *graph.Value {
	transpose := p.With(graph.IntsAttr("perm", 1, 0))
	low := p.Op("Mul", p.Op("MatMul", x, transpose.Op("Transpose", u.a)), p.Float(graph.Float, u.scale))
	y := p.Op("MatMul", low, transpose.Op("Transpose", u.b))
	if u.bias != nil {
		y = p.Op("Add", y, p.Op("Mul", u.bias, p.Float(graph.Float, u.scale)))
	}
	return y
}

// size returns a module's rank and scale.
func (l *LoRA) size(path string, in, out int) (r int, scale float64, err error) {
	if scale, err = l.scale(path); err != nil {
		return 0, 0, err
	}
	rank, err := l.RankPattern.lookup(path, float64(l.R))
	if err != nil {
		return 0, 0, err
	}
	if rank > 2*float64(max(in, out)) {
		return 0, 0, fmt.Errorf("--rank %v: more than twice the module's width of %d", rank, max(in, out))
	}
	return int(rank), scale, nil
}

// scale returns alpha/r or alpha/√r for a module.
func (l *LoRA) scale(path string) (float64, error) {
	rank, err := l.RankPattern.lookup(path, float64(l.R))
	if err != nil {
		return 0, err
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

// Merge adds s·B·A to the weight, less the start that was taken off, and s·bias to the bias.
func (l *LoRA) Merge(m *Merging, s Site, mod *Module) error {
	if m.Has(s, roleEmbeddingA) {
		return mergeEmbedding(m, s, mod)
	}
	delta, err := m.product(s, mod, roleLoraA, roleLoraB)
	if err != nil {
		return err
	}
	if m.Has(s, roleLoraA0) {
		first, err := m.product(s, mod, roleLoraA0, roleLoraB0)
		if err != nil {
			return err
		}
		numeric.Axpy(-1, first, delta)
	}
	numeric.Axpy(1, mod.Weight, delta)
	if l.DoRA {
		if err := rescale(m, s, mod, delta); err != nil {
			return err
		}
	}
	for i, v := range delta {
		mod.Weight[i] = float32(v)
	}
	if !m.Has(s, roleLoraBias) {
		return nil
	}
	bias, err := m.Value(s, roleLoraBias)
	if err != nil {
		return err
	}
	for o, v := range bias {
		mod.Bias[o] = float32(float64(mod.Bias[o]) + s.Scale*float64(v))
	}
	return nil
}

// product returns s·B·A of a site as [out, in].
func (m *Merging) product(s Site, mod *Module, roleA, roleB string) ([]float64, error) {
	a, errA := m.Value(s, roleA)
	b, errB := m.Value(s, roleB)
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	return numeric.Product(a, b, s.Scale, mod.Out, mod.In)
}
