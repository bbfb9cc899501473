package inject_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

func placed(tokens int, layout, combine, pool string) inject.Placement {
	return inject.Placement{Tokens: tokens, Layout: layout, Combine: combine, Pool: pool}
}

// Each placement on every exporter form: the output keeps the text's shape, trained values matter, and constants compute the
// same.
func TestPlacementsOnEveryExporterForm(t *testing.T) {
	for name, make := range map[string]func() inject.Method{
		"adapterhub": func() inject.Method {
			return &inject.Prompt{Placement: placed(4, inject.LayoutAdapterHub, inject.CombinePrefix, inject.PoolFirst), Init: "uniform"}
		},
		"after bos": func() inject.Method {
			return &inject.Prompt{Placement: placed(4, inject.LayoutAdapterHub, inject.CombineAfterBOS, inject.PoolCLS), Init: "random"}
		},
		"peft, cls": func() inject.Method {
			return &inject.Prompt{Placement: placed(4, inject.LayoutPEFT, inject.CombinePrefix, inject.PoolCLS), Init: "embedding-std"}
		},
		"p-tuning": func() inject.Method {
			return &inject.PTuning{Placement: placed(4, inject.LayoutAdapterHub, inject.CombinePrefix, inject.PoolCLS), Hidden: 3}
		},
		"prefix, hub": func() inject.Method {
			return &inject.Prefix{Tokens: 4, Layout: inject.LayoutAdapterHub, Init: "random", Projection: true, Hidden: 3}
		},
		"prefix, layer": func() inject.Method { return &inject.Prefix{Tokens: 4, Layout: inject.LayoutPEFT, Init: "random"} },
	} {
		for _, f := range modelstest.Encoders(t) {
			if f.IsRelative() && strings.HasPrefix(name, "prefix") {
				continue
			}
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				g := f.Load(t)
				enc := injecttest.Recognise(t, g)
				hidden := enc.LastHidden.Name()
				before := hashes(t, g)
				shape, stated := outputs(t, f, g, []string{hidden})[hidden].Dims, enc.LastHidden.Shape.String()
				for _, head := range []inject.HeadKind{inject.HeadAuto, inject.HeadCLS, inject.HeadMean} {
					g := g.Clone()
					plan := injecttest.Into(t, g, inject.Options{Task: inject.Task{Type: "regression"}, Head: head, Seed: 3}, make())
					start := outputs(t, f, g, []string{hidden, plan.Logits})
					if g.Value(hidden).IsOutput() && !slices.Equal(start[hidden].Dims, shape) {
						t.Errorf("%s is %v, before %v", hidden, start[hidden].Dims, shape)
					}
					if v := g.Value(hidden); v.IsOutput() && v.Shape.String() != stated {
						t.Errorf("%s is stated to be %s, before %s", hidden, v.Shape, stated)
					}
					injecttest.Move(t, g, plan, 0.4)
					trained := outputs(t, f, g, []string{plan.Logits})[plan.Logits]
					if graphtest.Differ(trained, start[plan.Logits], 0, 1e-4) == nil {
						t.Error("other parameters don't change the logits")
					}
					sameHashes(t, before, hashes(t, g))
					unmerged, err := inject.Merge(g, plan)
					if err != nil || len(unmerged) != 1 {
						t.Fatal(unmerged, err)
					}
					mustCheck(t, g)
					graphtest.Close(t, outputs(t, f, g, []string{plan.Logits})[plan.Logits], trained, 1e-5, 1e-5)
					for _, v := range g.Initializers() {
						if strings.Contains(v.Name(), "prompt_encoder/embedding") || strings.Contains(v.Name(), ".weight") && strings.HasPrefix(v.Name(), "peft/p") {
							t.Errorf("%q is left of the MLP", v.Name())
						}
					}
				}
			})
		}
	}
}

// What a head reads: the first virtual token or [CLS], which differ, and the mean of the text's tokens alone.
func TestPoolsTheTokenItIsTold(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_gemm")
	pooled := map[string]*graph.Tensor{}
	for _, pool := range []string{inject.PoolFirst, inject.PoolCLS} {
		g := f.Load(t)
		enc := injecttest.Recognise(t, g)
		hidden, name := enc.LastHidden.Name(), enc.Pooled.Name()
		m := &inject.Prompt{Placement: placed(2, inject.LayoutPEFT, inject.CombinePrefix, pool), Init: "random"}
		plan, err := inject.Inject(enc, []inject.Method{m}, inject.Options{Task: inject.Task{Type: "regression"}, Head: inject.HeadCLS, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		out := outputs(t, f, g, []string{hidden, name, plan.Logits})
		pooled[pool] = out[name]
		w, err := plan.Values(g)
		if err != nil {
			t.Fatal(err)
		}
		weight, err := w[plan.Find("head", "classifier", "weight").Name].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		h, _ := out[hidden].Float64s()
		logits, _ := out[plan.Logits].Float64s()
		sum := 0.0
		for i, x := range weight {
			sum += x * h[i]
		}
		if reads := math.Abs(sum-logits[0]) < 1e-9; reads != (pool == inject.PoolCLS) {
			t.Errorf("--pool %s: the head reads [CLS]: %v", pool, reads)
		}
	}
	if graphtest.Differ(pooled[inject.PoolFirst], pooled[inject.PoolCLS], 0, 1e-3) == nil {
		t.Error("the pooler reads the same token whatever --pool says")
	}
}

// The order in which methods are given doesn't matter, and what lengthens sequences works together with the rest.
func TestVirtualTokensWithOtherMethods(t *testing.T) {
	for _, f := range modelstest.Encoders(t) {
		if f.IsRelative() {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			var first *graph.Tensor
			for _, names := range [][]string{{"lora", "prefix", "prompt", "adapter"}, {"prompt", "adapter", "prefix", "lora"}} {
				g := f.Load(t)
				enc := injecttest.Recognise(t, g)
				var ms []inject.Method
				for _, n := range names {
					m := injecttest.New(t, n, nil)
					switch x := m.(type) {
					case *inject.LoRA:
						x.Init, x.Modules = "random", inject.ParseNames("all-linear")
					case *inject.Prefix:
						x.Tokens = 2
					case *inject.Prompt:
						x.Tokens = 3
					}
					ms = append(ms, m)
				}
				positions := enc.Info().Positions
				plan, err := inject.Inject(enc, ms, inject.Options{Task: inject.Task{Type: "regression"}, Seed: 9})
				if err != nil {
					t.Fatal(err)
				}
				mustCheck(t, g)
				if plan.Encoder.Positions != positions-5 {
					t.Errorf("%d positions are left of %d", plan.Encoder.Positions, positions)
				}
				got := outputs(t, f, g, []string{plan.Logits})[plan.Logits]
				if first == nil {
					first = got
				}
				graphtest.Close(t, got, first, 0, 1e-12)
				if _, err := inject.Merge(g, plan); err != nil {
					t.Fatal(err)
				}
				graphtest.Close(t, outputs(t, f, g, []string{plan.Logits})[plan.Logits], first, 1e-5, 1e-5)
			}
		})
	}
}

func TestPromptStarts(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	table := func(m *inject.Prompt) (x []float32, words []float32) {
		g := f.Load(t)
		enc := injecttest.Recognise(t, g)
		words, err := graph.Data[float32](enc.Embeddings.Word.Init())
		if err != nil {
			t.Fatal(err)
		}
		plan, err := inject.Inject(enc, []inject.Method{m}, inject.Options{Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		values, err := plan.Values(g)
		if err != nil {
			t.Fatal(err)
		}
		x, err = graph.Data[float32](values[plan.Trainables[0].Name])
		if err != nil {
			t.Fatal(err)
		}
		return x, words
	}
	std := func(xs []float32) float64 {
		sum := 0.0
		for _, x := range xs {
			sum += float64(x) * float64(x)
		}
		return math.Sqrt(sum / float64(len(xs)))
	}
	of := func(init string, ids ...int) *inject.Prompt {
		return &inject.Prompt{Placement: placed(20, inject.LayoutPEFT, inject.CombinePrefix, inject.PoolFirst), Init: init, IDs: ids}
	}
	x, words := table(of("text", 5, 9, 7))
	for i := range 20 {
		id := []int{5, 9, 7}[i%3]
		if !slices.Equal(x[i*16:(i+1)*16], words[id*16:(id+1)*16]) {
			t.Errorf("virtual token %d is not the embedding of token %d", i, id)
		}
	}
	x, _ = table(of("vocab"))
	for i := range 20 {
		row := x[i*16 : (i+1)*16]
		found := false
		for at := 0; at < len(words); at += 16 {
			found = found || slices.Equal(row, words[at:at+16])
		}
		if !found {
			t.Errorf("virtual token %d is no token's embedding", i)
		}
	}
	for init, want := range map[string]float64{"random": 1, "embedding-std": std(words), "uniform": 0.5 / math.Sqrt(3)} {
		if x, _ := table(of(init)); math.Abs(std(x)/want-1) > 0.15 {
			t.Errorf("--init %s: standard deviation %v, want about %v", init, std(x), want)
		}
	}
	m := of("text")
	m.Text = "a text"
	if m.StartText() != "a text" {
		t.Errorf("wants %q from a tokenizer", m.StartText())
	}
	if m.StartFrom([]int{1}); m.StartText() != "" {
		t.Error("wants the tokens that it has")
	}
}

// set returns a method with settings as "flag=text flag=text".
func set(t *testing.T, method, settings string) inject.Method {
	t.Helper()
	m := injecttest.New(t, method, nil)
	for _, s := range strings.Fields(settings) {
		flag, text, _ := strings.Cut(s, "=")
		if ok, err := inject.Set(m, flag, text); !ok || err != nil {
			t.Fatal(s, ok, err)
		}
	}
	return m
}

func TestVirtualTokenSettings(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa") // 32 positions
	for _, c := range []struct{ method, settings, err string }{
		{"prefix", "num-virtual-tokens=32", "none would be left"},
		{"prefix", "num-virtual-tokens=32 layout=adapterhub", ""},
		{"prefix", "init=zero prefix-projection=true", "doesn't start at zero"},
		{"prefix", "init=zero", ""},
		{"prefix", "skip-layers=0,1", "no layer is left"},
		{"prefix", "skip-layers=2", "layers 0 to 1"},
		{"p-tuning-v2", "num-virtual-tokens=3", ""},
		{"prompt", "num-virtual-tokens=32", "none would be left"},
		{"prompt", "num-virtual-tokens=40 layout=adapterhub", ""},
		{"prompt", "combine=prefix_after_bos", "needs --layout adapterhub"},
		{"prompt", "init=text", "needs --init-text"},
		{"prompt", "init=text init-ids=70", "outside the vocabulary of 60"},
	} {
		m := set(t, c.method, c.settings)
		enc := injecttest.Recognise(t, f.Load(t))
		_, err := inject.Inject(enc, []inject.Method{m}, inject.Options{})
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s %s: got %v, want %q", c.method, c.settings, err, c.err)
		}
	}
}

// A file that was exported for one length can't get a longer sequence; keys and values can grow.
func TestFixedLengthIsRefusedForPrompts(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	for name, want := range map[string]string{"prompt": "exactly 7 tokens", "prefix": ""} {
		g := f.Load(t)
		enc := injecttest.Recognise(t, g)
		enc.InputIDs.Shape = graph.ShapeOf(2, 7)
		m := injecttest.New(t, name, nil)
		_, err := inject.Inject(enc, []inject.Method{m}, inject.Options{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

func TestAliases(t *testing.T) {
	if got := inject.Aliases("prefix"); !slices.Equal(got, []string{"p-tuning-v2"}) {
		t.Errorf("aliases of prefix: %v", got)
	}
	for _, name := range inject.Aliases("") {
		if _, err := inject.New(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if slices.Contains(inject.Names(), name) {
			t.Errorf("%s is a method and an alias", name)
		}
	}
}
