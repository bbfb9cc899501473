package format

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/inject"
)

func init() {
	registerHF(hfMethod{peftType: "LORA", method: "lora", config: hfLoRAConfig, parse: hfLoRAParse, key: hfLoRAKey})
}

// hfLoRAInits maps our names of the initialisations to PEFT's init_lora_weights.
var hfLoRAInits = map[string]any{"default": true, "gaussian": "gaussian", "orthogonal": "orthogonal", "random": false}

func hfLoRAConfig(m inject.Method, c map[string]any) error {
	l, ok := m.(*inject.LoRA)
	if !ok {
		return fmt.Errorf("format: %T is not LoRA", m)
	}
	plain := converted(l)
	for k, v := range map[string]any{
		"r": plain.R, "lora_alpha": number(plain.Alpha), "lora_dropout": l.Dropout, "bias": l.Bias, "use_rslora": l.RSLoRA,
		"init_lora_weights": hfLoRAInits[plain.Init], "target_modules": l.Modules, "fan_in_fan_out": false, "use_dora": l.DoRA, "lora_bias": l.UpdateBias,
		"exclude_modules": nil, "layers_to_transform": nil, "layers_pattern": nil,
		"rank_pattern": plain.RankPattern, "alpha_pattern": plain.AlphaPattern,
	} {
		c[k] = v
	}
	if whole := l.ModulesToSave.List; len(whole) > 0 {
		head, _ := c["modules_to_save"].([]string)
		c["modules_to_save"] = append(slices.Clone(whole), slices.DeleteFunc(head, func(m string) bool { return slices.Contains(whole, m) })...)
	}
	for k, p := range map[string]inject.Pattern{"rank_pattern": plain.RankPattern, "alpha_pattern": plain.AlphaPattern} {
		if p == nil {
			c[k] = map[string]int{}
		}
	}
	if len(l.Exclude.List) > 0 || l.Exclude.Pattern != "" {
		c["exclude_modules"] = l.Exclude
	}
	if len(l.Layers) > 0 {
		c["layers_to_transform"] = l.Layers
		if l.LayersIn != "" {
			c["layers_pattern"] = l.LayersIn
		}
	}
	return nil
}

// converted returns the settings under which an adapter is saved: those of the plain LoRA of twice the rank and the same
// scale, see hfStored, when it started from the base.
func converted(l *inject.LoRA) inject.LoRA {
	c := *l
	if !l.FromBase() {
		return c
	}
	f := 2.0
	if l.RSLoRA {
		f = math.Sqrt2
	}
	c.R, c.Alpha, c.Init = 2*l.R, f*l.Alpha, "default"
	c.RankPattern, c.AlphaPattern = times(l.RankPattern, 2), times(l.AlphaPattern, f)
	return c
}

func times(p inject.Pattern, f float64) inject.Pattern {
	if p == nil {
		return nil
	}
	out := inject.Pattern{}
	for k, v := range p {
		out[k] = f * v
	}
	return out
}

// number keeps whole numbers whole in JSON, as PEFT writes lora_alpha.
func number(f float64) any {
	if f == float64(int64(f)) {
		return int64(f)
	}
	return f
}

func hfLoRAParse(c settings) (inject.Method, error) {
	err := refuse(c, "alora_invocation_tokens", "arrow_config", "corda_config", "fan_in_fan_out", "kasa_config",
		"layer_replication", "loftq_config", "lora_ga_config", "monteclora_config", "target_parameters",
		"trainable_token_indices", "use_bdlora", "use_qalora", "velora_config", "megatron_config")
	if err != nil {
		return nil, err
	}
	built, err := inject.New("lora")
	if err != nil {
		return nil, err
	}
	l := built.(*inject.LoRA)
	for key, to := range map[string]any{
		"r": &l.R, "lora_alpha": &l.Alpha, "lora_dropout": &l.Dropout, "bias": &l.Bias, "use_rslora": &l.RSLoRA,
		"target_modules": &l.Modules, "exclude_modules": &l.Exclude, "rank_pattern": &l.RankPattern, "alpha_pattern": &l.AlphaPattern,
		"use_dora": &l.DoRA, "lora_bias": &l.UpdateBias, "modules_to_save": &l.ModulesToSave,
	} {
		if err := read(c, key, to); err != nil {
			return nil, err
		}
	}
	// The head's own modules go with the task.
	l.ModulesToSave.List = slices.DeleteFunc(l.ModulesToSave.List, isHFHead)
	return l, cmp.Or(readLayers(c, l), readLayersPattern(c, l), readInit(c, l))
}

// readLayers accepts one number or a list.
func readLayers(c settings, l *inject.LoRA) error {
	var one int
	if !empty(c["layers_to_transform"]) && read(c, "layers_to_transform", &one) == nil {
		l.Layers = []int{one}
		return nil
	}
	return read(c, "layers_to_transform", &l.Layers)
}

// readLayersPattern accepts one name or a list of one.
func readLayersPattern(c settings, l *inject.LoRA) error {
	var list []string
	if read(c, "layers_pattern", &list) != nil {
		return read(c, "layers_pattern", &l.LayersIn)
	}
	if len(list) > 1 {
		return fmt.Errorf("layers_pattern is %q: only one name is supported", list)
	}
	l.LayersIn = strings.Join(list, "")
	return nil
}

// readInit refuses initialisations that changed the base when the adapter was made: its tensors then fit another base. EVA
// starts A from data, MiCA B from the base, and both leave the base alone.
func readInit(c settings, l *inject.LoRA) error {
	raw := string(c["init_lora_weights"])
	delete(c, "init_lora_weights")
	if raw == `"eva"` || raw == `"mica"` {
		delete(c, "eva_config")
		l.Init = "default"
		return nil
	}
	if err := refuse(c, "eva_config"); err != nil {
		return err
	}
	for name, v := range hfLoRAInits {
		if want, err := json.Marshal(v); err == nil && (raw == string(want) || raw == "" && name == "default") {
			l.Init = name
			return nil
		}
	}
	return fmt.Errorf("init_lora_weights is %s: that initialisation changes the base, so the tensors don't fit it; "+
		"save the adapter with path_initial_model_for_weight_conversion", raw)
}

func hfLoRAKey(p *inject.Plan, t inject.Trainable, module string) string {
	switch t.Role {
	case "lora_A", "lora_B", "lora_A0", "lora_B0":
		return module + "." + strings.TrimSuffix(t.Role, "0") + ".weight"
	case "bias":
		if p.Find("lora", t.Target, "lora_A") != nil {
			return module + ".base_layer.bias"
		}
	}
	return module + "." + t.Role
}
