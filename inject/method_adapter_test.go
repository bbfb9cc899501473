package inject_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/safetensors"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// A hubFixture is a folder that AdapterHub's library wrote, with what make_adapterhub.py wrote beside it.
type hubFixture struct {
	Trainable     int
	Inputs        map[string]modelstest.Array
	Without, With modelstest.Array
	config        map[string]any
	tensors       map[string]*graph.Tensor
}

func hub(t *testing.T, name string) *hubFixture {
	t.Helper()
	dir := filepath.Join("testdata", "adapterhub", name)
	f := &hubFixture{}
	graphtest.ReadJSON(t, filepath.Join(dir, "expected.json"), f)
	var whole struct{ Config map[string]any }
	graphtest.ReadJSON(t, filepath.Join(dir, "adapter_config.json"), &whole)
	f.config = whole.Config
	c, err := safetensors.Open(filepath.Join(dir, "adapter.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	f.tensors = c.Tensors
	return f
}

// method reads the settings by AdapterHub's own names.
func (f *hubFixture) method(t *testing.T, config string) *inject.Adapter {
	t.Helper()
	a := &inject.Adapter{}
	text, err := json.Marshal(map[string]any{"adapter_config": config, "reduction_factor": f.config["reduction_factor"],
		"non_linearity": f.config["non_linearity"], "init_weights": f.config["init_weights"], "leave_out": f.config["leave_out"]})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, a); err != nil {
		t.Fatal(err)
	}
	if scaling, err := json.Marshal(f.config["scaling"]); err == nil {
		a.Scaling = strings.Trim(string(scaling), `"`)
	}
	return a
}

// With AdapterHub's weights the hidden states are AdapterHub's, and every tensor of its file is one of our trainables.
func TestAdapterIsAdapterHubs(t *testing.T) {
	const parity = 1e-4
	for name, config := range map[string]string{
		"seq_bn": "pfeiffer", "double_seq_bn": "houlsby", "par_bn": "parallel", "scaled_par_bn": "scaled_parallel",
		"pfeiffer_by_layer": "seq_bn", "pfeiffer_one_layer": "seq_bn", "houlsby_tanh": "double_seq_bn", "parallel_gelu_new": "par_bn",
	} {
		t.Run(name, func(t *testing.T) {
			f := hub(t, name)
			g, err := onnxfile.Load(filepath.Join("format", "testdata", "base", "encoder.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			enc := injecttest.Recognise(t, g)
			hidden := enc.LastHidden.Name()
			if d := f.Without.Distance(t, f.hidden(t, g, hidden)); !(d <= parity) {
				t.Fatalf("the base differs from PyTorch's by %.1e", d)
			}
			plan, err := inject.Inject(enc, []inject.Method{f.method(t, config)}, inject.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if plan.Parameters() != f.Trainable || len(plan.Trainables) != len(f.tensors) {
				t.Errorf("%d parameters in %d tensors; AdapterHub has %d in %d", plan.Parameters(), len(plan.Trainables), f.Trainable, len(f.tensors))
			}
			values := map[string]*graph.Tensor{}
			for _, tr := range plan.Trainables {
				values[tr.Name] = f.tensors["bert."+tr.Target+".adapters.sst-2."+tr.Role]
			}
			if err := plan.SetValues(g, values); err != nil {
				t.Fatal(err)
			}
			mustCheck(t, g)
			d := f.With.Distance(t, f.hidden(t, g, hidden))
			if !(d <= parity) {
				t.Errorf("hidden states differ from AdapterHub's by %.1e", d)
			}
			t.Logf("max |Δ| from AdapterHub %.1e", d)
			if f.Without.Distance(t, f.hidden(t, g, hidden)) < 1e-2 {
				t.Error("the adapter does nothing")
			}
		})
	}
}

func (f *hubFixture) hidden(t *testing.T, g *graph.Graph, name string) *graph.Tensor {
	t.Helper()
	return modelstest.Evaluate(t, g, f.Inputs, name)[0]
}

// Each configuration × each initialisation on every exporter form: a start that is a no-op says so and is one.
func TestAdapterStarts(t *testing.T) {
	for _, f := range modelstest.Encoders(t) {
		for _, config := range []string{"seq_bn", "double_seq_bn", "par_bn", "scaled_par_bn"} {
			for _, start := range []string{"", "bert", "mam_adapter", "houlsby", "zero"} {
				t.Run(f.Name+"/"+config+"/"+start, func(t *testing.T) {
					g := f.Load(t)
					enc := injecttest.Recognise(t, g)
					out := enc.LastHidden.Name()
					want := outputs(t, f, g, []string{out})[out]
					a := &inject.Adapter{Config: config, Init: start, ReductionFactor: inject.Factors{"default": 4}}
					if _, err := inject.Inject(enc, []inject.Method{a}, inject.Options{Seed: 1}); err != nil {
						t.Fatal(err)
					}
					mustCheck(t, g)
					changed := graphtest.Differ(outputs(t, f, g, []string{out})[out], want, 0, 1e-12) != nil
					if says := a.ChangesAtStart() != ""; says != changed {
						t.Errorf("changes the output: %v; says so: %v", changed, says)
					}
				})
			}
		}
	}
}

func TestAdapterSettings(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa") // two layers of 16
	for _, c := range []struct {
		settings map[string]string
		widths   []int64 // of the down-projections
		err      string
	}{
		{map[string]string{"reduction-factor": "2"}, []int64{8, 8}, ""},
		{map[string]string{"reduction-factor": "0=8,default=16"}, []int64{2, 1}, ""},
		{map[string]string{"reduction-factor": "0.5"}, []int64{32, 32}, ""},
		{map[string]string{"reduction-factor": "100"}, []int64{1, 1}, ""},
		{map[string]string{"reduction-factor": "3", "skip-layers": "0"}, []int64{5}, ""},
		{map[string]string{"config": "houlsby", "reduction-factor": "1=4,0=2"}, []int64{8, 8, 4, 4}, ""},
		{map[string]string{"config": "Pfeiffer"}, []int64{1, 1}, ""},
		{map[string]string{"reduction-factor": "0=4"}, nil, "layer 1"},
		{map[string]string{"reduction-factor": "0"}, nil, "above 0"},
		{map[string]string{"reduction-factor": "-3"}, nil, "above 0"},
		{map[string]string{"reduction-factor": "NaN"}, nil, "above 0"},
		{map[string]string{"reduction-factor": "1e-9"}, nil, "wider than"},
		{map[string]string{"reduction-factor": "first=2,default=3"}, nil, "neither a layer"},
		{map[string]string{"reduction-factor": "2,4"}, nil, "want a number"},
		{map[string]string{"skip-layers": "0,1"}, nil, "no layer is left"},
		{map[string]string{"skip-layers": "2"}, nil, "layers 0 to 1"},
		{map[string]string{"config": "compacter"}, nil, "double_seq_bn (houlsby)"},
		{map[string]string{"non-linearity": "mish"}, nil, "gelu_new"},
		{map[string]string{"adapter-init": "lora"}, nil, "mam_adapter"},
		{map[string]string{"scaling": "channel"}, nil, "a number or learned"},
		{map[string]string{"scaling": "Inf"}, nil, "a number or learned"},
		{map[string]string{"dropout": "1"}, nil, "--dropout"},
	} {
		a, err := inject.New("adapter")
		if err != nil {
			t.Fatal(err)
		}
		g := f.Load(t)
		enc := injecttest.Recognise(t, g)
		for flag, text := range c.settings {
			ok, setErr := inject.Set(a, flag, text)
			if !ok {
				t.Fatalf("no setting %q", flag)
			}
			err = firstError(err, setErr)
		}
		var plan *inject.Plan
		if err == nil {
			plan, err = inject.Inject(enc, []inject.Method{a}, inject.Options{})
		}
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v: got %v, want an error with %q", c.settings, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.settings, err)
			continue
		}
		var widths []int64
		for _, tr := range plan.Trainables {
			if tr.Role == "adapter_down.0.weight" {
				widths = append(widths, tr.Shape[0])
			}
		}
		if !slices.Equal(widths, c.widths) {
			t.Errorf("%v: bottlenecks of %v, want %v", c.settings, widths, c.widths)
		}
		if again, err := plan.Method("adapter"); err != nil || !reflect.DeepEqual(again, a) {
			t.Errorf("%v: the plan gives back %+v, want %+v: %v", c.settings, again, a, err)
		}
	}
}

// The plan says what the configuration decided, under its present name.
func TestPlanHoldsTheWholeConfiguration(t *testing.T) {
	plan := injecttest.Into(t, modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa").Load(t), inject.Options{}, &inject.Adapter{Config: "Houlsby", NonLinearity: "gelu"})
	want := `{"adapter_config":"double_seq_bn","reduction_factor":16,"non_linearity":"gelu","init_weights":"bert","scaling":"1"}`
	if got := string(plan.Methods[0].Settings); got != want {
		t.Errorf("settings %s, want %s", got, want)
	}
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
