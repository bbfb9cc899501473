package format

import (
	"fmt"

	"github.com/peftgraph/peftgraph/inject"
)

func init() {
	registerHF(hfMethod{peftType: "PROMPT_TUNING", method: "prompt", virtual: true, config: hfPromptConfig, parse: hfPromptParse,
		key: hfVirtualTensor, fits: hfPromptFits})
	registerHF(hfMethod{peftType: "P_TUNING", method: "p-tuning", virtual: true, config: hfPTuningConfig, parse: hfPTuningParse,
		key: hfVirtualTensor, fits: hfPTuningFits})
}

func hfPromptFits(p *inject.Plan, m inject.Method) error {
	x, ok := m.(*inject.Prompt)
	if !ok {
		return fmt.Errorf("%T is not prompt tuning", m)
	}
	return hfPlacement(p, x.Placement)
}

// hfPromptConfig says SAMPLE_VOCAB or RANDOM. PEFT's TEXT needs the tokenizer's address, and no adapter that is loaded is
// started from a text again.
func hfPromptConfig(m inject.Method, c map[string]any) error {
	x, ok := m.(*inject.Prompt)
	if !ok {
		return fmt.Errorf("format: %T is not prompt tuning", m)
	}
	init := "RANDOM"
	if x.Init == "vocab" {
		init = "SAMPLE_VOCAB"
	}
	c["num_virtual_tokens"], c["prompt_tuning_init"] = x.Tokens, init
	c["prompt_tuning_init_text"], c["tokenizer_name_or_path"], c["tokenizer_kwargs"] = nil, nil, nil
	return nil
}

func hfPromptParse(c settings) (inject.Method, error) {
	built, err := inject.New("prompt")
	if err != nil {
		return nil, err
	}
	x := built.(*inject.Prompt)
	init := "RANDOM"
	if err := read(c, "prompt_tuning_init", &init); err != nil {
		return nil, err
	}
	switch init {
	case "SAMPLE_VOCAB":
		x.Init = "vocab"
	case "RANDOM", "TEXT":
		x.Init = "random"
	default:
		return nil, fmt.Errorf("prompt_tuning_init is %q: want RANDOM, SAMPLE_VOCAB or TEXT", init)
	}
	return x, hfVirtualParse(c, &x.Tokens)
}

func hfPTuningFits(p *inject.Plan, m inject.Method) error {
	x, ok := m.(*inject.PTuning)
	if !ok {
		return fmt.Errorf("%T is not p-tuning", m)
	}
	return hfPlacement(p, x.Placement)
}

// hfPTuningConfig writes PEFT's defaults for what it keeps on record only: its MLP has three maps whatever encoder_num_layers
// says.
func hfPTuningConfig(m inject.Method, c map[string]any) error {
	x, ok := m.(*inject.PTuning)
	if !ok {
		return fmt.Errorf("format: %T is not p-tuning", m)
	}
	c["num_virtual_tokens"], c["encoder_hidden_size"] = x.Tokens, x.Hidden
	c["encoder_reparameterization_type"], c["encoder_num_layers"], c["encoder_dropout"] = "MLP", 2, 0.0
	return nil
}

func hfPTuningParse(c settings) (inject.Method, error) {
	built, err := inject.New("p-tuning")
	if err != nil {
		return nil, err
	}
	x := built.(*inject.PTuning)
	x.Folded = true
	if err := read(c, "encoder_hidden_size", &x.Hidden); err != nil {
		return nil, err
	}
	return x, hfVirtualParse(c, &x.Tokens)
}
