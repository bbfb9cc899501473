package peftgraph

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/runtimetest"
)

// A form that computes something else than the trained model is found out, and leaves what was there before.
func TestUnprovenExportLeavesTheOldFile(t *testing.T) {
	runtimetest.Library(t)
	run, err := OpenRun("sentiment")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	opt := ExportOptions{Path: filepath.Join(dir, "model.onnx"), Data: "test.tsv", Reference: false}
	if _, err := run.Export(t.Context(), opt); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(opt.Path)
	if err != nil {
		t.Fatal(err)
	}
	saved := slices.Clone(forms)
	t.Cleanup(func() { forms = saved })
	forms = slices.Clone(forms)
	forms[0].change = func(g *graph.Graph, p *inject.Plan) ([]string, error) {
		unmerged, err := inject.Merge(g, p)
		return unmerged, errors.Join(err, spoil(g, p))
	}
	_, err = run.Export(t.Context(), opt)
	var differs *DiffersError
	if !errors.As(err, &differs) {
		t.Error(err)
	}
	now, err := os.ReadFile(opt.Path)
	if err != nil || !slices.Equal(now, old) {
		t.Error("the old file changed", err)
	}
	opt.Path = filepath.Join(dir, "new", "folder", "model.onnx")
	if _, err = run.Export(t.Context(), opt); !errors.As(err, &differs) {
		t.Error(err)
	}
	// Nor does a temperature hide it, by which differences are divided too.
	run.Plan.Task.Settings = []byte(`{"temperature":1000}`)
	if _, err = run.Export(t.Context(), opt); !errors.As(err, &differs) {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != len(before) {
		t.Error(left, err)
	}
}

// spoil adds to the classifier's bias what rounding never does.
func spoil(g *graph.Graph, p *inject.Plan) error {
	bias := g.Value(p.Find("head", "classifier", "bias").Name)
	data, err := graph.Data[float32](bias.Init())
	if err != nil {
		return err
	}
	data = slices.Clone(data)
	data[0] += 0.01
	return g.SetInitializer(bias, graph.TensorOf(bias.Init().Dims, data))
}
