package inject_test

import (
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// Which modules are scaled, and on which side, by default and by name; what is not said is in the plan afterwards.
func TestIA3Modules(t *testing.T) {
	const hidden, inner = 16, 40
	for _, c := range []struct {
		fixture string
		m       inject.IA3
		shapes  map[string][2]int64 // by the end of the module's path in layer 0
		plan    string
	}{
		{"bert_torch2_legacy_op14_sdpa", inject.IA3{}, map[string][2]int64{
			"self.key": {hidden, 1}, "self.value": {hidden, 1}, "attention.output.dense": {1, hidden}, "0.output.dense": {1, inner},
		}, `"target_modules":["key","value","output.dense"],"exclude_modules":null,"feedforward_modules":["output.dense"]`},
		{"distilbert_torch2_legacy_op14_eager", inject.IA3{}, map[string][2]int64{
			"k_lin": {hidden, 1}, "v_lin": {hidden, 1}, "lin2": {1, inner},
		}, `"target_modules":["k_lin","v_lin","lin2"],"exclude_modules":null,"feedforward_modules":["lin2"]`},
		{"bert_torch2_legacy_op14_sdpa", inject.IA3{FeedForward: inject.ModuleNames{List: []string{}}}, map[string][2]int64{
			"self.key": {hidden, 1}, "self.value": {hidden, 1}, "attention.output.dense": {hidden, 1}, "0.output.dense": {hidden, 1},
		}, `"feedforward_modules":[]`},
		{"bert_torch2_legacy_op14_sdpa", inject.IA3{Targets: inject.Targets{Modules: inject.ParseNames("query,intermediate.dense")}, FeedForward: inject.ParseNames("re:.*intermediate.*")},
			map[string][2]int64{"self.query": {hidden, 1}, "intermediate.dense": {1, hidden}}, `"feedforward_modules":".*intermediate.*"`},
	} {
		c.m.Init = true
		plan, err := inject.Inject(injecttest.Recognise(t, modelstest.Encoder(t, c.fixture).Load(t)), []inject.Method{&c.m}, inject.Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(string(plan.Methods[0].Settings), c.plan) {
			t.Errorf("the plan holds %s, want %s in it", plan.Methods[0].Settings, c.plan)
		}
		found := 0
		for _, tr := range plan.Trainables {
			for end, want := range c.shapes {
				if strings.Contains(tr.Target, ".layer.0.") && strings.HasSuffix(tr.Target, end) {
					if found++; [2]int64(tr.Shape) != want {
						t.Errorf("%s is %v, want %v", tr.Name, tr.Shape, want)
					}
				}
			}
		}
		if found != len(c.shapes) || len(plan.Trainables) != 2*found {
			t.Errorf("%s: %d of %d modules in layer 0, %d in all", c.fixture, found, len(c.shapes), len(plan.Trainables))
		}
	}
}
