package inject_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

// Every method × every exporter form: the forward pass is unchanged at the start or the method says why not, the base's
// weights stay as they are, only the plan's names are new, and merging trained values computes what the unmerged graph does.
func TestMethodsOnEveryExporterForm(t *testing.T) {
	for _, name := range inject.Names() {
		for _, f := range modelstest.Encoders(t) {
			if name == "prefix" && f.IsRelative() {
				continue // refused: see TestPrefixNeedsPositions
			}
			t.Run(name+"/"+f.Name, func(t *testing.T) { matrix(t, f, method(t, f, name)) })
		}
	}
}

// matrix is what holds for every method on every graph.
func matrix(t *testing.T, f *modelstest.Fixture, m inject.Method) {
	t.Helper()
	base := f.Load(t)
	want := outputs(t, f, base, names(base.Outputs()))
	before := hashes(t, base)
	g, plan := injectedWith(t, f, m, inject.Options{Task: inject.Task{Type: "classification", Labels: []string{"a", "b", "c"}}, Seed: 7})

	for out, w := range want {
		if v := g.Value(out); v == nil || out == plan.Logits {
			continue
		}
		got, why := outputs(t, f, g, []string{out})[out], inject.ChangesAtStart(m)
		if changed := graphtest.Differ(got, w, 0, 1e-12); (changed != nil) != (why != "") {
			t.Errorf("%s: changed at the start by %v; the method's reason is %q", out, changed, why)
		}
	}
	onlyThePlanIsNew(t, before, g, plan)

	start := outputs(t, f, g, []string{plan.Logits})[plan.Logits]
	injecttest.Move(t, g, plan, 0.4)
	trained := outputs(t, f, g, []string{plan.Logits})[plan.Logits]
	if graphtest.Differ(trained, start, 0, 1e-3) == nil {
		t.Error("other parameters don't change the logits")
	}
	merged := g.Clone()
	unmerged, err := inject.Merge(merged, plan)
	if err != nil {
		t.Fatal(err)
	}
	mustCheck(t, merged)
	if len(unmerged) == 0 {
		for _, v := range merged.Initializers() {
			if strings.HasPrefix(v.Name(), "peft/") && !strings.Contains(v.Name(), "/classifier/") {
				t.Errorf("%q is left in the merged graph", v.Name())
			}
		}
	}
	// Merged weights are rounded to float32 once.
	graphtest.Close(t, outputs(t, f, merged, []string{plan.Logits})[plan.Logits], trained, 1e-5, 1e-5)
	sameHashes(t, before, hashes(t, g))
}

// method returns a method with its defaults, on the modules that f has.
func method(t *testing.T, f *modelstest.Fixture, name string) inject.Method {
	t.Helper()
	m := injecttest.New(t, name, nil)
	return m
}

func injected(t *testing.T, f *modelstest.Fixture, name string, opt inject.Options) (*graph.Graph, *inject.Plan) {
	t.Helper()
	return injectedWith(t, f, method(t, f, name), opt)
}

func injectedWith(t *testing.T, f *modelstest.Fixture, m inject.Method, opt inject.Options) (*graph.Graph, *inject.Plan) {
	t.Helper()
	g := f.Load(t)
	return g, injecttest.Into(t, g, opt, m)
}

func names(vs []*graph.Value) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = v.Name()
	}
	return out
}

func outputs(t *testing.T, f *modelstest.Fixture, g *graph.Graph, fetches []string) map[string]*graph.Tensor {
	t.Helper()
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.Run(context.Background(), f.Feeds(g, 0), fetches)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*graph.Tensor{}
	for i, n := range fetches {
		out[n] = res[i]
	}
	return out
}

func mustCheck(t *testing.T, g *graph.Graph) {
	t.Helper()
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
}

// onlyThePlanIsNew checks that every new float initializer of the graph is a trainable of the plan or a small constant.
func onlyThePlanIsNew(t *testing.T, before map[string]string, g *graph.Graph, plan *inject.Plan) {
	t.Helper()
	sameHashes(t, before, hashes(t, g))
	trainable := map[string]bool{}
	for _, tr := range plan.Tensors() {
		trainable[tr.Name] = true
	}
	for _, v := range g.Initializers() {
		if before[v.Name()] == "" && !trainable[v.Name()] && v.Init().Len() > 4 {
			t.Errorf("initializer %s is neither the base's nor the plan's", v)
		}
	}
}

func sameHashes(t *testing.T, before, after map[string]string) {
	t.Helper()
	for name, h := range before {
		if after[name] != h {
			t.Errorf("base initializer %q changed", name)
		}
	}
}

func hashes(t *testing.T, g *graph.Graph) map[string]string {
	t.Helper()
	h, err := onnxfile.HashInitializers(g)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestPlanTravelsInTheFile(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_gemm")
	g, plan := injected(t, f, "lora", inject.Options{Task: inject.Task{Type: "classification", Labels: []string{"neg", "pos"}}, Seed: 3, Base: "fp"})
	data, err := onnxfile.Marshal(g, onnxfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	back, err := onnxfile.Unmarshal(data, "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := inject.ReadPlan(back)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, plan) {
		t.Errorf("read back\n%+v\nwrote\n%+v", got, plan)
	}
	if enc, err := models.Recognise(back); err == nil {
		if _, err := inject.Inject(enc, nil, inject.Options{}); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("injecting twice: %v", err)
		}
	}
	if _, err := inject.ReadPlan(f.Load(t)); err == nil {
		t.Error("read a plan from a model without one")
	}
}

// Initial values depend on the seed and the name alone.
func TestSeedDecidesInitialValues(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	values := func(seed uint64, target string) map[string]*graph.Tensor {
		g := f.Load(t)
		enc := injecttest.Recognise(t, g)
		l := &inject.LoRA{R: 2, Alpha: 2, Bias: "none", Init: "default", Targets: inject.Targets{Modules: inject.ParseNames(target)}}
		plan, err := inject.Inject(enc, []inject.Method{l}, inject.Options{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		v, err := plan.Values(g)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const a = "peft/lora/encoder.layer.0.attention.self.query/A"
	one, same, other := values(1, "query"), values(1, "value,query"), values(2, "query")
	if graphtest.Differ(one[a], same[a], 0, 0) != nil {
		t.Error("another target changed the query's initial values")
	}
	if graphtest.Differ(one[a], other[a], 0, 0) == nil {
		t.Error("another seed gives the same initial values")
	}
	bound := 1 / 4.0 // 1/√16
	if data, _ := graph.Data[float32](one[a]); float64(slices.Max(data)) > bound || float64(slices.Min(data)) < -bound {
		t.Errorf("A is outside U(−1/√in, 1/√in)")
	}
}

func TestHeads(t *testing.T) {
	for _, c := range []struct {
		fixture string
		head    inject.HeadKind
		labels  int
		kind    inject.HeadKind
		err     string
	}{
		{"bert_torch2_legacy_op14_gemm", inject.HeadAuto, 2, inject.HeadMean, ""},
		{"bert_torch2_legacy_op14_gemm", inject.HeadMean, 2, inject.HeadMean, ""},
		{"bert_torch2_legacy_op14_gemm", inject.HeadCLS, 4, inject.HeadCLS, ""},
		{"bert_torch2_legacy_op14_gemm", inject.HeadNewPooler, 2, inject.HeadNewPooler, ""},
		{"bert_torch2_legacy_op14_gemm", inject.HeadPreClassifier, 2, inject.HeadPreClassifier, ""},
		{"distilbert_torch2_legacy_op14_eager", inject.HeadPreClassifier, 2, inject.HeadPreClassifier, ""},
		{"bert_torch2_legacy_op14_gemm", inject.HeadExisting, 2, "", "without a classifier"},
		{"bert_torch2_legacy_op14_gemm", "max", 2, "", "unknown"},
		{"bert_torch2_legacy_op14_seqcls", inject.HeadAuto, 3, inject.HeadExisting, ""},
		{"bert_torch2_legacy_op14_seqcls", inject.HeadAuto, 5, inject.HeadMean, ""},
		{"bert_torch2_legacy_op14_seqcls", inject.HeadExisting, 5, "", "3 outputs and the task 5"},
	} {
		t.Run(fmt.Sprintf("%s/%s/%d", c.fixture, c.head, c.labels), func(t *testing.T) {
			f := modelstest.Encoder(t, c.fixture)
			g := f.Load(t)
			enc := injecttest.Recognise(t, g)
			labels := make([]string, c.labels)
			plan, err := inject.Inject(enc, nil, inject.Options{Task: inject.Task{Type: "classification", Labels: labels}, Head: c.head, HeadDrop: 0.1})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want an error with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			mustCheck(t, g)
			if plan.Head.Kind != c.kind {
				t.Errorf("head %q, want %q", plan.Head.Kind, c.kind)
			}
			got := outputs(t, f, g, []string{plan.Logits})[plan.Logits]
			if !slices.Equal(got.Dims, []int64{2, int64(c.labels)}) || plan.Logits != inject.LogitsName {
				t.Errorf("%s is %v", plan.Logits, got.Dims)
			}
			if c.kind == inject.HeadExisting {
				graphtest.Close(t, got, f.Runs[0].Outputs["logits"].Tensor(graph.Float), 1e-4, 1e-5)
			}
			inject.Deploy(g)
			mustCheck(t, g)
			for _, n := range g.Nodes() {
				if n.Op == "Dropout" {
					t.Errorf("%s is left in the deployed graph", n)
				}
			}
		})
	}
}
