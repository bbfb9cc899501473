package format

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every folder that PEFT or AdapterHub's library wrote for DistilBERT and RoBERTa gives its outputs, heads included, and is
// written again as it was.
func TestFamilies(t *testing.T) {
	folders, err := os.ReadDir("testdata/families")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, d := range folders {
		t.Run(d.Name(), func(t *testing.T) {
			f := fixtureOf(t, filepath.Join("families", d.Name()))
			g, plan := f.load(t, f.dir)
			diff := f.differ(t, g, f.With)
			if !(diff <= parity) {
				t.Errorf("outputs differ from PyTorch's by %.1e", diff)
			}
			t.Logf("max |Δ| from PyTorch %.1e", diff)
			if folded := strings.HasSuffix(f.dir, "p_tuning"); !folded && plan.Parameters() != f.Trainable {
				t.Errorf("%d trainable parameters; the library has %d", plan.Parameters(), f.Trainable)
			}
			if strings.Contains(d.Name(), "_hub_") {
				f.sameHub(t, g, plan)
			} else {
				f.sameFiles(t, g, plan)
			}
		})
	}
}
