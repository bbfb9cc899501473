package format

import (
	"errors"
	"fmt"
	"strings"

	"github.com/peftgraph/peftgraph/inject"
)

func init() {
	registerHub("prefix", "prefix_tuning", hubMethod{name: "prefix_tuning", config: hubPrefixConfig, key: hubPrefixKey}, hubPrefixParse)
	registerHub("prompt", "prompt_tuning", hubMethod{
		name:   "prompt_tuning",
		config: hubPromptConfig,
		key: func(_ inject.Trainable, name string) string {
			return "prompt_tuning.prompt_tunings." + name + ".prompt_embedding.weight"
		},
	}, hubPromptParse)
}

// hubPrefix is AdapterHub's PrefixTuningConfig.
type hubPrefix struct {
	Architecture string  `json:"architecture"`
	Bottleneck   int     `json:"bottleneck_size"`
	Cross        bool    `json:"cross_prefix"`
	Dropout      float64 `json:"dropout"`
	Encoder      bool    `json:"encoder_prefix"`
	Flat         bool    `json:"flat"`
	InitSeed     *int    `json:"init_weights_seed"`
	LeaveOut     []int   `json:"leave_out"`
	NonLinearity string  `json:"non_linearity"`
	Length       int     `json:"prefix_length"`
	SharedGating bool    `json:"shared_gating"`
	Gating       bool    `json:"use_gating"`
}

func hubPrefixParse(c hubConfig) ([]inject.Method, error) {
	h := hubPrefix{Bottleneck: 512, Length: 30, NonLinearity: "tanh", Encoder: true}
	for key, to := range map[string]any{
		"bottleneck_size": &h.Bottleneck, "flat": &h.Flat, "leave_out": &h.LeaveOut, "non_linearity": &h.NonLinearity,
		"prefix_length": &h.Length, "encoder_prefix": &h.Encoder,
	} {
		if err := read(c.settings, key, to); err != nil {
			return nil, err
		}
	}
	switch {
	case !h.Encoder:
		return nil, errors.New("encoder_prefix is false: an encoder has no other place for a prefix")
	case !h.Flat && h.NonLinearity != "tanh":
		return nil, fmt.Errorf("non_linearity %q is not supported for a prefix; tanh is", h.NonLinearity)
	}
	if err := refuse(c.settings, "use_gating"); err != nil {
		return nil, err
	}
	x := &inject.Prefix{Tokens: h.Length, Layout: inject.LayoutAdapterHub, Init: "random", LeaveOut: h.LeaveOut}
	if !h.Flat {
		x.Projection, x.Hidden = true, h.Bottleneck
	}
	return []inject.Method{x}, nil
}

// What the prefix of an encoder's self-attention is called.
const hubSelfPrefix, hubDistilBERTPrefix = "self_prefix", "self"

// hubPrefixKey gives the table and its MLP, transform.0 and transform.2 in our plan, AdapterHub's names.
func hubPrefixKey(t inject.Trainable, name string) string {
	own := map[string]string{"prompt_embeddings": "control_trans", "embedding": "wte.weight"}[t.Role]
	if own == "" {
		own = strings.Replace(t.Role, "transform.", "control_trans.", 1)
	}
	return "prefix_tuning.prefix_tunings." + name + "." + hubSelfPrefix + "." + own
}

func hubPrefixConfig(_ *inject.Plan, m inject.Method) (map[string]any, error) {
	x, ok := m.(*inject.Prefix)
	if !ok {
		return nil, fmt.Errorf("%T is not prefix tuning", m)
	}
	if x.Layout != inject.LayoutAdapterHub {
		return nil, fmt.Errorf("--layout %s: AdapterHub leaves the text's positions where they are", x.Layout)
	}
	h := hubPrefix{Architecture: "prefix_tuning", Bottleneck: 512, Cross: true, Encoder: true, Flat: !x.Projection || x.Folded,
		LeaveOut: []int{}, NonLinearity: "tanh", Length: x.Tokens, SharedGating: true}
	if x.Hidden > 0 {
		h.Bottleneck = x.Hidden
	}
	if x.LeaveOut != nil {
		h.LeaveOut = x.LeaveOut
	}
	return asObject(h)
}

func hubPromptParse(c hubConfig) ([]inject.Method, error) {
	built, err := inject.New("prompt")
	if err != nil {
		return nil, err
	}
	x := built.(*inject.Prompt)
	x.Layout, x.Tokens, x.Init, x.Pool = inject.LayoutAdapterHub, 10, "uniform", inject.PoolFirst
	for key, to := range map[string]any{"prompt_length": &x.Tokens, "combine": &x.Combine} {
		if err := read(c.settings, key, to); err != nil {
			return nil, err
		}
	}
	return []inject.Method{x}, nil
}

func hubPromptConfig(p *inject.Plan, m inject.Method) (map[string]any, error) {
	x, ok := m.(*inject.Prompt)
	if !ok {
		return nil, fmt.Errorf("%T is not prompt tuning", m)
	}
	switch {
	case x.Layout != inject.LayoutAdapterHub:
		return nil, fmt.Errorf("--layout %s: AdapterHub's virtual tokens stand behind the embeddings' LayerNorm", x.Layout)
	case headed(p) && x.Combine == inject.CombinePrefix && x.Pool != inject.PoolFirst:
		return nil, fmt.Errorf("--pool %s: AdapterHub's head reads the first token of all", x.Pool)
	}
	return map[string]any{"architecture": "prompt_tuning", "combine": x.Combine, "init_weights_seed": nil,
		"prompt_init": "random_uniform", "prompt_init_text": nil, "prompt_length": x.Tokens}, nil
}
