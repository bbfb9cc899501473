package format

import (
	"fmt"

	"github.com/peftgraph/peftgraph/inject"
)

// What PEFT calls prompt learning wraps the model one level less deep than its other methods do, and keeps one tensor of its
// own: the virtual tokens as they come out of whatever trained them.
const (
	hfVirtualPrefix = "base_model."
	hfVirtualKey    = "prompt_embeddings"
)

func hfVirtualTensor(*inject.Plan, inject.Trainable, string) string { return hfVirtualKey }

// hfVirtualConfig adds what PEFT notes of the base. It lists the modules trained whole twice.
func hfVirtualConfig(p *inject.Plan, c map[string]any) {
	c["num_layers"], c["num_attention_heads"], c["token_dim"] = p.Encoder.Layers, p.Encoder.Heads, p.Encoder.Hidden
	c["num_transformer_submodules"] = 1
	if saved, ok := c["modules_to_save"].([]string); ok {
		c["modules_to_save"] = append(saved, "classifier", "score")
	}
	if c["encoder_hidden_size"] == 0 {
		c["encoder_hidden_size"] = p.Encoder.Hidden
	}
}

// hfVirtualParse reads what the types have in common.
func hfVirtualParse(c settings, tokens *int) error {
	submodules := 1
	for key, to := range map[string]*int{"num_virtual_tokens": tokens, "num_transformer_submodules": &submodules} {
		if err := read(c, key, to); err != nil {
			return err
		}
	}
	if submodules != 1 {
		return fmt.Errorf("num_transformer_submodules is %d: an encoder has one", submodules)
	}
	return nil
}

// hfPlacement fails for placements that PEFT does not have.
func hfPlacement(p *inject.Plan, x inject.Placement) error {
	reads := headed(p) && p.Head.Kind != inject.HeadMean
	switch {
	case x.Layout != inject.LayoutPEFT:
		return fmt.Errorf("--layout %s", x.Layout)
	case reads && x.Pool != inject.PoolFirst:
		return fmt.Errorf("--pool %s: PEFT's head reads the first virtual token", x.Pool)
	}
	return nil
}
