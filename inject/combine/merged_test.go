package combine

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
	"github.com/peftgraph/peftgraph/models"
)

// merged returns the base with an adapter folded into it, weights by name.
func merged(t *testing.T, base string, plan *inject.Plan, values map[string]*graph.Tensor) map[string][]float64 {
	t.Helper()
	g, err := onnxfile.Load(filepath.Join("../format/testdata/base", base))
	if err != nil {
		t.Fatal(err)
	}
	if plan != nil {
		enc, err := models.Recognise(g)
		if err != nil {
			t.Fatal(err)
		}
		var methods []inject.Method
		for _, a := range plan.Methods {
			m, err := plan.Method(a.Name)
			if err != nil {
				t.Fatal(err)
			}
			methods = append(methods, m)
		}
		again, err := inject.Inject(enc, methods, inject.Options{Task: plan.Task, Head: plan.Head.Kind})
		if err != nil {
			t.Fatal(err)
		}
		if err := again.SetValues(g, values); err != nil {
			t.Fatal(err)
		}
		if _, err := inject.Merge(g, again); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string][]float64{}
	for _, v := range g.Initializers() {
		if v.DType == graph.Float {
			if out[v.Name()], err = v.Init().Float64s(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// What "cat" adds to the base's weights is what the adapters add, each merged alone, times their weights: with ranks and alphas
// by module, alpha/√r, a start from the base, and modules that only one of them has.
func TestCatIsTheSumOfMerged(t *testing.T) {
	for _, names := range [][]string{
		{"lora_seqcls"}, {"lora_patterns"}, {"lora_patterns", "lora_seqcls", "lora_regex"}, {"lora_layers", "lora_all_linear"}, {"lora_seqcls", "lora_embedding"},
	} {
		var inputs []Input
		weights := []float64{0.7, -0.4, 1.5}
		for i, n := range names {
			inputs = append(inputs, input(t, "../format/testdata/"+n, "seqcls.onnx", weights[i]))
		}
		base := merged(t, "seqcls.onnx", nil, nil)
		r, err := LoRA(inputs, Options{Method: "cat", Head: inputs[0].Name})
		if err != nil {
			t.Fatal(err)
		}
		got := merged(t, "seqcls.onnx", r.Plan, r.Values)
		changed := false
		var each []map[string][]float64
		for _, in := range inputs {
			each = append(each, merged(t, "seqcls.onnx", in.Plan, in.Values))
		}
		for name, w := range base {
			if got[name] == nil || name == "classifier.weight" || name == "classifier.bias" {
				continue // the head is one of theirs
			}
			want := slices.Clone(w)
			for i, m := range each {
				for k := range want {
					want[k] += weights[i] * (m[name][k] - w[k])
				}
			}
			for k, v := range want {
				changed = changed || v != w[k]
				if math.Abs(got[name][k]-v) > 1e-5 {
					t.Fatalf("%v: %s[%d] is %v, the weighted sum %v", names, name, k, got[name][k], v)
				}
			}
		}
		if !changed {
			t.Errorf("%v: nothing was merged", names)
		}
	}
}

// With nothing dropped dare is what it is built on, which PEFT's results settle.
func TestDareOfDensityOne(t *testing.T) {
	inputs := []Input{input(t, "testdata/one", "encoder.onnx", 0.7), input(t, "testdata/two", "encoder.onnx", -0.3)}
	const target = "encoder.layer.1.attention.self.value"
	for dare, plain := range map[string]string{"dare_linear": "linear", "dare_ties": "ties", "dare_linear_svd": "svd", "dare_ties_svd": "ties_svd"} {
		a, errA := LoRA(inputs, Options{Method: dare, Density: 1})
		b, errB := LoRA(inputs, Options{Method: plain, Density: 1})
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		x, y := delta(t, a.Plan, a.Values, target), delta(t, b.Plan, b.Values, target)
		for i := range x {
			if math.Abs(x[i]-y[i]) > 1e-6 {
				t.Fatalf("%s: %v, %s: %v", dare, x[i], plain, y[i])
			}
		}
	}
}

// dare keeps a share of the elements and divides them by it; ties keeps the largest, elects a sign and averages what has it.
func TestDefinitions(t *testing.T) {
	x := make([]float64, 10000)
	for i := range x {
		x[i] = 3
	}
	inputs := []Input{input(t, "testdata/one", "encoder.onnx", 1)}
	modules, err := collect(inputs, false)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, v := range recipes["dare_linear"].merge(modules[0], "A", [][]float64{x}, []float64{1}, Options{Density: 0.25}) {
		if v != 0 && v != 12 {
			t.Fatalf("an element became %v, want 0 or 3/0.25", v)
		}
		if v != 0 {
			kept++
		}
	}
	if math.Abs(float64(kept)/10000-0.25) > 0.03 {
		t.Errorf("%d of 10000 are kept at density 0.25", kept)
	}
	// The sums are 0, which counts as positive, and 3.
	got := recipes["ties"].merge(modules[0], "A", [][]float64{{4, -3, 0}, {2, 5, 0}, {-6, 1, 0}}, []float64{1, 2, 3}, Options{Density: 1, Signs: "total"})
	if want := []float64{(4*1 + 2*2) / 2.0, (5*2 + 1*3) / 2.0, 0}; !slices.Equal(got, want) {
		t.Errorf("total: %v, want %v", got, want)
	}
	got = recipes["ties"].merge(modules[0], "A", [][]float64{{1, 1, 9}, {1, -1, 1}, {-9, -1, 1}}, []float64{1, 1, 1}, Options{Density: 1, Signs: "frequency"})
	if want := []float64{1, -1, 11 / 3.0}; !slices.Equal(got, want) {
		t.Errorf("frequency: %v, want %v", got, want)
	}
	got = recipes["ties"].merge(modules[0], "A", [][]float64{{1, -2, 3, 4}}, []float64{1}, Options{Density: 0.5})
	if want := []float64{0, 0, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("the largest half: %v, want %v", got, want)
	}
}

// The head that is kept brings its own modules; PEFT's configuration says so, and reads it again.
func TestKeptHeadBringsItsModules(t *testing.T) {
	a, b := input(t, "../format/testdata/lora_seqcls", "seqcls.onnx", 1), input(t, "../format/testdata/lora_pooler_saved", "seqcls.onnx", 1)
	f, err := format.New(format.HFPEFT)
	if err != nil {
		t.Fatal(err)
	}
	for _, head := range []string{a.Name, b.Name} {
		for _, inputs := range [][]Input{{a, b}, {b, a}} {
			r, err := LoRA(inputs, Options{Method: "cat", Head: head})
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "kept")
			if err := format.Save(f, dir, r.Plan, r.Values); err != nil {
				t.Fatal(err)
			}
			again := input(t, dir, "seqcls.onnx", 1)
			if want := head == b.Name; (again.Plan.Find("lora", "pooler.dense", "weight") != nil) != want {
				t.Errorf("head of %s: the pooler is there: %v", head, !want)
			}
		}
	}
}
