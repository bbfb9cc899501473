package onnxfile

import (
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

// A hole is a file of zeros that isn't there.
type hole struct{}

func (hole) Path() string                     { return "hole" }
func (hole) Bytes(_, n int64) ([]byte, error) { return make([]byte, n), nil }

// sparseModel writes a model whose only weight has the given size, without writing the weight.
func sparseModel(t *testing.T, rows int64) string {
	t.Helper()
	g := graph.New("large")
	g.Opsets[""] = 17
	w, err := graph.NewRefTensor(graph.Float, []int64{rows, 1 << 20}, graph.Ref{File: hole{}, Length: rows << 22})
	if err != nil {
		t.Fatal(err)
	}
	x, _ := g.AddInput("x", graph.Float, graph.Shape{graph.Fixed(1), graph.Fixed(rows)})
	v, _ := g.AddInitializer("w", w)
	b := g.Build("s")
	small := b.Const(graph.TensorOf(nil, []float32{1, 2}))
	g.AddOutput(b.Op("Mul", b.Op("MatMul", x, v), small))
	body, err := encode(g, Options{}, inModel{})
	if err != nil || b.Err() != nil {
		t.Fatal(err, b.Err())
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "large.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range body.parts {
		switch {
		case p.tensor == nil:
			_, err = f.Write(p.data)
		case p.tensor.Ref() != nil:
			_, err = f.Seek(p.size, io.SeekCurrent)
		default:
			data, _ := p.tensor.Bytes()
			_, err = f.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

// TestOverTwoGigabytes reads a file that no protobuf library takes whole, and refers to it.
func TestOverTwoGigabytes(t *testing.T) {
	const rows = 600 // 2.5 GB
	path := sparseModel(t, rows)
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	g := mustLoad(t, path)
	goruntime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("loading allocated %d bytes", got)
	}
	w := g.Value("w").Init()
	if r := w.Ref(); r == nil || r.Length != rows<<22 {
		t.Fatalf("reference %+v", r)
	}
	if b, err := w.Bytes(); err != nil || b[rows<<22-1] != 0 {
		t.Errorf("the last byte can't be read: %v", err)
	}
	out := filepath.Join(filepath.Dir(path), "out.onnx")
	if err := Save(g, out, Options{Weights: Reference}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(out); err != nil || info.Size() > 1024 {
		t.Errorf("%v, %v", info, err)
	}
	if again := mustLoad(t, out); *again.Value("w").Init().Ref() == *w.Ref() || again.Value("w").Init().Ref().Offset != w.Ref().Offset {
		t.Error("the reference leads elsewhere")
	}
	if _, err := Marshal(g, Options{}); err == nil {
		t.Error("a message over 2 GB was made")
	}
}

// TestMemoryOfStreaming saves 64 MB without allocating a tenth of it.
func TestMemoryOfStreaming(t *testing.T) {
	g := mustLoad(t, sparseModel(t, 16))
	for name, opt := range map[string]Options{"self-contained": {}, "side file": {Weights: ExternalData}} {
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		if err := Save(g, filepath.Join(t.TempDir(), "out.onnx"), opt); err != nil {
			t.Fatal(err)
		}
		goruntime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 6<<20 {
			t.Errorf("%s: saving allocated %d bytes", name, got)
		}
	}
}
