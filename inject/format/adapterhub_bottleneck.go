package format

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/inject"
)

func init() {
	registerHub("adapter", "", hubMethod{
		name:   "bottleneck",
		config: hubBottleneckConfig,
		key:    func(t inject.Trainable, name string) string { return t.Target + ".adapters." + name + "." + t.Role },
	}, hubBottleneckParse)
}

// hubBottleneck is AdapterHub's BnConfig, in the order in which JSON sorts it.
type hubBottleneck struct {
	AdapterResidualBeforeLN bool            `json:"adapter_residual_before_ln"`
	CrossAdapter            bool            `json:"cross_adapter"`
	Dropout                 float64         `json:"dropout"`
	FactorizedPhmRule       bool            `json:"factorized_phm_rule"`
	FactorizedPhmW          bool            `json:"factorized_phm_W"`
	HypercomplexNonlin      string          `json:"hypercomplex_nonlinearity"`
	Init                    string          `json:"init_weights"`
	InitSeed                *int            `json:"init_weights_seed"`
	InvAdapter              *string         `json:"inv_adapter"`
	InvFactor               *float64        `json:"inv_adapter_reduction_factor"`
	Parallel                bool            `json:"is_parallel"`
	LearnPhm                bool            `json:"learn_phm"`
	LeaveOut                []int           `json:"leave_out"`
	LNAfter                 bool            `json:"ln_after"`
	LNBefore                bool            `json:"ln_before"`
	Attention               bool            `json:"mh_adapter"`
	NonLinearity            string          `json:"non_linearity"`
	OriginalLNAfter         bool            `json:"original_ln_after"`
	OriginalLNBefore        bool            `json:"original_ln_before"`
	Output                  bool            `json:"output_adapter"`
	PhmBias                 bool            `json:"phm_bias"`
	PhmInit                 string          `json:"phm_c_init"`
	PhmDim                  int             `json:"phm_dim"`
	PhmInitRange            float64         `json:"phm_init_range"`
	PhmLayer                bool            `json:"phm_layer"`
	PhmRank                 int             `json:"phm_rank"`
	ReductionFactor         inject.Factors  `json:"reduction_factor"`
	ResidualBeforeLN        json.RawMessage `json:"residual_before_ln"`
	Scaling                 json.RawMessage `json:"scaling"`
	SharedPhmRule           bool            `json:"shared_phm_rule"`
	SharedPhmW              bool            `json:"shared_W_phm"`
	StochasticDepth         float64         `json:"stochastic_depth"`
	UseGating               bool            `json:"use_gating"`
}

// newHubBottleneck returns BnConfig with its defaults.
func newHubBottleneck() hubBottleneck {
	return hubBottleneck{
		FactorizedPhmW: true, HypercomplexNonlin: "glorot-uniform", Init: "bert", LearnPhm: true, LeaveOut: []int{}, OriginalLNAfter: true,
		Output: true, PhmBias: true, PhmInit: "normal", PhmDim: 4, PhmInitRange: 0.0001, PhmRank: 1,
		ResidualBeforeLN: json.RawMessage("true"), Scaling: json.RawMessage("1.0"), SharedPhmRule: true,
	}
}

// hubShapes tells AdapterHub's configurations apart, and holds what each says where our method says nothing.
var hubShapes = []struct {
	name, legacy                string
	attention, original, beside bool
	nonLinearity, init, scaling string
	factor                      float64
}{
	{"seq_bn", "pfeiffer", false, true, false, "relu", "bert", "1.0", 16},
	{"double_seq_bn", "houlsby", true, false, false, "swish", "bert", "1.0", 16},
	{"par_bn", "parallel", false, false, true, "relu", "mam_adapter", "4.0", 2},
	{"scaled_par_bn", "scaled_parallel", false, false, true, "relu", "mam_adapter", `"learned"`, 2},
}

// renamed are the activations of files that carry no version.
var renamed = map[string]string{"gelu": "gelu_new", "gelu_orig": "gelu"}

func hubBottleneckParse(c hubConfig) ([]inject.Method, error) {
	b := newHubBottleneck()
	text, err := json.Marshal(c.settings)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, err
	}
	known, err := asObject(b)
	if err != nil {
		return nil, err
	}
	for key := range known {
		delete(c.settings, key)
	}
	if err := b.supported(); err != nil {
		return nil, err
	}
	if now := renamed[b.NonLinearity]; c.version == "" && now != "" {
		b.NonLinearity = now
	}
	a := &inject.Adapter{ReductionFactor: b.ReductionFactor, NonLinearity: b.NonLinearity, Init: b.Init, Dropout: b.Dropout, LeaveOut: b.LeaveOut}
	for _, s := range hubShapes {
		if a.Config == "" && s.attention == b.Attention && s.original == b.OriginalLNBefore && s.beside == b.Parallel {
			a.Config = s.name
		}
	}
	if a.Config == "" || !b.Output {
		return nil, fmt.Errorf("mh_adapter %v, output_adapter %v, original_ln_before %v, is_parallel %v: is none of seq_bn, double_seq_bn, par_bn",
			b.Attention, b.Output, b.OriginalLNBefore, b.Parallel)
	}
	a.Scaling = string(b.Scaling)
	if json.Unmarshal(b.Scaling, &a.Scaling) == nil && a.Scaling != "learned" {
		return nil, fmt.Errorf("scaling %q is not supported; a number and learned are", a.Scaling)
	}
	return []inject.Method{a}, nil
}

// supported refuses what changes the output and has no counterpart. Invertible adapters count only where the file has
// tensors for them, which Bind then doesn't know: task adapters of old files name them and don't use them.
func (b hubBottleneck) supported() error {
	for name, bad := range map[string]bool{
		"adapter_residual_before_ln": b.AdapterResidualBeforeLN, "ln_after": b.LNAfter, "ln_before": b.LNBefore,
		"use_gating": b.UseGating, "phm_layer": b.PhmLayer,
	} {
		if bad {
			return fmt.Errorf("%s is true, which is not supported", name)
		}
	}
	if string(b.ResidualBeforeLN) != "true" || !b.OriginalLNAfter {
		return fmt.Errorf("residual_before_ln is %s and original_ln_after %v: only true and true are supported", b.ResidualBeforeLN, b.OriginalLNAfter)
	}
	return nil
}

func hubBottleneckConfig(_ *inject.Plan, m inject.Method) (map[string]any, error) {
	a, ok := m.(*inject.Adapter)
	if !ok {
		return nil, fmt.Errorf("%T is no bottleneck adapter", m)
	}
	b := newHubBottleneck()
	for _, s := range hubShapes {
		if name := strings.ToLower(a.Config); name != s.name && name != s.legacy {
			continue
		}
		b.Attention, b.OriginalLNBefore, b.Parallel = s.attention, s.original, s.beside
		b.NonLinearity, b.Init, b.Scaling, b.ReductionFactor = s.nonLinearity, s.init, json.RawMessage(s.scaling), inject.Factors{"default": s.factor}
	}
	if b.NonLinearity == "" {
		return nil, fmt.Errorf("--config %s", a.Config)
	}
	if a.ReductionFactor != nil {
		b.ReductionFactor = a.ReductionFactor
	}
	if a.NonLinearity != "" {
		b.NonLinearity = a.NonLinearity
	}
	if a.Init != "" && a.Init != "zero" { // our own start; the values are loaded anyway
		b.Init = a.Init
	}
	b.Dropout = a.Dropout
	if a.LeaveOut != nil {
		b.LeaveOut = a.LeaveOut
	}
	switch f, err := strconv.ParseFloat(a.Scaling, 64); {
	case a.Scaling == "learned":
		b.Scaling = json.RawMessage(`"learned"`)
	case err == nil:
		// A whole number without a point would be an int in Python, which the library takes for neither form.
		text := strconv.FormatFloat(f, 'f', -1, 64)
		if f == float64(int64(f)) {
			text += ".0"
		}
		b.Scaling = json.RawMessage(text)
	}
	return asObject(b)
}

// asObject returns a struct as the object that it is in JSON.
func asObject(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	out := map[string]any{}
	for k, raw := range fields {
		out[k] = raw
	}
	return out, nil
}
