package format

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
)

// A PEFT folder whose tensors are a pickle gives what PyTorch computed; a pickle that would run something is refused.
func TestPEFTPickle(t *testing.T) {
	f := fixtureOf(t, "lora_pickle")
	g, plan := f.load(t, f.dir)
	if d := f.differ(t, g, f.With); !(d <= parity) {
		t.Errorf("outputs differ from PyTorch's by %.1e", d)
	}
	if _, err := inject.Merge(g, plan); err != nil {
		t.Fatal(err)
	}
	dir := copyFolder(t, "lora_pickle")
	replaced(hfPickleFile, "../../graph/torchfile/testdata/evil_zip.bin")(t, dir)
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "system") || !strings.Contains(err.Error(), filepath.Join(dir, hfPickleFile)) {
		t.Errorf("got %v", err)
	}
}
