package inject_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// AdapterDrop's --skip-layers is --layers with the others, for every method that has targets.
func TestSkippedLayers(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op11_tf436") // three layers
	for _, c := range []struct {
		settings map[string]string
		layers   string
		err      string
	}{
		{map[string]string{"skip-layers": "0"}, "[1 2]", ""},
		{map[string]string{"skip-layers": "0,2"}, "[1]", ""},
		{map[string]string{"layers": "1"}, "[1]", ""},
		{map[string]string{"skip-layers": "0-2"}, "", "no layer is left"},
		{map[string]string{"skip-layers": "3"}, "", "layers 0 to 2"},
		{map[string]string{"skip-layers": "1", "layers": "0"}, "", "give one"},
		{map[string]string{"skip-layers": "1", "target": "all-linear"}, "", "list of names"},
		{map[string]string{"layers": "1", "target": "re:.*query"}, "", "list of names"},
	} {
		for _, name := range []string{"lora", "ia3"} {
			m := injecttest.New(t, name, c.settings)
			plan, err := inject.Inject(injecttest.Recognise(t, f.Load(t)), []inject.Method{m}, inject.Options{})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%s %v: got %v, want an error with %q", name, c.settings, err, c.err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s %v: %v", name, c.settings, err)
				continue
			}
			var layers []int
			for i := range 3 {
				in := func(s inject.Site) bool { return strings.Contains(s.Target, fmt.Sprintf(".layer.%d.", i)) }
				if slices.ContainsFunc(plan.Sites, in) {
					layers = append(layers, i)
				}
			}
			if fmt.Sprint(layers) != c.layers {
				t.Errorf("%s %v: layers %v, want %s", name, c.settings, layers, c.layers)
			}
		}
	}
}
