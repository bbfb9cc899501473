package inject_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// combination returns fresh methods, as --method a --method b would make them, that leave the outputs as they are.
func combination(t *testing.T, f *modelstest.Fixture, names ...string) []inject.Method {
	t.Helper()
	var ms []inject.Method
	for _, name := range names {
		m := injecttest.New(t, name, nil)
		switch m := m.(type) {
		case *inject.LoRA:
			// Modules that other methods work on as well.
			m.Modules = inject.ParseNames("query,value,output.dense")
			if *f.Family == "distilbert" {
				m.Modules = inject.ParseNames("q_lin,v_lin,lin2")
			}
		case *inject.Adapter:
			m.Init, m.ReductionFactor = "zero", inject.Factors{"default": 4}
			m.Config = map[bool]string{true: "double_seq_bn", false: "seq_bn"}[len(names) == 2]
		}
		ms = append(ms, m)
	}
	return ms
}

// Several methods at once: a no-op together where each is one, in whatever order they are given, and what merges of them
// computes what it did before the merge.
func TestMethodsTogether(t *testing.T) {
	for _, names := range [][]string{
		{"lora", "adapter"}, {"adapter", "lora"}, {"adapter", "bitfit"}, {"lora", "ia3"}, {"ia3", "lora"}, {"ia3", "bitfit"}, {"full", "lora"},
		{"adapter", "ia3", "bitfit", "lora"}, {"bitfit", "lora", "ia3", "adapter"}, {"prefix", "lora"}, {"adapter", "prefix"}, {"prompt", "adapter", "lora"},
	} {
		for _, fixture := range []string{"bert_torch2_legacy_op14_sdpa", "bert_torch2_legacy_op14_relu_fresh", "bert_torch2_legacy_op14_gemm",
			"bert_ort_basic_op14", "bert_torch2_dynamo_op20_sdpa_tf5", "distilbert_torch2_legacy_op14_eager", "roberta_torch2_legacy_op14_sdpa"} {
			t.Run(strings.Join(names, "+")+"/"+fixture, func(t *testing.T) {
				f := modelstest.Encoder(t, fixture)
				g := f.Load(t)
				enc := injecttest.Recognise(t, g)
				hidden := enc.LastHidden.Name()
				base := outputs(t, f, g, []string{hidden})[hidden]
				before := hashes(t, g)
				ms := combination(t, f, names...)
				plan, err := inject.Inject(enc, ms, inject.Options{Task: inject.Task{Type: "regression"}, Seed: 2})
				if err != nil {
					t.Fatal(err)
				}
				mustCheck(t, g)
				if !slices.ContainsFunc(ms, func(m inject.Method) bool { return inject.ChangesAtStart(m) != "" }) {
					graphtest.Close(t, outputs(t, f, g, []string{hidden})[hidden], base, 0, 1e-12)
				}
				onlyThePlanIsNew(t, before, g, plan)

				injecttest.Move(t, g, plan, 0.4)
				trained := outputs(t, f, g, []string{plan.Logits})[plan.Logits]
				unmerged, err := inject.Merge(g, plan)
				if err != nil {
					t.Fatal(err)
				}
				mustCheck(t, g)
				folds := func(name string) bool { return !slices.Contains([]string{"adapter", "prefix", "prompt"}, name) }
				if stays := slices.DeleteFunc(slices.Clone(names), folds); !slices.Equal(unmerged, stays) {
					t.Errorf("merging left %v, want %v", unmerged, stays)
				}
				graphtest.Close(t, outputs(t, f, g, []string{plan.Logits})[plan.Logits], trained, 1e-5, 1e-5)
				for _, v := range g.Initializers() {
					if method := strings.Split(v.Name()+"//", "/"); method[0] == "peft" && method[1] != "head" && folds(method[1]) {
						t.Errorf("%q is left in the merged graph", v.Name())
					}
				}
			})
		}
	}
}

// What is inside a module is the same whichever method was named first: the others stand around it.
func TestOrderOfMethods(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	logits := func(names ...string) []float64 {
		g := f.Load(t)
		plan := injecttest.Into(t, g, inject.Options{Task: inject.Task{Type: "regression"}, Seed: 2}, combination(t, f, names...)...)
		values, err := plan.Values(g)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range values {
			values[name] = graphtest.Rand(uint64(len(name)), v.DType, v.Dims, -0.4, 0.4)
		}
		if err := plan.SetValues(g, values); err != nil {
			t.Fatal(err)
		}
		x, err := outputs(t, f, g, []string{plan.Logits})[plan.Logits].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if a, b := logits("lora", "adapter"), logits("adapter", "lora"); !slices.Equal(a, b) {
		t.Errorf("lora, adapter gives %v and adapter, lora %v", a, b)
	}
}
