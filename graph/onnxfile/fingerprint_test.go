package onnxfile

import (
	"path/filepath"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

func TestFingerprint(t *testing.T) {
	print := func(g *graph.Graph) string {
		t.Helper()
		s, err := Fingerprint(g)
		if err != nil || len(s) != 64 {
			t.Fatal(s, err)
		}
		return s
	}
	path := stored(t, dense())
	g := mustLoad(t, path)
	want := print(g)
	for name, opt := range map[string]Options{"inline": {}, "references": {Weights: Reference}, "side file": {Weights: ExternalData}} {
		out := filepath.Join(filepath.Dir(path), name+".onnx")
		if err := Save(g, out, opt); err != nil {
			t.Fatal(err)
		}
		if got := print(mustLoad(t, out)); got != want {
			t.Errorf("%s: the fingerprint depends on where the weights are", name)
		}
	}
	for name, change := range map[string]func(*graph.Graph){
		"operator":   func(g *graph.Graph) { g.Nodes()[0].Op = "Gemm" },
		"wiring":     func(g *graph.Graph) { g.Nodes()[1].SetInput(0, g.Value("x")) },
		"attribute":  func(g *graph.Graph) { g.Nodes()[1].SetAttr(graph.IntAttr("axis", 1)) },
		"name":       func(g *graph.Graph) { _ = g.Rename(g.Value("w"), "v") },
		"first byte": func(g *graph.Graph) { flip(t, g, 0) },
		"last byte":  func(g *graph.Graph) { flip(t, g, 4095) },
	} {
		g := mustLoad(t, path)
		change(g)
		if print(g) == want {
			t.Errorf("%s: the fingerprint misses the change", name)
		}
	}
}

// flip changes one byte of the initializer w.
func flip(t *testing.T, g *graph.Graph, i int) {
	t.Helper()
	b, err := g.Value("w").Init().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	c := append([]byte(nil), b...)
	c[i] ^= 1
	w, err := graph.NewTensor(graph.Float, []int64{32, 32}, c)
	if err == nil {
		err = g.SetInitializer(g.Value("w"), w)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFingerprintOfLargeTensors looks at both ends, and at a part of any 4 kB of a tensor of 256 kB.
func TestFingerprintOfLargeTensors(t *testing.T) {
	print := func(at, n int) string {
		data := make([]float32, 1<<16)
		for i := at; i < at+n; i++ {
			data[i] = 1
		}
		g := graph.New("large")
		if _, err := g.AddInitializer("w", graph.TensorOf(nil, data)); err != nil {
			t.Fatal(err)
		}
		s, err := Fingerprint(g)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	zero := print(0, 0)
	for _, at := range []int{0, 1<<16 - 1} {
		if print(at, 1) == zero {
			t.Errorf("element %d doesn't count", at)
		}
	}
	for at := 0; at < 1<<16-1024; at += 999 {
		if print(at, 1024) == zero {
			t.Errorf("the 4 kB from element %d don't count", at)
		}
	}
}
