package format

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
)

// The IA3 folder that PEFT wrote gives PEFT's logits, merged too, and is written again as PEFT wrote it.
func TestPEFTIA3(t *testing.T) {
	f := fixtureOf(t, "ia3")
	g, plan := f.load(t, f.dir)
	if d := f.differ(t, g, f.With); !(d <= parity) {
		t.Errorf("outputs differ from PyTorch's by %.1e", d)
	} else {
		t.Logf("max |Δ| from PyTorch %.1e", d)
	}
	f.sameSites(t, plan)
	f.sameFiles(t, g, plan)
	merged := g.Clone()
	if unmerged, err := inject.Merge(merged, plan); err != nil || len(unmerged) > 0 {
		t.Fatalf("merge left %v: %v", unmerged, err)
	}
	if d := f.differ(t, merged, f.With); !(d <= parity) {
		t.Errorf("merged outputs differ from PyTorch's by %.1e", d)
	}
	for _, v := range merged.Initializers() {
		if strings.HasPrefix(v.Name(), "peft/ia3/") {
			t.Errorf("%q is left in the merged graph", v.Name())
		}
	}
}

// A config without target_modules means PEFT's own for the architecture.
func TestPEFTIA3Defaults(t *testing.T) {
	f := fixtureOf(t, "ia3")
	dir := copyFolder(t, "ia3")
	edit(t, filepath.Join(dir, hfConfigFile), func(text []byte) []byte {
		text = bytes.Replace(text, []byte(`"target_modules": [`), []byte(`"target_modules": null, "x": [`), 1)
		return bytes.Replace(text, []byte(`"feedforward_modules": [`), []byte(`"feedforward_modules": null, "y": [`), 1)
	})
	g, plan := f.load(t, dir)
	f.sameSites(t, plan)
	f.sameFiles(t, g, plan)
}

// What PEFT's IA3 can't say is refused on writing; what we can't do is refused on reading.
func TestPEFTIA3Refusals(t *testing.T) {
	f := fixtureOf(t, "ia3")
	dir := copyFolder(t, "ia3")
	edit(t, filepath.Join(dir, hfConfigFile), func(text []byte) []byte {
		return bytes.Replace(text, []byte(`"fan_in_fan_out": false`), []byte(`"fan_in_fan_out": true`), 1)
	})
	if _, _, err := f.onto(t, dir); err == nil || !strings.Contains(err.Error(), "fan_in_fan_out") {
		t.Errorf("got %v, want an error with fan_in_fan_out", err)
	}
	g, err := onnxfile.Load(filepath.Join("testdata", "base", f.Base))
	if err != nil {
		t.Fatal(err)
	}
	enc, err := models.Recognise(g)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := inject.Inject(enc, []inject.Method{&inject.IA3{Init: true, Targets: inject.Targets{Layers: []int{1}}}}, inject.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(plan.Sites, func(s inject.Site) bool { return strings.Contains(s.Target, ".layer.0.") }) || len(plan.Sites) != 4 {
		t.Errorf("%d sites for layer 1", len(plan.Sites))
	}
	values, err := plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	format, err := New(HFPEFT)
	if err != nil {
		t.Fatal(err)
	}
	if err := format.Save(t.TempDir(), plan, values); err == nil || !strings.Contains(err.Error(), "--layers") {
		t.Errorf("got %v, want an error with --layers", err)
	}
}
