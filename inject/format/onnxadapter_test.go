package format

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/mapfile"
)

// What onnxruntime's Python package wrote is read as what its script says.
func TestONNXAdapterOfOnnxruntime(t *testing.T) {
	text, err := os.ReadFile("testdata/onnxadapter/ort.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		Shape []int64
		DType string
		Data  []float64
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	a, err := Load("testdata/onnxadapter/ort.onnx_adapter")
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(a.Tensors)); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Fatalf("tensors %q", got)
	}
	for name, w := range want {
		x := a.Tensors[name]
		got, err := x.Float64s()
		if err != nil || !slices.Equal(x.Dims, w.Shape) || !slices.Equal(got, w.Data) || strings.TrimSuffix(w.DType, "32") != x.DType.String() {
			t.Errorf("%s is %s%v %v, want %v: %v", name, x.DType, x.Dims, got, w, err)
		}
	}
	if a.Plan != nil || len(a.Methods) > 0 {
		t.Error("a plan came from nowhere")
	}
}

// An adapter of each method that was saved beside its plan gives the same model, by value and as inputs of an
// --adapter-inputs graph.
func TestONNXAdapterRuns(t *testing.T) {
	for _, name := range []string{"lora_pooler_saved", "lora_embedding", "lora_bias_all", "dora", "pissa_converted", "ia3", "prefix", "prefix_projection", "prompt", "p_tuning",
		"adapterhub/seq_bn", "adapterhub/double_seq_bn", "adapterhub/scaled_par_bn", "adapterhub/prefix", "adapterhub/prompt_bos",
		"families/distilbert_peft_lora", "families/roberta_peft_prompt"} {
		t.Run(name, func(t *testing.T) {
			f := fixtureOf(t, name)
			g, plan := f.load(t, f.dir)
			f.asInputs(t, g, plan)
		})
	}
	for _, name := range []string{"bitfit", "full", "head-only"} { // no other library has files of these
		t.Run(name, func(t *testing.T) {
			m, err := inject.New(name)
			if err != nil {
				t.Fatal(err)
			}
			f := fixtureOf(t, "lora_seqcls")
			f.dir = name
			g, plan := f.inject(t, m, threeLabels)
			move(t, g, plan)
			f.With = f.outputs(t, g)
			f.asInputs(t, g, plan)
		})
	}
}

// asInputs writes an adapter as a .onnx_adapter, the graph that takes it as inputs and the one that has it as constants.
func (f *fixture) asInputs(t *testing.T, g *graph.Graph, plan *inject.Plan) {
	t.Helper()
	name := strings.TrimPrefix(filepath.ToSlash(f.dir), "testdata/")
	dir := written(t, ONNXAdapter, strings.ReplaceAll(name, "/", "_"))
	plan.Base = "fingerprint of the base"
	if plan.Task.Type != "" {
		plan.Task.Labels = []string{"good", "bad", "ugly"}
	}
	values, err := plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "ours"+onnxAdapterExt)
	if err := Save(formats[ONNXAdapter], file, plan, values); err != nil {
		t.Fatal(err)
	}
	a, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if a.Plan == nil || a.Base != plan.Base || !slices.Equal(a.Task.Labels, plan.Task.Labels) || a.Head != plan.Head.Kind {
		t.Errorf("the plan beside the file was not taken: %+v", a)
	}
	bound, err := a.Bind(a.Plan)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range values {
		if same, err := equal(x, bound[name]); !same || err != nil {
			t.Errorf("%s is not what was saved: %v", name, err)
		}
	}
	constants := g.Clone()
	inject.Deploy(constants)
	inputs, _ := blank(t, f, a)
	if err := inject.Overridable(inputs, plan); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]*graph.Graph{"constants": constants, "inputs": inputs} {
		if err := onnxfile.Save(x, filepath.Join(dir, name+".onnx"), onnxfile.Options{Weights: onnxfile.SelfContained}); err != nil {
			t.Fatal(err)
		}
	}
	f.writeExpected(t, dir, f.With)
	feeds := maps.Clone(bound)
	maps.Copy(feeds, f.feeds())
	p, err := refeval.New(inputs)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range f.With {
		out, err := p.Run(context.Background(), feeds, []string{name})
		if err != nil {
			t.Fatal(err)
		}
		if d := farthest(t, out[0], want.Data); !(d <= parity) {
			t.Errorf("fed as inputs the adapter gives %s %.1e from PyTorch's", name, d)
		}
	}
}

// blank returns the fixture's base, deployable, with the adapter's parameters at their start.
func blank(t *testing.T, f *fixture, a *Adapter) (*graph.Graph, *inject.Plan) {
	t.Helper()
	enc := f.encoder(t)
	plan, err := inject.Inject(enc, a.Methods, inject.Options{Task: a.Task, Head: a.Head})
	if err != nil {
		t.Fatal(err)
	}
	inject.Deploy(enc.Graph)
	return enc.Graph, plan
}

// farthest returns the largest difference of a tensor's elements from the wanted ones.
func farthest(t *testing.T, x *graph.Tensor, want []float64) float64 {
	t.Helper()
	got, err := x.Float64s()
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d elements, want %d: %v", len(got), len(want), err)
	}
	worst := 0.0
	for i, v := range want {
		worst = max(worst, math.Abs(got[i]-v))
	}
	return worst
}

// Every damage is one error and never a panic.
func TestMalformedONNXAdapter(t *testing.T) {
	good, err := os.ReadFile("testdata/onnxadapter/ort.onnx_adapter")
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(good) {
		if n == len(good)-1 || n == len(good)-2 || n == len(good)-3 {
			continue // the padding after the last name
		}
		if _, err := decoded(t, good[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes: accepted", n, len(good))
		}
	}
	patched := func(at int, b ...byte) []byte {
		out := bytes.Clone(good)
		copy(out[at:], b)
		return out
	}
	version := bytes.Index(good, []byte{1, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0})
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":             {nil, "0 bytes"},
		"other identifier":  {patched(4, []byte("ORTM")...), `"ORTM"`},
		"other version":     {patched(version, 2), "format_version 2"},
		"root past the end": {patched(0, 0xff, 0xff, 0xff, 0x7f), "damaged or cut off"},
		"root negative":     {patched(0, 0xfc, 0xff, 0xff, 0xff), "damaged or cut off"},
		"vtable elsewhere":  {patched(version-4, 0, 0, 0, 0x80), "damaged or cut off"},
		"list past the end": {patched(version+12, 0xf0, 0xff, 0xff, 0x7f), "past the file"},
		"list too long":     {patched(version+16, 0xf0, 0xff, 0xff, 0x7f), "cut short"},
	} {
		if _, err := decoded(t, c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	for name, x := range map[string]*graph.Tensor{
		"wrong size": {DType: graph.Float, Dims: []int64{3}}, "negative": {DType: graph.Float, Dims: []int64{-1}},
		"huge": {DType: graph.Float, Dims: []int64{1 << 40, 1 << 40}}, "a string": {DType: graph.String, Dims: []int64{1}},
	} {
		file, err := encodeAdapter(map[string]*graph.Tensor{"one": x})
		if err != nil {
			continue
		}
		if _, err := decoded(t, file); err == nil || !strings.Contains(err.Error(), `"one"`) {
			t.Errorf("%s: got %v, want an error with the tensor's name", name, err)
		}
	}
	if _, err := encodeAdapter(map[string]*graph.Tensor{"s": graph.Scalar[float32](1)}); err == nil {
		t.Error("a scalar was written, which onnxruntime can't read")
	}
}

// An adapter of another base is refused; one that says nothing passes.
func TestOtherBase(t *testing.T) {
	var other *OtherBaseError
	if err := (&Adapter{Base: "a"}).CheckBase("b"); !errors.As(err, &other) {
		t.Errorf("got %v", err)
	}
	if err := (&Adapter{Base: "a"}).CheckBase("a"); err != nil {
		t.Error(err)
	}
	if err := (&Adapter{}).CheckBase("b"); err != nil {
		t.Error(err)
	}
}

func decoded(t testing.TB, file []byte) (map[string]*graph.Tensor, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a"+onnxAdapterExt)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := mapfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return decodeAdapter(f, f.Size())
}

// memory is a file in memory.
type memory []byte

func (m memory) Path() string { return "/memory" }

func (m memory) Bytes(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > int64(len(m))-n {
		return nil, errors.New("out of range")
	}
	return m[off : off+n], nil
}

// Whatever the bytes, reading ends; what can be read is written and read again as the same tensors.
func FuzzONNXAdapter(f *testing.F) {
	good, err := os.ReadFile("testdata/onnxadapter/ort.onnx_adapter")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, file []byte) {
		tensors, err := decodeAdapter(memory(file), int64(len(file)))
		if err != nil {
			return
		}
		written, err := encodeAdapter(tensors)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeAdapter(memory(written), int64(len(written)))
		if err != nil || len(again) != len(tensors) {
			t.Fatalf("%d tensors became %d: %v", len(tensors), len(again), err)
		}
		for name, x := range tensors {
			if same, err := equal(x, again[name]); !same || err != nil {
				t.Fatalf("%q changed: %v", name, err)
			}
		}
	})
}

// A plan counts as long as the configuration beside it is the one it was written with.
func TestPlanBesideAnotherConfig(t *testing.T) {
	f := fixtureOf(t, "lora_seqcls")
	g, plan := f.load(t, f.dir)
	plan.Base, plan.Task.Labels = "a base", []string{"x", "y", "z"}
	values, err := plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Save(formats[HFPEFT], dir, plan, values); err != nil {
		t.Fatal(err)
	}
	a, err := Load(dir)
	if err != nil || a.Plan == nil || a.Base != "a base" || a.Task.Labels[2] != "z" {
		t.Fatalf("%+v, %v", a, err)
	}
	edit(t, filepath.Join(dir, hfConfigFile), func(text []byte) []byte {
		return bytes.Replace(text, []byte(`"lora_alpha": 8`), []byte(`"lora_alpha": 16`), 1)
	})
	a, err = Load(dir)
	if err != nil || a.Plan != nil || a.Methods[0].(*inject.LoRA).Alpha != 16 {
		t.Errorf("the plan of an adapter that was written again is taken: %+v, %v", a, err)
	}
	edit(t, filepath.Join(dir, PlanFile), func(text []byte) []byte { return text[:len(text)/2] })
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), PlanFile) {
		t.Errorf("a damaged plan: %v", err)
	}
}
