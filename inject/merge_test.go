package inject_test

import (
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// Trained biases go back into the base's initializers under their names; those that the exporter shared because they were
// equal get names after their modules.
func TestMergedBiasesAreTheBasesAgain(t *testing.T) {
	for _, c := range []struct {
		fixture string
		shared  bool
	}{{"bert_torch2_legacy_op14_sdpa", false}, {"bert_torch2_legacy_op14_relu_fresh", true}} {
		t.Run(c.fixture, func(t *testing.T) {
			f := modelstest.Encoder(t, c.fixture)
			g := f.Load(t)
			before := hashes(t, g)
			enc := injecttest.Recognise(t, g)
			l := &inject.LoRA{R: 2, Alpha: 2, Bias: "all", Init: "random", Targets: inject.Targets{Modules: inject.ParseNames("query,value")}}
			plan, err := inject.Inject(enc, []inject.Method{l}, inject.Options{Task: inject.Task{Type: "regression"}})
			if err != nil {
				t.Fatal(err)
			}
			injecttest.Move(t, g, plan, 0.4)
			want := outputs(t, f, g, []string{plan.Logits})[plan.Logits]
			if _, err := inject.Merge(g, plan); err != nil {
				t.Fatal(err)
			}
			mustCheck(t, g)
			graphtest.Close(t, outputs(t, f, g, []string{plan.Logits})[plan.Logits], want, 1e-5, 1e-5)
			fresh := 0
			for _, v := range g.Initializers() {
				if before[v.Name()] == "" && strings.Contains(v.Name(), ".bias") {
					fresh++
				}
				if strings.HasPrefix(v.Name(), "peft/lora/") {
					t.Errorf("%q is left in the merged graph", v.Name())
				}
			}
			if (fresh > 0) != c.shared {
				t.Errorf("%d biases have names that the base hasn't", fresh)
			}
		})
	}
}
