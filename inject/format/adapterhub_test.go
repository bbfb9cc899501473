package format

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
)

var hubFixtures = []string{"seq_bn", "seq_bn_bin", "seq_bn_multilabel", "double_seq_bn", "par_bn", "scaled_par_bn", "lora", "lora_everywhere", "ia3", "prefix", "prefix_flat",
	"prompt", "prompt_bos"}

// Every folder that AdapterHub wrote gives its outputs, and is written again as it was.
func TestAdapterHubFolders(t *testing.T) {
	for _, name := range hubFixtures {
		t.Run(name, func(t *testing.T) {
			f := fixtureOf(t, "adapterhub/"+name)
			g, plan := f.load(t, f.dir)
			d := f.differ(t, g, f.With)
			if !(d <= parity) {
				t.Errorf("outputs differ from PyTorch's by %.1e", d)
			}
			t.Logf("max |Δ| from PyTorch %.1e", d)
			if plan.Parameters() != f.Trainable {
				t.Errorf("%d trainable parameters; AdapterHub has %d", plan.Parameters(), f.Trainable)
			}
			if want := map[bool]string{true: "multi-label", false: "classification"}[name == "seq_bn_multilabel"]; f.With["logits"].Shape != nil && plan.Task.Type != want {
				t.Errorf("the task is %q, want %q", plan.Task.Type, want)
			}
			if _, ok := f.With["logits"]; ok && !slices.Equal(plan.Task.Labels, []string{"negative", "neutral", "positive"}) {
				t.Errorf("labels %q", plan.Task.Labels)
			}
			f.sameHub(t, g, plan)
		})
	}
}

// sameHub saves what was loaded and compares with AdapterHub's own files: tensors by the byte, configurations by meaning.
func (f *fixture) sameHub(t *testing.T, g *graph.Graph, plan *inject.Plan) {
	t.Helper()
	values, err := plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	dir := written(t, AdapterHub, filepath.Base(f.dir))
	if err := Save(formats[AdapterHub], dir, plan, values); err != nil {
		t.Fatal(err)
	}
	f.writeExpected(t, dir, f.With)
	ours, errOurs := Load(dir)
	theirs, errTheirs := Load(f.dir)
	if errOurs != nil || errTheirs != nil {
		t.Fatal(errOurs, errTheirs)
	}
	if ours.Format != AdapterHub || ours.Plan == nil {
		t.Errorf("what was written is read as %s, plan %v", ours.Format, ours.Plan)
	}
	renamed := map[string]*graph.Tensor{}
	for k, x := range theirs.Tensors {
		renamed[strings.Replace(k, ".sst-2.", ".default.", 1)] = x
	}
	if !slices.Equal(slices.Sorted(maps.Keys(ours.Tensors)), slices.Sorted(maps.Keys(renamed))) {
		t.Fatalf("keys %q, AdapterHub's are %q", slices.Sorted(maps.Keys(ours.Tensors)), slices.Sorted(maps.Keys(renamed)))
	}
	for k, x := range renamed {
		if same, err := equal(x, ours.Tensors[k]); !same || err != nil {
			t.Errorf("%s is another: %v", k, err)
		}
	}
	for _, file := range []string{hubConfigFile, hubHeadConfigFile} {
		if _, err := os.Stat(filepath.Join(f.dir, file)); err != nil {
			continue
		}
		a, b := configOf(t, dir, file), configOf(t, f.dir, file)
		if b["name"] = hubName; !reflect.DeepEqual(a, b) {
			t.Errorf("%s is\n%v, AdapterHub's is\n%v", file, a, b)
		}
	}
}

func configOf(t *testing.T, dir, file string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	if inner := c["config"].(map[string]any); inner["architecture"] == "prefix_tuning" && inner["flat"] == true {
		delete(inner, "bottleneck_size") // of an MLP that isn't there
	}
	return c
}

// What changes the output and has no counterpart is refused by AdapterHub's name for it.
func TestAdapterHubRefusals(t *testing.T) {
	if _, err := Load("testdata/adapterhub/dora"); err == nil || !strings.Contains(err.Error(), "use_dora") {
		t.Errorf("dora: got %v", err)
	}
	for _, c := range []struct{ fixture, file, key, value, want string }{
		{"seq_bn", hubConfigFile, "ln_before", "true", "ln_before"},
		{"seq_bn", hubConfigFile, "use_gating", "true", "use_gating"},
		{"seq_bn", hubConfigFile, "phm_layer", "true", "phm_layer"},
		{"seq_bn", hubConfigFile, "scaling", `"channel"`, "channel"},
		{"seq_bn", hubConfigFile, "residual_before_ln", `"post_add"`, "residual_before_ln"},
		{"seq_bn", hubConfigFile, "output_adapter", "false", "output_adapter"},
		{"seq_bn", hubConfigFile, "architecture", `"reft"`, "reft"},
		{"seq_bn", hubConfigFile, "non_linearity", `"mish"`, "mish"},
		{"seq_bn", hubConfigFile, "reduction_factor", "0", "factor"},
		{"seq_bn", hubHeadConfigFile, "head_type", `"dependency_parsing"`, "dependency_parsing"},
		{"seq_bn_multilabel", hubHeadConfigFile, "num_labels", "0", "num_labels is 0"},
		{"seq_bn", hubHeadConfigFile, "layers", "3", "layers is 3"},
		{"seq_bn", hubHeadConfigFile, "activation_function", `"gelu"`, "activation_function"},
		{"seq_bn", hubHeadConfigFile, "num_labels", "5", "needs [5 16]"},
		{"seq_bn", hubHeadConfigFile, "label2id", `{"a": 7}`, "label2id"},
		{"lora", hubConfigFile, "use_gating", "true", "use_gating"},
		{"lora", hubConfigFile, "composition_mode", `"twist"`, "twist"},
		{"lora", hubConfigFile, "attn_matrices", `["o"]`, "attn_matrices"},
		{"lora", hubConfigFile, "r", "3", "[3 16]"},
		{"lora", hubConfigFile, "leave_out", "[1]", "layer.1"},
		{"prefix", hubConfigFile, "use_gating", "true", "use_gating"},
		{"prefix", hubConfigFile, "flat", "true", "is missing"},
		{"prompt", hubConfigFile, "combine", `"suffix"`, "suffix"},
	} {
		dir := copyFolder(t, "adapterhub/"+c.fixture)
		setHub(t, filepath.Join(dir, c.file), c.key, c.value)
		if _, _, err := fixtureOf(t, "adapterhub/"+c.fixture).onto(t, dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s=%s: got %v, want an error with %q", c.fixture, c.key, c.value, err, c.want)
		}
	}
}

func setHub(t *testing.T, path, key, value string) {
	t.Helper()
	edit(t, path, func(text []byte) []byte {
		var c map[string]any
		var inner map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal(text, &c), json.Unmarshal(text, &struct{ Config any }{&inner})); err != nil {
			t.Fatal(err)
		}
		inner[key] = json.RawMessage(value)
		c["config"] = inner
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return out
	})
}

// Old files mean what they meant when they were written: no version is other names for GELU and for the modules, and before
// 1.1.0 LoRA trained without its alpha.
func TestOldAdapterHubFiles(t *testing.T) {
	dir := copyFolder(t, "adapterhub/seq_bn_bin")
	path := filepath.Join(dir, hubConfigFile)
	edit(t, path, func(text []byte) []byte {
		return []byte(strings.Replace(strings.Replace(string(text), `"version": "adapters.1.3.0"`, `"n": 0`, 1), `"gelu"`, `"gelu_orig"`, 1))
	})
	f := fixtureOf(t, "adapterhub/seq_bn_bin")
	g, _ := f.load(t, dir)
	if d := f.differ(t, g, f.With); !(d <= parity) {
		t.Errorf("gelu_orig of an old file isn't gelu: %.1e", d)
	}
	dir = copyFolder(t, "adapterhub/lora")
	edit(t, filepath.Join(dir, hubConfigFile), func(text []byte) []byte {
		return []byte(strings.Replace(string(text), "adapters.1.3.0", "adapters.1.0.1", 1))
	})
	a, err := Load(dir)
	if err != nil || a.Methods[0].(*inject.LoRA).Alpha != 4 {
		t.Errorf("alpha of LoRA from adapters 1.0.1: %v, want r", err)
	}
	for version, want := range map[string]bool{"": false, "3.2.1": false, "adapters.0.2.1": true, "adapters.1.0.1": true, "adapters.1.1.0": false, "adapters.2.0.0": false} {
		if hubBefore(version, 1, 1) != want {
			t.Errorf("%q before 1.1.0: %v", version, !want)
		}
	}
	out, err := hubNormal(map[string]*graph.Tensor{"bert.encoder.layer.0.output.layer_text_task_adapters.x.adapter_up.bias": {}})
	if err != nil || out["encoder.layer.0.output.adapters.x.adapter_up.bias"] == nil {
		t.Errorf("old key became %v, %v", out, err)
	}
}

// Damage is one error that says where.
func TestMalformedAdapterHub(t *testing.T) {
	for name, c := range map[string]struct {
		fixture string
		damage  func(t *testing.T, dir string)
		want    string
	}{
		"cut tensors":   {"lora", cut(hubTensorFile), hubTensorFile},
		"cut head":      {"lora", cut(hubHeadTensorFile), hubHeadTensorFile},
		"cut pickle":    {"seq_bn_bin", cut(hubPickleFile), hubPickleFile},
		"no tensors":    {"lora", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, hubTensorFile)) }, hubTensorFile},
		"no head":       {"lora", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, hubHeadTensorFile)) }, hubHeadTensorFile},
		"head config":   {"lora", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, hubHeadConfigFile)) }, ""},
		"evil pickle":   {"seq_bn_bin", replaced(hubPickleFile, "../../graph/torchfile/testdata/evil_zip.bin"), "system"},
		"foreign head":  {"lora", replaced(hubHeadTensorFile, "testdata/adapterhub/double_seq_bn/model_head.safetensors"), "heads."},
		"other adapter": {"lora", replaced(hubTensorFile, "testdata/adapterhub/ia3/adapter.safetensors"), "missing"},
	} {
		dir := copyFolder(t, "adapterhub/"+c.fixture)
		c.damage(t, dir)
		_, _, err := fixtureOf(t, "adapterhub/"+c.fixture).onto(t, dir)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: an adapter without a head: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

func cut(file string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		edit(t, filepath.Join(dir, file), func(b []byte) []byte { return b[:len(b)-9] })
	}
}

func replaced(file, by string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		data, err := os.ReadFile(by)
		if err != nil {
			t.Fatal(err)
		}
		edit(t, filepath.Join(dir, file), func([]byte) []byte { return data })
	}
}

// Several methods in one adapter are a union.
func TestAdapterHubUnion(t *testing.T) {
	f := fixtureOf(t, "adapterhub/prefix")
	a := &Adapter{Methods: []inject.Method{
		&inject.Prefix{Tokens: 2, Layout: inject.LayoutAdapterHub, Init: "random"}, &inject.Adapter{Config: "par_bn"},
	}, Task: inject.Task{Type: "regression"}, Head: inject.HeadNewPooler}
	g, plan := blank(t, f, a)
	values, err := plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Save(formats[AdapterHub], dir, plan, values); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Methods) != 2 || again.Task.Type != "regression" || again.Head != inject.HeadNewPooler {
		t.Errorf("%d methods, task %q, head %q", len(again.Methods), again.Task.Type, again.Head)
	}
	_, other := blank(t, f, &Adapter{Methods: again.Methods, Task: again.Task, Head: again.Head})
	bound, err := again.Bind(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range values {
		if same, err := equal(x, bound[name]); !same || err != nil {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	if len(bound) != len(values) {
		t.Errorf("%d values became %d", len(values), len(bound))
	}
}

// Whatever a configuration says, reading it ends in methods or in an error.
func FuzzAdapterHubConfig(f *testing.F) {
	for _, name := range hubFixtures {
		for _, file := range []string{hubConfigFile, hubHeadConfigFile} {
			if text, err := os.ReadFile(filepath.Join("testdata/adapterhub", name, file)); err == nil {
				f.Add(text)
			}
		}
	}
	f.Add([]byte(`{"config": "pfeiffer", "model_type": "bert"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c settings
		if json.Unmarshal(text, &c) != nil {
			return
		}
		if ms, err := hubParse(c, new([]string)); err == nil {
			for _, m := range ms {
				if _, err := inject.NameOf(m); err != nil {
					t.Error(err)
				}
			}
		}
		head := hubHead{Layers: 1, Bias: true}
		if read(c, "config", &head) == nil {
			if task, _, err := head.task(); err == nil && task.Outputs() != head.Labels {
				t.Errorf("%d outputs of %+v", task.Outputs(), head)
			}
		}
	})
}
