package format

import (
	"fmt"

	"github.com/peftgraph/peftgraph/inject"
)

func init() {
	registerHF(hfMethod{peftType: "IA3", method: "ia3", config: hfIA3Config, parse: hfIA3Parse, key: hfIA3Key})
}

func hfIA3Config(m inject.Method, c map[string]any) error {
	a, ok := m.(*inject.IA3)
	if !ok {
		return fmt.Errorf("format: %T is not IA3", m)
	}
	if len(a.Layers) > 0 {
		return fmt.Errorf("format: PEFT's IA3 can't leave out layers: inject with --target re:PATTERN instead of --layers")
	}
	c["target_modules"], c["feedforward_modules"], c["exclude_modules"] = a.Modules, a.FeedForward, nil
	if len(a.Exclude.List) > 0 || a.Exclude.Pattern != "" {
		c["exclude_modules"] = a.Exclude
	}
	c["fan_in_fan_out"], c["init_ia3_weights"] = false, a.Init
	return nil
}

func hfIA3Parse(c settings) (inject.Method, error) {
	if err := refuse(c, "fan_in_fan_out"); err != nil {
		return nil, err
	}
	built, err := inject.New("ia3")
	if err != nil {
		return nil, err
	}
	a := built.(*inject.IA3)
	for key, to := range map[string]any{
		"target_modules": &a.Modules, "feedforward_modules": &a.FeedForward, "exclude_modules": &a.Exclude, "init_ia3_weights": &a.Init,
	} {
		if err := read(c, key, to); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func hfIA3Key(_ *inject.Plan, _ inject.Trainable, module string) string { return module + ".ia3_l" }
