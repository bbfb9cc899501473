package inject_test

import (
	"sync"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/models"
)

// bertBase is a random model of BERT-base's size, made once.
var bertBase = sync.OnceValues(func() (*graph.Graph, error) {
	return models.BuildRandom(models.BERTBase(), 1, models.BuildOptions{})
})

// The numbers of trainable parameters on BERT-base, 109,482,240, that PEFT 0.21.2 and adapters 1.3.0 have
// (testdata/adapterhub/counts.json), or that follow from the sizes.
func TestParametersOfBERTBase(t *testing.T) {
	g, err := bertBase()
	if err != nil {
		t.Fatal(err)
	}
	var hub map[string]int
	graphtest.ReadJSON(t, "testdata/adapterhub/counts.json", &hub)
	for _, c := range []struct {
		method   string
		settings map[string]string
		want     int
	}{
		{"adapter", map[string]string{"config": "seq_bn"}, hub["seq_bn"]},
		{"adapter", map[string]string{"config": "double_seq_bn"}, hub["double_seq_bn"]},
		{"adapter", map[string]string{"config": "par_bn"}, hub["par_bn"]},
		{"adapter", map[string]string{"config": "scaled_par_bn"}, hub["scaled_par_bn"]},
		{"adapter", map[string]string{"config": "pfeiffer"}, 894_528},
		{"adapter", map[string]string{"config": "houlsby"}, 1_789_056},
		{"adapter", map[string]string{"config": "houlsby", "reduction-factor": "12"}, 2_379_264}, // 64 wide, as in the paper
		{"adapter", map[string]string{"config": "par_bn"}, 7_091_712},
		{"adapter", map[string]string{"config": "scaled_par_bn"}, 7_091_724},
		{"adapter", map[string]string{"config": "pfeiffer", "skip-layers": "0-5"}, 894_528 / 2},
		{"lora", nil, 294_912},
		{"lora", map[string]string{"rank": "4", "alpha": "32"}, 147_456},
		{"lora", map[string]string{"target": "all-linear", "exclude": "pooler.dense"}, 1_327_104},
		{"lora", map[string]string{"target": "all-linear"}, 1_339_392},
		{"lora", map[string]string{"dora": "true"}, 294_912 + 24*768},
		{"lora", map[string]string{"lora-bias": "true"}, 294_912 + 24*768},
		{"lora", map[string]string{"init": "olora"}, 294_912},
		{"lora", map[string]string{"target": "word_embeddings"}, 8 * (30_522 + 768)},
		{"lora", map[string]string{"modules-to-save": "pooler"}, 294_912 + 590_592},
		{"ia3", nil, 64_512},
		{"ia3", map[string]string{"target": "key,value,intermediate.dense"}, 55_296}, // AdapterHub's
		{"bitfit", nil, 102_144},
		{"bitfit", map[string]string{"embedding-bias": "true"}, 102_912},
		{"full", nil, 109_482_240},
		{"full", map[string]string{"freeze-embeddings": "true", "freeze-layers": "0-10"}, 7_087_872 + 590_592}, // a layer and the pooler
	} {
		m := injecttest.New(t, c.method, c.settings)
		enc := injecttest.Recognise(t, g.Clone())
		plan, err := inject.Inject(enc, []inject.Method{m}, inject.Options{})
		if err != nil {
			t.Errorf("%s %v: %v", c.method, c.settings, err)
			continue
		}
		if n := plan.Parameters(); n != c.want {
			t.Errorf("%s %v: %d parameters, want %d", c.method, c.settings, n, c.want)
		}
	}
}
