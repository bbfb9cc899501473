package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/runtimetest"
	"github.com/peftgraph/peftgraph/runtime"
)

var bg = context.Background()

func session(t testing.TB, name string, opts runtime.Options) *runtime.Session {
	t.Helper()
	s, err := runtimetest.Open(t).NewSessionFromFile(bg, filepath.Join("testdata", name+".onnx"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

type feeds = map[string]*graph.Tensor

func run(t testing.TB, s *runtime.Session, f feeds, fetches ...string) []*graph.Tensor {
	t.Helper()
	out, err := s.Run(bg, f, fetches)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantTensor[T graph.Number](t testing.TB, got *graph.Tensor, dims []int64, want ...T) {
	t.Helper()
	data, err := graph.Data[T](got)
	if err != nil || !slices.Equal(data, want) || !slices.Equal(got.Dims, dims) {
		t.Errorf("got %s%v %v (%v), want %v %v", got.DType, got.Dims, data, err, dims, want)
	}
}

func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error = %v, want %q in it", err, part)
		}
	}
}

func x(rows int64, values ...float32) feeds {
	return feeds{"x": graph.TensorOf([]int64{rows, 3}, values)}
}

func TestOpenIsIdempotent(t *testing.T) {
	r := runtimetest.Open(t)
	if again, err := runtime.Open(r.Library()); err != nil || again != r {
		t.Errorf("Open = %p, %v; want %p", again, err, r)
	}
	_, err := runtime.Open(runtime.Library{Path: "/other/libonnxruntime.so", Origin: "flag"})
	wantError(t, err, "/other/libonnxruntime.so", "already runs", r.Library().Path)
}

func TestSignature(t *testing.T) {
	s := session(t, "matmul", runtime.Options{})
	if got, want := fmt.Sprint(s.Inputs(), s.Outputs(), s.Defaults()),
		`["x" float[batch,3]] ["y" float[batch,4] "rowsum" float[rows] "total" float[]] []`; got != want {
		t.Errorf("signature = %s, want %s", got, want)
	}
	if s.Provider() != "cpu" {
		t.Errorf("provider = %q", s.Provider())
	}
}

func TestRunFetchesAnySet(t *testing.T) {
	s := session(t, "matmul", runtime.Options{})
	for _, rows := range []int64{1, 2, 1} {
		f := x(rows, []float32{1, 0, 0, 0, 1, 0}[:3*rows]...)
		y := []float32{0, 1, 2, 3, 4, 5, 6, 7}[:4*rows]
		sums := []float32{6, 22}[:rows]
		total := map[int64]float32{1: 6, 2: 28}[rows]

		out := run(t, s, f, "y", "rowsum", "total") // all
		wantTensor(t, out[0], []int64{rows, 4}, y...)
		wantTensor(t, out[1], []int64{rows}, sums...)
		wantTensor(t, out[2], []int64{}, total)

		out = run(t, s, f, "total", "y") // a part, of known shapes
		wantTensor(t, out[0], []int64{}, total)
		wantTensor(t, out[1], []int64{rows, 4}, y...)

		out = run(t, s, f, "rowsum") // a part, of a shape that only onnxruntime knows
		wantTensor(t, out[0], []int64{rows}, sums...)
	}
}

func TestRunWithoutRows(t *testing.T) {
	s := session(t, "matmul", runtime.Options{})
	out := run(t, s, x(0), "y", "rowsum", "total")
	wantTensor[float32](t, out[0], []int64{0, 4})
	wantTensor[float32](t, out[1], []int64{0})
	wantTensor(t, out[2], []int64{}, float32(0))
	wantTensor[float32](t, run(t, s, x(0), "y")[0], []int64{0, 4})
}

func element[T graph.Number](f feeds, want map[string]any, name string, v T) {
	f[name] = graph.TensorOf([]int64{1, 2}, []T{v, v})
	f[name+"0"] = graph.Scalar(v)
	want[name], want[name+"0"] = []T{v, v}, []T{v}
}

func TestEveryElementType(t *testing.T) {
	f, want := feeds{}, map[string]any{}
	element[float32](f, want, "float", 1.5)
	element[float64](f, want, "double", -2.25)
	element[int8](f, want, "int8", -8)
	element[int16](f, want, "int16", -16)
	element[int32](f, want, "int32", -32)
	element[int64](f, want, "int64", -1<<40)
	element[uint8](f, want, "uint8", 200)
	element[uint16](f, want, "uint16", 60000)
	element[uint32](f, want, "uint32", 4e9)
	element[uint64](f, want, "uint64", 1<<60)
	element(f, want, "bool", true)
	s := session(t, "types", runtime.Options{})
	for name := range want {
		got := run(t, s, f, name+"_out")[0]
		if !slices.Equal(got.Dims, f[name].Dims) || got.DType != f[name].DType {
			t.Errorf("%s: got %s%v", name, got.DType, got.Dims)
		}
		a, err1 := got.Bytes()
		b, err2 := f[name].Bytes()
		if err := errors.Join(err1, err2); err != nil || !slices.Equal(a, b) {
			t.Errorf("%s: got %v, want %v (%v)", name, a, b, err)
		}
	}
	if len(want) != 22 {
		t.Errorf("%d values tested", len(want))
	}
}

func TestHalf(t *testing.T) {
	one, err := graph.NewTensor(graph.Float16, []int64{2}, []byte{0, 0x3c, 0, 0xc0}) // 1, -2
	if err != nil {
		t.Fatal(err)
	}
	got, err := run(t, session(t, "half", runtime.Options{}), feeds{"x": one}, "y")[0].Float64s()
	if err != nil || !slices.Equal(got, []float64{-1, 2}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDefaultsMayBeFed(t *testing.T) {
	s := session(t, "defaults", runtime.Options{})
	if len(s.Inputs()) != 0 || len(s.Defaults()) != 2 {
		t.Errorf("inputs %v, defaults %v", s.Inputs(), s.Defaults())
	}
	wantTensor[float32](t, run(t, s, nil, "y")[0], []int64{2}, 11, 22)
	wantTensor[float32](t, run(t, s, feeds{"a": graph.TensorOf(nil, []float32{5, 6})}, "y")[0], []int64{2}, 15, 26)
}

func TestShapeThatDependsOnValues(t *testing.T) {
	s := session(t, "nonzero", runtime.Options{})
	wantTensor[int64](t, run(t, s, feeds{"x": graph.TensorOf(nil, []float32{0, 3, 0, 4})}, "y")[0], []int64{1, 2}, 1, 3)
	wantTensor[int64](t, run(t, s, feeds{"x": graph.TensorOf(nil, []float32{0, 0, 0, 4})}, "y")[0], []int64{1, 1}, 3)
}

func TestWronglyDeclaredShape(t *testing.T) {
	s := session(t, "liar", runtime.Options{})
	for range 2 {
		wantTensor[float32](t, run(t, s, feeds{"x": graph.TensorOf(nil, []float32{7, 8})}, "y")[0], []int64{4}, 7, 8, 7, 8)
	}
}

func TestHugeDeclaredShape(t *testing.T) {
	s := session(t, "huge", runtime.Options{})
	wantTensor[float32](t, run(t, s, feeds{"x": graph.TensorOf(nil, []float32{7, 8})}, "y")[0], []int64{2}, -7, -8)
}

func TestFeedsAreCheckedFirst(t *testing.T) {
	s := session(t, "matmul", runtime.Options{Name: "base"})
	good := x(1, 1, 2, 3)
	for name, test := range map[string]struct {
		feeds   feeds
		fetches []string
		want    []string
	}{
		"missing":        {feeds{}, []string{"y"}, []string{`session "base"`, `input "x" float[batch,3]`, "not fed"}},
		"nil":            {feeds{"x": nil}, []string{"y"}, []string{`"x"`, "not fed"}},
		"unknown":        {feeds{"x": good["x"], "z": good["x"]}, []string{"y"}, []string{`no input is named "z"`, "has x"}},
		"type":           {feeds{"x": graph.TensorOf([]int64{1, 3}, []float64{1, 2, 3})}, []string{"y"}, []string{"double[1 3]", "want float"}},
		"rank":           {feeds{"x": graph.TensorOf(nil, []float32{1, 2, 3})}, []string{"y"}, []string{"want 2 dimensions, not 1"}},
		"size":           {feeds{"x": graph.TensorOf([]int64{3, 1}, []float32{1, 2, 3})}, []string{"y"}, []string{"want 3 in dimension 1, not 1"}},
		"unknown output": {good, []string{"y", "logits"}, []string{`no output is named "logits"`, "y, rowsum, total"}},
		"twice":          {good, []string{"y", "y"}, []string{"fetched twice"}},
		"nothing":        {good, nil, []string{"nothing is fetched"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Run(bg, test.feeds, test.fetches)
			wantError(t, err, test.want...)
		})
	}
}

func TestOnnxruntimesOwnErrors(t *testing.T) {
	s := session(t, "fails", runtime.Options{})
	_, err := s.Run(bg, feeds{"i": graph.TensorOf(nil, []int64{99})}, []string{"y"})
	wantError(t, err, `runtime: session "fails.onnx"`, "lookup", "99")
	wantTensor(t, run(t, s, feeds{"i": graph.TensorOf(nil, []int64{2})}, "y")[0], []int64{1}, float32(0))

	_, err = runtimetest.Open(t).NewSessionFromFile(bg, "testdata/unknown_op.onnx", runtime.Options{})
	wantError(t, err, `session "unknown_op.onnx"`, "Frobnicate")
}

func TestNoModel(t *testing.T) {
	r := runtimetest.Open(t)
	model, err := os.ReadFile("testdata/matmul.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"empty": nil, "text": []byte("not a model at all"), "cut": model[:len(model)-20]} {
		_, err := r.NewSession(bg, data, runtime.Options{Name: name})
		wantError(t, err, fmt.Sprintf("session %q: ", name))
	}
	_, err = r.NewSessionFromFile(bg, "testdata/none.onnx", runtime.Options{})
	wantError(t, err, "testdata/none.onnx", "no such file")
}

func TestExternalData(t *testing.T) {
	model, err := os.ReadFile("testdata/external/external.onnx")
	if err != nil {
		t.Fatal(err)
	}
	r := runtimetest.Open(t)
	for _, opts := range []runtime.Options{{ExternalDir: "testdata/external"}, {ExternalDir: "testdata/external", DisablePrepacking: true}} {
		s, err := r.NewSession(bg, model, opts)
		if err != nil {
			t.Fatal(err)
		}
		wantTensor[float32](t, run(t, s, x(1, 0, 0, 1), "y")[0], []int64{1, 4}, 8, 9, 10, 11)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err = r.NewSession(bg, model, runtime.Options{ExternalDir: t.TempDir(), Name: "lost"})
	wantError(t, err, `session "lost"`, "weights.bin")
	s := session(t, "external/external", runtime.Options{})
	wantTensor[float32](t, run(t, s, x(1, 1, 0, 0), "y")[0], []int64{1, 4}, 0, 1, 2, 3)
}

func TestOptions(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "profile")
	s := session(t, "matmul", runtime.Options{
		Threads: 1, OptLevel: "disable", DisableOptimizers: []string{"SkipLayerNormFusion", "GeluFusion"}, DisablePrepacking: true,
		MemPattern: true, DisableArena: true, LogLevel: "error", ProfilePrefix: prefix, Config: map[string]string{"session.intra_op.allow_spinning": "0"},
	})
	wantTensor[float32](t, run(t, s, x(1, 0, 1, 0), "y")[0], []int64{1, 4}, 4, 5, 6, 7)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if profiles, _ := filepath.Glob(prefix + "*.json"); len(profiles) != 1 {
		t.Errorf("profiles: %v", profiles)
	}
	for want, opts := range map[string]runtime.Options{
		"want one of all, basic, disable, extended": {OptLevel: "O3"},
		"want one of error, fatal, info":            {LogLevel: "loud"},
		"at least 0":                                {Threads: -1},
		"want auto or one of cpu, cuda":             {Provider: "tpu"},
	} {
		_, err := runtimetest.Open(t).NewSessionFromFile(bg, "testdata/matmul.onnx", opts)
		wantError(t, err, want, `session "matmul.onnx"`)
	}
}

func TestProviderCUDA(t *testing.T) {
	r := runtimetest.Open(t)
	s, err := r.NewSessionFromFile(bg, "testdata/matmul.onnx", runtime.Options{Provider: "cuda"})
	if err != nil { // no such build, or no such machine: the error says which, and what to do
		wantError(t, err, `provider "cuda"`, r.Library().Path, "peftgraph runtime install --provider cuda")
	} else {
		defer s.Close()
		wantTensor[float32](t, run(t, s, x(1, 0, 1, 0), "y")[0], []int64{1, 4}, 4, 5, 6, 7)
	}
	works := err == nil

	auto := session(t, "matmul", runtime.Options{Provider: "auto"})
	wantTensor[float32](t, run(t, auto, x(1, 0, 1, 0), "y")[0], []int64{1, 4}, 4, 5, 6, 7)
	switch {
	case works && auto.Provider() != "cuda":
		t.Errorf("cuda works, but auto took %s", auto.Provider())
	case !works && auto.Provider() != "cpu":
		t.Errorf("cuda does not work, but auto took %s", auto.Provider())
	case !works && r.Info().Has("cuda") && (len(auto.Notes()) != 1 || !strings.Contains(auto.Notes()[0], "cuda does not start")):
		t.Errorf("notes = %q", auto.Notes())
	}
}

func TestAutoStillTellsWhyAModelDoesNotLoad(t *testing.T) {
	_, err := runtimetest.Open(t).NewSessionFromFile(bg, "testdata/unknown_op.onnx", runtime.Options{Provider: "auto"})
	wantError(t, err, "Frobnicate")
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(bg)
	s := session(t, "endless", runtime.Options{})
	time.AfterFunc(100*time.Millisecond, cancel)
	start := time.Now()
	_, err := s.Run(ctx, feeds{"m": graph.TensorOf([]int64{64, 64}, make([]float32, 64*64))}, []string{"y"})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want %v", err, context.Canceled)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("the cancel took %s", took)
	}
	if _, err := s.Run(ctx, nil, []string{"y"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a run after the cancel: %v", err)
	}
	if _, err := runtimetest.Open(t).NewSessionFromFile(ctx, "testdata/matmul.onnx", runtime.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a load after the cancel: %v", err)
	}
}

func TestClose(t *testing.T) {
	s := session(t, "matmul", runtime.Options{Name: "gone"})
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	_, err := s.Run(bg, x(1, 1, 2, 3), []string{"y"})
	wantError(t, err, `session "gone": it is closed`)
}

func TestManyGoroutinesAndSessions(t *testing.T) {
	a, b := session(t, "matmul", runtime.Options{Threads: 1}), session(t, "copy", runtime.Options{Threads: 1})
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			v := float32(i)
			for range 50 {
				out, err := a.Run(ctx, x(1, v, 0, 0), []string{"total", "y"})
				if err != nil {
					t.Error(err)
					return
				}
				wantTensor(t, out[1], []int64{1, 4}, 0, v, 2*v, 3*v)
				a.Recycle(out...)
				out, err = b.Run(ctx, feeds{"x": graph.TensorOf(nil, []float32{v, v})}, []string{"y"})
				if err != nil {
					t.Error(err)
					return
				}
				wantTensor(t, out[0], []int64{2}, v+1, v+1)
				b.Recycle(out...)
			}
		})
	}
	wg.Wait()
}

func TestOutputsAreTheCallersUntilRecycled(t *testing.T) {
	s := session(t, "copy", runtime.Options{})
	feed := func(v float32) feeds { return feeds{"x": graph.TensorOf(nil, []float32{v, v, v})} }
	first := run(t, s, feed(1), "y")[0]
	second := run(t, s, feed(2), "y")[0]
	wantTensor[float32](t, first, []int64{3}, 2, 2, 2)
	was, _ := first.Bytes()
	s.Recycle(first)
	third := run(t, s, feed(3), "y")[0]
	if now, _ := third.Bytes(); &now[0] != &was[0] {
		t.Error("the recycled memory was not used")
	}
	wantTensor[float32](t, second, []int64{3}, 3, 3, 3)
	wantTensor[float32](t, third, []int64{3}, 4, 4, 4)
}

// unaligned is a file whose tensor starts at an odd address.
type unaligned struct{ data []byte }

func (unaligned) Path() string                         { return "unaligned" }
func (u unaligned) Bytes(off, n int64) ([]byte, error) { return u.data[off : off+n], nil }

func TestUnalignedFeed(t *testing.T) {
	data := append([]byte{0xff}, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40) // 1, 2 as float32, behind one byte
	tensor, err := graph.NewRefTensor(graph.Float, []int64{2}, graph.Ref{File: unaligned{data}, Offset: 1, Length: 8})
	if err != nil {
		t.Fatal(err)
	}
	wantTensor[float32](t, run(t, session(t, "copy", runtime.Options{}), feeds{"x": tensor}, "y")[0], []int64{2}, 2, 3)
}

func TestProvidersAreSorted(t *testing.T) {
	if got := runtime.Providers(); !reflect.DeepEqual(got, []string{"cpu", "cuda"}) {
		t.Errorf("providers = %v", got)
	}
}

// BenchmarkLargeOutput runs one Add over 12 MB, an elementwise pass that costs about as much as copying its output once.
func BenchmarkLargeOutput(b *testing.B) {
	const n = 3 << 20
	s := session(b, "copy", runtime.Options{Threads: 1})
	f := feeds{"x": graph.TensorOf(nil, make([]float32, n))}
	for _, recycle := range []bool{false, true} {
		b.Run(fmt.Sprintf("recycle=%t", recycle), func(b *testing.B) {
			b.SetBytes(4 * n)
			for b.Loop() {
				out := run(b, s, f, "y")
				if recycle {
					s.Recycle(out...)
				}
			}
		})
	}
}

// BenchmarkSmallRun is the cost of one call: the graph does next to nothing.
func BenchmarkSmallRun(b *testing.B) {
	s := session(b, "matmul", runtime.Options{Threads: 1})
	f := x(1, 1, 2, 3)
	for name, fetches := range map[string][]string{"all": {"y", "rowsum", "total"}, "part": {"y"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				run(b, s, f, fetches...)
			}
		})
	}
}
