package format

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
)

// settings is a configuration, or a part of one, of which what is read is taken away: what is left nobody has understood.
type settings map[string]json.RawMessage

func readConfig(path string) (settings, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("format: %w", err)
	}
	var c settings
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("format: %s: %w", path, err)
	}
	return c, nil
}

// read takes one key of a configuration into to; a missing or null key leaves it alone.
func read(c settings, key string, to any) error {
	if raw, ok := c[key]; ok && string(raw) != "null" {
		if err := json.Unmarshal(raw, to); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	delete(c, key)
	return nil
}

// refuse fails when a key asks for something that has no counterpart here.
func refuse(c settings, keys ...string) error {
	for _, k := range keys {
		if !empty(c[k]) {
			return fmt.Errorf("%s is %s, which is not supported", k, c[k])
		}
		delete(c, k)
	}
	return nil
}

// empty reports whether a value asks for nothing: null, false, {} and [].
func empty(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "false", "{}", "[]":
		return true
	}
	return false
}

// unread returns the settings that are left, without the ones that have no effect and those that ask for nothing. Libraries
// add settings all the time, and most are no reason to refuse an adapter; but nothing is passed over silently.
func unread(c settings, without map[string]string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c)), func(key string) bool { return without[key] != "" || empty(c[key]) })
}

// hfWithoutEffect are PEFT's settings that change nothing in what a loaded adapter computes, and why.
var hfWithoutEffect = map[string]string{
	"auto_mapping":                    "the Python class that was wrapped",
	"base_model_name_or_path":         "where the base came from",
	"revision":                        "where the base came from",
	"peft_version":                    "who wrote the file",
	"inference_mode":                  "whether PEFT trains what it loads",
	"runtime_config":                  "how PEFT runs",
	"megatron_core":                   "of megatron_config, which is refused",
	"qalora_group_size":               "of use_qalora, which is refused",
	"ensure_weight_tying":             "an encoder and its classifier share no weights",
	"modules_to_save":                 "the tensors say what was saved",
	"token_dim":                       "the tensors say how wide the base is",
	"num_layers":                      "the tensors say how deep the base is",
	"num_attention_heads":             "a size of the base",
	"prompt_tuning_init_text":         "the start of the training",
	"tokenizer_name_or_path":          "the start of the training",
	"tokenizer_kwargs":                "the start of the training",
	"encoder_reparameterization_type": "of what trained the virtual tokens, which isn't saved",
	"encoder_num_layers":              "of what trained the virtual tokens, which isn't saved",
	"encoder_dropout":                 "of what trained the virtual tokens, which isn't saved",
}

// hubWithoutEffect are AdapterHub's.
var hubWithoutEffect = map[string]string{
	"init_weights":      "the start of the training",
	"init_weights_seed": "the start of the training",
	"prompt_init":       "the start of the training",
	"prompt_init_text":  "the start of the training",
	"dropout":           "of training; a prefix has none here",
	"stochastic_depth":  "of training",
	"cross_prefix":      "an encoder has no cross-attention",
	"cross_adapter":     "an encoder has no cross-attention",
	"shared_gating":     "of use_gating, which is refused",
	// An adapter for a task may stand on one for a language, which has the invertible part: its own tensors say.
	"inv_adapter":                  "its tensors are refused where there are any",
	"inv_adapter_reduction_factor": "of inv_adapter",
	"phm_dim":                      "of phm_layer, which is refused",
	"phm_rank":                     "of phm_layer",
	"phm_bias":                     "of phm_layer",
	"phm_c_init":                   "of phm_layer",
	"phm_init_range":               "of phm_layer",
	"learn_phm":                    "of phm_layer",
	"hypercomplex_nonlinearity":    "of phm_layer",
	"factorized_phm_W":             "of phm_layer",
	"factorized_phm_rule":          "of phm_layer",
	"shared_W_phm":                 "of phm_layer",
	"shared_phm_rule":              "of phm_layer",
}
