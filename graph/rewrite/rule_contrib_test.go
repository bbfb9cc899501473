package rewrite

import "testing"

func TestContribOperators(t *testing.T) {
	const weights = `opset 17
opset com.microsoft 1
init b double[4]
init w double[4]
init c double[4]
`
	const head = `graph "t" (x double[batch,sequence,4], s double[batch,sequence,4]) => (y double[batch,sequence,4])
` + weights
	const sum = `graph "t" (x double[batch,sequence,4], s double[batch,sequence,4]) => (y double[batch,sequence,4], z double[batch,sequence,4])
` + weights
	skip := " {epsilon=1e-05f}"
	runCases(t, []rewriteCase{
		{name: "Gelu", text: head + `y = com.microsoft.Gelu(x) "g"
`, want: "Gelu"},
		{name: "FastGelu", text: head + `y = com.microsoft.FastGelu(x) "g"
`, want: "Gelu"},
		{name: "FastGelu with a bias", text: head + `y = com.microsoft.FastGelu(x, b) "g"
`, want: "Add Gelu"},
		{name: "BiasGelu", text: head + `y = com.microsoft.BiasGelu(x, b) "g"
`, want: "Add Gelu"},
		{name: "another operator stays", text: head + `y = com.microsoft.QuickGelu(x) "g"
`, want: "QuickGelu", rule: "standard-gelu", root: "y", miss: "the rule is for com.microsoft.Gelu"},
		{name: "SkipLayerNormalization", text: head + `y = com.microsoft.SkipLayerNormalization(x, s, w, c)` + skip + ` "n"
`, want: "Add LayerNormalization", report: "split-skip-layer-norm 1"},
		{name: "with a bias and the sum", text: sum + `y, _, _, z = com.microsoft.SkipLayerNormalization(x, s, w, c, b)` + skip + ` "n"
`, want: "Add Add LayerNormalization"},
		{name: "without a shift", text: head + `y = com.microsoft.SkipLayerNormalization(x, s, w)` + skip + ` "n"
`, want: "Add LayerNormalization"},
	})
}
