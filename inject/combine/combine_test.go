package combine

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
	"github.com/peftgraph/peftgraph/internal/injecttest"
)

// input loads an adapter that PEFT wrote, onto the base that it was written for.
func input(t *testing.T, dir, base string, weight float64) Input {
	t.Helper()
	a, err := format.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	g, err := onnxfile.Load(filepath.Join("../format/testdata/base", base))
	if err != nil {
		t.Fatal(err)
	}
	plan := injecttest.Into(t, g, inject.Options{Task: a.Task, Head: a.Head}, a.Methods...)
	values, err := a.Bind(plan)
	if err != nil {
		t.Fatal(err)
	}
	return Input{filepath.Base(dir), plan, values, weight}
}

// delta returns s·B·A at a module of a result.
func delta(t *testing.T, p *inject.Plan, values map[string]*graph.Tensor, target string) []float64 {
	t.Helper()
	var m module
	for _, s := range p.Sites {
		if s.Target == target {
			m.target = target
			if err := m.add(0, Input{Plan: p, Values: values, Weight: 1}, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := make([]float64, m.out*m.in)
	for o := range m.out {
		for i := range m.parts {
			m.parts[i].row(o, m.in, m.parts[i].factor(), out[o*m.in:(o+1)*m.in])
		}
	}
	return out
}

// Each combination adds what PEFT's add_weighted_adapter adds.
func TestPEFT(t *testing.T) {
	text, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Rows []struct {
			Adapters []string
			Weights  []float64
			Method   string  `json:"combination_type"`
			Rank     int     `json:"svd_rank"`
			Density  float64 `json:"density"`
			Signs    string  `json:"majority_sign_method"`
			Delta    map[string][]float64
		}
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for _, row := range want.Rows {
		name := fmt.Sprint(row.Method, row.Adapters, row.Weights, row.Rank)
		var inputs []Input
		for i, a := range row.Adapters {
			inputs = append(inputs, input(t, "testdata/"+a, "encoder.onnx", row.Weights[i]))
		}
		r, err := LoRA(inputs, Options{Method: row.Method, Rank: row.Rank, Density: row.Density, Signs: row.Signs})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for target, data := range row.Delta {
			got := delta(t, r.Plan, r.Values, target)
			worst := 0.0
			for i, v := range data {
				worst = max(worst, math.Abs(got[i]-v))
			}
			if !(worst <= 1e-5) {
				t.Errorf("%s: ΔW differs from PEFT's by %.1e", name, worst)
			}
		}
		checkErrors(t, name, inputs, r)
	}
}

// checkErrors recomputes the distances that a result reports, and what is exact.
func checkErrors(t *testing.T, name string, inputs []Input, r *Result) {
	t.Helper()
	for _, e := range r.Errors {
		got := delta(t, r.Plan, r.Values, e.Module)
		truth := make([]float64, len(got))
		for _, in := range inputs {
			for i, v := range delta(t, in.Plan, in.Values, e.Module) {
				truth[i] += in.Weight * v
			}
		}
		var distance, norm float64
		for i, v := range truth {
			distance, norm = math.Hypot(distance, got[i]-v), math.Hypot(norm, v)
		}
		if math.Abs(distance-e.Distance) > 1e-9 || math.Abs(norm-e.Norm) > 1e-9 {
			t.Errorf("%s: %s: distance %v of %v reported, %v of %v computed", name, e.Module, e.Distance, e.Norm, distance, norm)
		}
	}
	total := r.Total()
	exact := strings.HasPrefix(name, "cat") || strings.HasSuffix(name, " 12") // one svd of a rank that holds the sum
	if exact != (total.Distance < 1e-5*total.Norm) {
		t.Errorf("%s: distance %v of %v", name, total.Distance, total.Norm)
	}
}

// A sparse dare of seeded choice is the same each time; its mean over seeds is the weighted sum.
func TestDare(t *testing.T) {
	inputs := []Input{input(t, "testdata/one", "encoder.onnx", 0.7), input(t, "testdata/wide", "encoder.onnx", 0.3)}
	const target = "encoder.layer.1.attention.self.value"
	run := func(method string, seed uint64) []float64 {
		r, err := LoRA(inputs, Options{Method: method, Rank: 16, Density: 0.5, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return delta(t, r.Plan, r.Values, target)
	}
	if !slices.Equal(run("dare_ties_svd", 7), run("dare_ties_svd", 7)) || slices.Equal(run("dare_ties_svd", 7), run("dare_ties_svd", 8)) {
		t.Error("the seed doesn't decide what is dropped, or something else does")
	}
	const seeds = 200
	mean := make([]float64, 256)
	for s := range uint64(seeds) {
		for i, v := range run("dare_linear_svd", s) {
			mean[i] += v / seeds
		}
	}
	r, err := LoRA(inputs, Options{Method: "cat"})
	if err != nil {
		t.Fatal(err)
	}
	var off, norm float64
	for i, v := range delta(t, r.Plan, r.Values, target) {
		off, norm = math.Hypot(off, mean[i]-v), math.Hypot(norm, v)
	}
	if off > 3*norm/math.Sqrt(seeds) {
		t.Errorf("the mean over %d seeds is %.2f off, of %.2f", seeds, off, norm)
	}
}

// Heads of the same labels are averaged, others are refused unless one is chosen.
func TestHeads(t *testing.T) {
	const dir = "../format/testdata/lora_seqcls"
	a, b := input(t, dir, "seqcls.onnx", 1), input(t, dir, "seqcls.onnx", 3)
	b.Name = "other"
	bias := b.Plan.Find("head", "classifier", "bias").Name
	b.Values[bias] = graph.TensorOf(nil, []float32{8, 8, 8})
	r, err := LoRA([]Input{a, b}, Options{Method: "cat"})
	if err != nil {
		t.Fatal(err)
	}
	mine, _ := graph.Data[float32](a.Values[bias])
	got, err := graph.Data[float32](r.Values[bias])
	if err != nil || math.Abs(float64(got[0]-(mine[0]/4+6))) > 1e-6 {
		t.Errorf("bias %v of %v and 8: %v", got, mine, err)
	}
	if kept, err := LoRA([]Input{a, b}, Options{Method: "cat", Head: "other"}); err != nil || kept.Values[bias] == nil {
		t.Error(err)
	} else if got, _ := graph.Data[float32](kept.Values[bias]); got[0] != 8 {
		t.Errorf("the head of the other adapter is %v", got)
	}
	var head *HeadError
	for name, change := range map[string]func(*inject.Plan){
		"labels": func(p *inject.Plan) { p.Task.Labels = []string{"x", "y", "z"} },
		"kind":   func(p *inject.Plan) { p.Head.Kind = inject.HeadMean },
	} {
		other := *b.Plan
		change(&other)
		if _, err := LoRA([]Input{a, {"other", &other, b.Values, 1}}, Options{Method: "cat"}); !errors.As(err, &head) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	b.Weight = -1
	if _, err := LoRA([]Input{a, b}, Options{Method: "cat"}); !errors.As(err, &head) {
		t.Errorf("weights that cancel: got %v", err)
	}
}

// A combination is an adapter like any other: it is written for PEFT and read again.
func TestRoundTrip(t *testing.T) {
	inputs := []Input{input(t, "testdata/one", "encoder.onnx", 0.7), input(t, "testdata/wide", "encoder.onnx", 0.3)}
	r, err := LoRA(inputs, Options{Method: "cat"})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "both")
	f, err := format.New(format.HFPEFT)
	if err != nil {
		t.Fatal(err)
	}
	if err := format.Save(f, dir, r.Plan, r.Values); err != nil {
		t.Fatal(err)
	}
	again := input(t, dir, "encoder.onnx", 1)
	for _, e := range r.Errors {
		if !slices.Equal(delta(t, r.Plan, r.Values, e.Module), delta(t, again.Plan, again.Values, e.Module)) {
			t.Errorf("%s changed on disk", e.Module)
		}
	}
}

func TestRefusals(t *testing.T) {
	plain := input(t, "testdata/one", "encoder.onnx", 1)
	based := func(base string) Input {
		p := *plain.Plan
		p.Base = base
		return Input{base, &p, plain.Values, 1}
	}
	for want, c := range map[string]struct {
		inputs []Input
		opt    Options
	}{
		"the methods are":   {[]Input{plain}, Options{Method: "sum"}},
		"no adapters":       {nil, Options{Method: "cat"}},
		"density":           {[]Input{plain}, Options{Method: "ties"}},
		"signs":             {[]Input{plain}, Options{Method: "ties", Density: 1, Signs: "most"}},
		"one rank":          {[]Input{plain, input(t, "testdata/wide", "encoder.onnx", 1)}, Options{Method: "linear"}},
		"different bases":   {[]Input{based("a"), based("b")}, Options{Method: "cat"}},
		"DoRA":              {[]Input{input(t, "../format/testdata/dora", "seqcls.onnx", 1)}, Options{Method: "cat"}},
		"trained biases":    {[]Input{input(t, "../format/testdata/lora_bias_all", "seqcls.onnx", 1)}, Options{Method: "cat"}},
		"not LoRA":          {[]Input{input(t, "../format/testdata/ia3", "seqcls.onnx", 1)}, Options{Method: "cat"}},
		"no more than 16":   {[]Input{plain}, Options{Method: "svd", Rank: 17}},
		"none of the adapt": {[]Input{plain}, Options{Method: "cat", Head: "nobody"}},
	} {
		if _, err := LoRA(c.inputs, c.opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	if _, err := LoRA([]Input{based("a"), based("b")}, Options{Method: "cat", Force: true}); err != nil {
		t.Errorf("--force: %v", err)
	}
}

// The distance of two adapters is the norm of what the exact combination of one minus the other adds.
func TestDiff(t *testing.T) {
	a, b := input(t, "testdata/one", "encoder.onnx", 1), input(t, "testdata/wide", "encoder.onnx", -1)
	rows, err := Diff(a, b, false)
	if err != nil {
		t.Fatal(err)
	}
	r, err := LoRA([]Input{a, b}, Options{Method: "cat"})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(r.Errors) {
		t.Fatalf("%d rows for %d modules", len(rows), len(r.Errors))
	}
	for i, d := range rows {
		if e := r.Errors[i]; d.Place != e.Module || math.Abs(d.Distance-e.Norm) > 1e-9 || d.A == 0 || d.B == 0 {
			t.Errorf("%+v, combination %+v", d, e)
		}
	}
	head := input(t, "../format/testdata/lora_seqcls", "seqcls.onnx", 1)
	rows, err = Diff(head, head, false)
	if err != nil {
		t.Fatal(err)
	}
	if last := rows[len(rows)-1]; !strings.HasPrefix(last.Place, "classifier.") || last.Distance != 0 || last.A == 0 {
		t.Errorf("the head is %+v", last)
	}
	ia3 := input(t, "../format/testdata/ia3", "seqcls.onnx", 1)
	if rows, err = Diff(ia3, head, false); err != nil || len(rows) != len(ia3.Plan.Trainables)+len(head.Plan.Trainables)-2 {
		t.Errorf("IA3 and LoRA: %d rows, %v", len(rows), err)
	}
}
