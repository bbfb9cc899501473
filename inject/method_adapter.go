package inject

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
)

func init() {
	register("adapter", "bottlenecks up(f(down(h))) inside the layers: Pfeiffer, Houlsby, parallel (Houlsby et al. 2019)", func() Method {
		return &Adapter{Config: "seq_bn"}
	})
}

// Adapter adds s·(W_up·f(W_down·h + b_down) + b_up) to sublayers, W_down [d, hidden], W_up [hidden, d] and
// d = hidden // reduction factor. Where h comes from and where the LayerNorm stands is AdapterHub's, by its names; settings
// left empty are those of the named configuration.
type Adapter struct {
	Config          string  `json:"adapter_config" flag:"config" usage:"AdapterHub's configuration: seq_bn (pfeiffer), double_seq_bn (houlsby), par_bn (parallel) or scaled_par_bn (scaled_parallel)"`
	ReductionFactor Factors `json:"reduction_factor,omitempty" flag:"reduction-factor" usage:"the hidden size over the bottleneck's: a number, or by layer 0=8,default=16 (default: the configuration's)"`
	NonLinearity    string  `json:"non_linearity,omitempty" flag:"non-linearity" usage:"activation of the bottleneck: relu, swish, gelu, gelu_new or tanh (default: the configuration's)"`
	Init            string  `json:"init_weights,omitempty" flag:"adapter-init" usage:"start of the weights: bert (normal 0.02: changes the output a little), mam_adapter (Kaiming uniform, up zero), houlsby (truncated normal 0.01) or zero (normal 0.02, up zero) (default: the configuration's)"`
	Scaling         string  `json:"scaling,omitempty" flag:"scaling" usage:"factor of the bottleneck's output: a number, or learned (default: the configuration's)"`
	Dropout         float64 `json:"dropout,omitempty" flag:"dropout" usage:"probability of zeroing an element of the bottleneck's output while training"`
	LeaveOut        []int   `json:"leave_out,omitempty" flag:"skip-layers" usage:"layers without an adapter, numbered from 0 (AdapterDrop)"`
}

// The roles of an adapter's parameters are AdapterHub's keys below "<module>.adapters.<name>.".
const (
	roleDownWeight = "adapter_down.0.weight"
	roleDownBias   = "adapter_down.0.bias"
	roleUpWeight   = "adapter_up.weight"
	roleUpBias     = "adapter_up.bias"
	roleScaling    = "scaling"
)

// A bottleneck is one of AdapterHub's configurations of class BnConfig.
type bottleneck struct {
	attention bool    // mh_adapter: one after the attention too
	normFirst bool    // original_ln_before: h = LayerNorm(sublayer + residual), the same LayerNorm as after the adapter
	parallel  bool    // is_parallel: h is the sublayer's input
	factor    float64 // reduction_factor
	act, init string  // non_linearity, init_weights
	scaling   string
}

var bottlenecks = map[string]bottleneck{
	"seq_bn":        {normFirst: true, factor: 16, act: "relu", init: "bert", scaling: "1"},
	"double_seq_bn": {attention: true, factor: 16, act: "swish", init: "bert", scaling: "1"},
	"par_bn":        {parallel: true, factor: 2, act: "relu", init: "mam_adapter", scaling: "4"},
	"scaled_par_bn": {parallel: true, factor: 2, act: "relu", init: "mam_adapter", scaling: "learned"},
}

// legacyConfigs are the names that AdapterHub used before.
var legacyConfigs = map[string]string{
	"pfeiffer": "seq_bn", "houlsby": "double_seq_bn", "parallel": "par_bn", "scaled_parallel": "scaled_par_bn",
}

// name returns AdapterHub's present name of the configuration.
func (a *Adapter) name() string {
	name := strings.ToLower(a.Config)
	return cmp.Or(legacyConfigs[name], name)
}

// resolve returns the named configuration with the overrides in place.
func (a *Adapter) resolve() (bottleneck, error) {
	b, ok := bottlenecks[a.name()]
	if !ok {
		return b, fmt.Errorf("--config %q: must be seq_bn (pfeiffer), double_seq_bn (houlsby), par_bn (parallel) or scaled_par_bn (scaled_parallel)", a.Config)
	}
	b.act, b.init, b.scaling = cmp.Or(a.NonLinearity, b.act), cmp.Or(a.Init, b.init), cmp.Or(a.Scaling, b.scaling)
	if activations[b.act] == nil {
		return b, fmt.Errorf("--non-linearity %q: must be relu, swish, gelu, gelu_new or tanh", b.act)
	}
	if !slices.Contains([]string{"bert", "mam_adapter", "houlsby", "zero"}, b.init) {
		return b, fmt.Errorf("--adapter-init %q: must be bert, mam_adapter, houlsby or zero", b.init)
	}
	if f, err := strconv.ParseFloat(b.scaling, 64); b.scaling != "learned" && (err != nil || !finite(f)) {
		return b, fmt.Errorf("--scaling %q: must be a number or learned", b.scaling)
	}
	return b, nil
}

func (a *Adapter) validate() error {
	if _, err := a.resolve(); err != nil {
		return err
	}
	if err := a.ReductionFactor.check(); err != nil {
		return fmt.Errorf("--reduction-factor: %w", err)
	}
	return CheckDropout("dropout", a.Dropout)
}

// ChangesAtStart says why the injected model doesn't compute what the base does, or returns "".
func (a *Adapter) ChangesAtStart() string {
	if b, err := a.resolve(); err == nil && (b.init == "bert" || b.init == "houlsby") {
		return "AdapterHub's initialisation " + b.init + " draws the up-projection too"
	}
	return ""
}

// Inject adds a bottleneck to every layer that isn't left out. It fills in the settings that the configuration decides.
func (a *Adapter) Inject(in *Injection) error {
	b, err := a.resolve()
	if err != nil {
		return err
	}
	a.Config, a.NonLinearity, a.Init, a.Scaling = a.name(), b.act, b.init, b.scaling
	if len(a.ReductionFactor) == 0 {
		a.ReductionFactor = Factors{defaultFactor: b.factor}
	}
	if err := checkLayers("--skip-layers", a.LeaveOut, len(in.Encoder.Layers)); err != nil {
		return err
	}
	for i := range in.Encoder.Layers {
		if slices.Contains(a.LeaveOut, i) {
			continue
		}
		if err := a.adapt(in, b, i); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	return nil
}

func (a *Adapter) adapt(in *Injection, b bottleneck, i int) error {
	l := &in.Encoder.Layers[i]
	if err := trainableFloat(l.Dense.Weight); err != nil {
		return err
	}
	width, err := a.ReductionFactor.width(i, in.Encoder.Hidden)
	if err != nil {
		return err
	}
	block := adapterBlock{b, width, a.Dropout}
	switch {
	case b.normFirst:
		return block.aroundNorm(in, adapterModule(&l.Dense, "output_adapters"), &l.OutputNorm)
	case b.parallel:
		return block.beside(in, adapterModule(&l.Dense, "output_adapters"), &l.Dense, in.Current(l.Intermediate.Input))
	}
	if b.attention {
		if err := block.beside(in, adapterModule(&l.AttentionOutput, "attention_adapters"), &l.AttentionOutput, nil); err != nil {
			return err
		}
	}
	return block.beside(in, adapterModule(&l.Dense, "output_adapters"), &l.Dense, nil)
}

// adapterModule returns the path of the module that holds a sublayer's adapters in AdapterHub: BERT's own output module, or
// one of the given name in the layer where the architecture has no such module (DistilBERT).
func adapterModule(l *models.Linear, otherwise string) string {
	if m, ok := strings.CutSuffix(l.Name, ".dense"); ok {
		return m
	}
	return layerPath.FindString(l.Name) + "." + otherwise
}

// An adapterBlock is one bottleneck.
type adapterBlock struct {
	bottleneck
	width   int
	dropout float64
}

// beside adds up(x) to a sublayer's output; x is the output itself when nil. The sublayer's residual connection and
// LayerNorm follow:
//
//	y = LayerNorm(sublayer + up(x) + residual)
func (b adapterBlock) beside(in *Injection, module string, l *models.Linear, x *graph.Value) error {
	p := in.Patch(module)
	y := in.Current(l.Output)
	if x == nil {
		if x = y; l.BiasNode != nil {
			x = p.Op("Add", y, in.parameter(l.Name, l.Bias))
		}
	}
	return in.Shunt(p, Site{Target: module}, y, p.Op("Add", y, b.up(in, p, module, x)))
}

// aroundNorm puts the bottleneck between two applications of the sublayer's LayerNorm:
//
//	y = LayerNorm(up(LayerNorm(s)) + s),  s = sublayer + residual
func (b adapterBlock) aroundNorm(in *Injection, module string, n *models.Norm) error {
	p := in.Patch(module)
	var sum *graph.Value
	switch {
	case n.Input != nil:
		sum = in.Current(n.Input)
	default: // SkipLayerNormalization: x, skip, scale, LayerNorm bias, bias
		if sum = p.Op("Add", n.Skip.Input(0), n.Skip.Input(1)); n.Skip.Input(4) != nil {
			sum = p.Op("Add", sum, n.Skip.Input(4))
		}
	}
	y := in.Current(n.Output)
	up := b.up(in, p, module, y)
	return in.Shunt(p, Site{Target: module}, y, in.layerNorm(p, n, p.Op("Add", up, sum)))
}

// up returns dropout(s·(W_up·f(W_down·x + b_down) + b_up)).
func (b adapterBlock) up(in *Injection, p *graph.Patch, module string, x *graph.Value) *graph.Value {
	d, h := int64(b.width), int64(in.Encoder.Hidden)
	rng := in.Rand(module)
	down, howDown := b.draw(rng, b.width*in.Encoder.Hidden, in.Encoder.Hidden, false)
	up, howUp := b.draw(rng, b.width*in.Encoder.Hidden, b.width, true)
	train := func(role, how string, t *graph.Tensor) *graph.Value {
		return in.Trainable(p, role, Trainable{Target: module, Role: role, Init: how}, t)
	}
	wd := train(roleDownWeight, howDown, graph.TensorOf([]int64{d, h}, down))
	bd := train(roleDownBias, "zeros", graph.TensorOf(nil, make([]float32, d)))
	wu := train(roleUpWeight, howUp, graph.TensorOf([]int64{h, d}, up))
	bu := train(roleUpBias, "zeros", graph.TensorOf(nil, make([]float32, h)))

	transpose := p.With(graph.IntsAttr("perm", 1, 0))
	low := activations[b.act](p, p.Op("Add", p.Op("MatMul", x, transpose.Op("Transpose", wd)), bd))
	y := p.Op("Add", p.Op("MatMul", low, transpose.Op("Transpose", wu)), bu)
	switch f, err := strconv.ParseFloat(b.scaling, 64); {
	case err != nil:
		y = p.Op("Mul", y, train(roleScaling, "ones", graph.TensorOf(nil, []float32{1})))
	case f != 1:
		y = p.Op("Mul", y, p.Float(graph.Float, f))
	}
	if y != nil {
		p.Typed(y, graph.Float, x.Shape)
	}
	return in.dropout(p, y, b.dropout)
}

// draw returns the start of a weight of n elements and what it is called.
func (b adapterBlock) draw(rng *rand.Rand, n, fanIn int, up bool) ([]float32, string) {
	switch {
	case up && (b.init == "mam_adapter" || b.init == "zero"):
		return make([]float32, n), "zeros"
	case b.init == "mam_adapter":
		return numeric.Uniform(rng, n, 1/math.Sqrt(float64(fanIn))), "kaiming_uniform(sqrt5)"
	case b.init == "houlsby":
		return numeric.TruncatedNormal(rng, n, 0.01), "trunc_normal(0.01)"
	}
	return numeric.Normal(rng, n, 0.02), "normal(0.02)"
}
