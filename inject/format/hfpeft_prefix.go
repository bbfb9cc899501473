package format

import (
	"fmt"

	"github.com/peftgraph/peftgraph/inject"
)

func init() {
	registerHF(hfMethod{peftType: "PREFIX_TUNING", method: "prefix", virtual: true, config: hfPrefixConfig, parse: hfPrefixParse,
		key: hfVirtualTensor, fits: hfPrefixFits})
}

func hfPrefixFits(_ *inject.Plan, m inject.Method) error {
	x, ok := m.(*inject.Prefix)
	switch {
	case !ok:
		return fmt.Errorf("%T is not prefix tuning", m)
	case x.Layout != inject.LayoutPEFT:
		return fmt.Errorf("--layout %s", x.Layout)
	case len(x.LeaveOut) > 0:
		return fmt.Errorf("--skip-layers: PEFT's prefixes are in every layer")
	}
	return nil
}

func hfPrefixConfig(m inject.Method, c map[string]any) error {
	x, ok := m.(*inject.Prefix)
	if !ok {
		return fmt.Errorf("format: %T is not prefix tuning", m)
	}
	c["num_virtual_tokens"], c["prefix_projection"], c["encoder_hidden_size"], c["init_weights"] = x.Tokens, x.Projection, x.Hidden, nil
	if x.Init == "zero" {
		c["init_weights"] = x.Init
	}
	return nil
}

func hfPrefixParse(c settings) (inject.Method, error) {
	built, err := inject.New("prefix")
	if err != nil {
		return nil, err
	}
	x := built.(*inject.Prefix)
	for key, to := range map[string]any{"prefix_projection": &x.Projection, "encoder_hidden_size": &x.Hidden, "init_weights": &x.Init} {
		if err := read(c, key, to); err != nil {
			return nil, err
		}
	}
	x.Folded = x.Projection
	return x, hfVirtualParse(c, &x.Tokens)
}
