package format

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/graph/safetensors"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

// parity is how far logits may be from PyTorch's, which computes in float32.
const parity = 1e-4

// A fixture is what make_peft.py wrote beside an adapter that PEFT saved.
type fixture struct {
	dir       string
	Base      string
	Trainable int
	Modules   []struct {
		Module  string
		R       int
		Scaling float64
	}
	Inputs, Without, With map[string]modelstest.Array
}

func fixtureOf(t *testing.T, name string) *fixture {
	t.Helper()
	f := &fixture{dir: filepath.Join("testdata", name)}
	text, err := os.ReadFile(filepath.Join(f.dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, f); err != nil {
		t.Fatal(err)
	}
	return f
}

// load puts an adapter on the fixture's base.
func (f *fixture) load(t *testing.T, dir string) (*graph.Graph, *inject.Plan) {
	t.Helper()
	g, plan, err := f.onto(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return g, plan
}

func (f *fixture) onto(t *testing.T, dir string) (*graph.Graph, *inject.Plan, error) {
	t.Helper()
	a, err := Load(dir)
	if err != nil {
		return nil, nil, err
	}
	enc := f.encoder(t)
	plan, err := put(enc, a, inject.Options{Task: a.Task, Head: a.Head})
	return enc.Graph, plan, err
}

// put injects an adapter's methods with its values.
func put(enc *models.Encoder, a *Adapter, opt inject.Options) (*inject.Plan, error) {
	plan, err := inject.Inject(enc, a.Methods, opt)
	if err != nil {
		return nil, err
	}
	values, err := a.Bind(plan)
	if err != nil {
		return nil, err
	}
	return plan, plan.SetValues(enc.Graph, values)
}

// encoder returns the fixture's base: a file, or what is built of a checkpoint.
func (f *fixture) encoder(t *testing.T) *models.Encoder {
	t.Helper()
	load := func() (*graph.Graph, error) { return onnxfile.Load(filepath.Join("testdata", "base", f.Base)) }
	if filepath.Ext(f.Base) == "" {
		load = func() (*graph.Graph, error) {
			return models.Build(filepath.Join("..", "..", "models", "testdata", "checkpoints", f.Base), models.BuildOptions{})
		}
	}
	g, err := load()
	if err != nil {
		t.Fatal(err)
	}
	enc, err := models.Recognise(g)
	if err != nil {
		t.Fatal(err)
	}
	return enc
}

// differ returns the largest difference of g's outputs from the ones wanted.
func (f *fixture) differ(t *testing.T, g *graph.Graph, want map[string]modelstest.Array) float64 {
	t.Helper()
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for name, w := range want {
		res, err := p.Run(context.Background(), f.feeds(), []string{name})
		if err != nil {
			t.Fatal(err)
		}
		got, err := res[0].Float64s()
		if err != nil || !slices.Equal(res[0].Dims, w.Shape) {
			t.Fatalf("%s is %v, PyTorch's is %v: %v", name, res[0].Dims, w.Shape, err)
		}
		for i, v := range w.Data {
			worst = max(worst, math.Abs(got[i]-v))
		}
	}
	return worst
}

func (f *fixture) feeds() map[string]*graph.Tensor {
	feeds := map[string]*graph.Tensor{}
	for name, a := range f.Inputs {
		feeds[name] = a.Tensor(graph.Int64)
	}
	return feeds
}

// Every LoRA folder that PEFT wrote gives PEFT's outputs, merged too, and is written again as PEFT wrote it.
func TestPEFTFolders(t *testing.T) {
	for _, name := range []string{"lora_seqcls", "lora_encoder", "lora_no_task", "lora_patterns", "lora_all_linear", "lora_layers",
		"lora_regex", "lora_bias_only", "lora_bias_all", "lora_pooler_saved", "lora_b_bias", "lora_embedding", "dora", "pissa_converted", "olora_converted"} {
		t.Run(name, func(t *testing.T) {
			f := fixtureOf(t, name)
			g, plan := f.load(t, f.dir)
			if d := f.differ(t, g, f.With); !(d <= parity) {
				t.Errorf("outputs differ from PyTorch's by %.1e", d)
			} else {
				t.Logf("max |Δ| from PyTorch %.1e", d)
			}
			f.sameSites(t, plan)
			f.sameFiles(t, g, plan)
			merged := g.Clone()
			if unmerged, err := inject.Merge(merged, plan); err != nil || len(unmerged) > 0 {
				t.Fatalf("merge left %v: %v", unmerged, err)
			}
			if d := f.differ(t, merged, f.With); !(d <= parity) {
				t.Errorf("merged outputs differ from PyTorch's by %.1e", d)
			}
		})
	}
}

// sameSites compares the modules with their ranks and scales, and the number of parameters, which PEFT counts without the
// doubling of a converted adapter.
func (f *fixture) sameSites(t *testing.T, plan *inject.Plan) {
	t.Helper()
	if !strings.HasSuffix(f.dir, "_converted") && plan.Parameters() != f.Trainable {
		t.Errorf("%d trainable parameters; PEFT has %d", plan.Parameters(), f.Trainable)
	}
	if len(plan.Sites) != len(f.Modules) {
		t.Fatalf("%d sites; PEFT has %d", len(plan.Sites), len(f.Modules))
	}
	for _, m := range f.Modules {
		i := slices.IndexFunc(plan.Sites, func(s inject.Site) bool { return hfModule(plan, s.Target) == m.Module })
		if i < 0 {
			t.Errorf("%s is not adapted", m.Module)
			continue
		}
		if s := plan.Sites[i]; math.Abs(s.Scale-m.Scaling) > 1e-12 {
			t.Errorf("%s: scale %v; PEFT has %v", m.Module, s.Scale, m.Scaling)
		}
	}
}

// sameFiles saves the adapter and compares with PEFT's files: tensors by the byte, the config by the meaning of what we write.
func (f *fixture) sameFiles(t *testing.T, g *graph.Graph, plan *inject.Plan) {
	t.Helper()
	dir := t.TempDir()
	save(t, dir, g, plan)
	f.sameTensors(t, dir)
	var got, want map[string]any
	ours, theirs := read2(t, dir, f.dir, hfConfigFile)
	if err := json.Unmarshal(ours, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(theirs, &want); err != nil {
		t.Fatal(err)
	}
	if want["task_type"] == nil {
		// PEFT's default names the Python class that it wrapped instead; a plan without a head is for features.
		want["task_type"], want["auto_mapping"] = "FEATURE_EXTRACTION", nil
	}
	for key, v := range got {
		if _, known := want[key]; !known || !reflect.DeepEqual(sorted(v), sorted(want[key])) {
			t.Errorf("%s: %s is %v; PEFT wrote %v", hfConfigFile, key, v, want[key])
		}
	}
	for key := range want {
		raw, err := json.Marshal(want[key])
		if _, ours := got[key]; err != nil || !ours && !empty(raw) && hfWithoutEffect[key] == "" {
			t.Errorf("%s: %s is %v in PEFT's and is not written: %v", hfConfigFile, key, want[key], err)
		}
	}
	again, _ := f.load(t, dir)
	if d := f.differ(t, again, f.With); !(d <= parity) {
		t.Errorf("what we wrote and read again differs from PyTorch's by %.1e", d)
	}
}

// sameTensors compares the tensor files: by the byte, but for bias="all", where PEFT's holds a base bias that is not trained.
func (f *fixture) sameTensors(t *testing.T, dir string) {
	t.Helper()
	ours, theirs := read2(t, dir, f.dir, hfTensorFile)
	if !strings.HasSuffix(f.dir, "lora_bias_all") {
		if !bytes.Equal(ours, theirs) {
			t.Errorf("%s is not PEFT's, byte by byte", hfTensorFile)
		}
		return
	}
	a, errA := Load(dir)
	b, errB := Load(f.dir)
	if errA != nil || errB != nil || !slices.Equal(slices.Sorted(maps.Keys(a.Tensors)), slices.Sorted(maps.Keys(b.Tensors))) {
		t.Fatalf("our keys are not PEFT's: %v, %v", errA, errB)
	}
	for key := range a.Tensors {
		if same, err := equal(a.Tensors[key], b.Tensors[key]); err != nil || !same {
			t.Errorf("%s is not PEFT's: %v", key, err)
		}
	}
}

func save(t *testing.T, dir string, g *graph.Graph, plan *inject.Plan) {
	t.Helper()
	values, err := plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	format, err := New(HFPEFT)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := format.Save(dir, plan, values); err != nil {
		t.Fatal(err)
	}
}

func read2(t *testing.T, a, b, file string) (x, y []byte) {
	t.Helper()
	x, err := os.ReadFile(filepath.Join(a, file))
	if err != nil {
		t.Fatal(err)
	}
	if y, err = os.ReadFile(filepath.Join(b, file)); err != nil {
		t.Fatal(err)
	}
	return x, y
}

// sorted orders lists, which PEFT makes from Python's sets.
func sorted(v any) any {
	list, ok := v.([]any)
	if !ok {
		return v
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return list
}

// What has no counterpart here is refused by the name that PEFT has for it.
func TestPEFTRefusals(t *testing.T) {
	for name, want := range map[string]string{
		"pissa": "path_initial_model_for_weight_conversion",
		"olora": "path_initial_model_for_weight_conversion",
	} {
		_, _, err := fixtureOf(t, name).onto(t, filepath.Join("testdata", name))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error with the folder and %q", name, err, want)
		}
	}
}

// A key of the config that changes what the tensors mean is refused by name, whatever it asks for.
func TestPEFTUnsupportedKeys(t *testing.T) {
	for key, value := range map[string]string{
		"alora_invocation_tokens": "[1, 2]", "arrow_config": `{"top_k": 3}`, "eva_config": `{"rho": 2.0}`, "corda_config": `{"x": 1}`,
		"kasa_config": `{"x": 1}`, "layer_replication": "[[0, 2]]", "loftq_config": `{"loftq_bits": 4}`, "lora_ga_config": `{"x": 1}`,
		"monteclora_config": `{"x": 1}`, "target_parameters": `["w"]`, "trainable_token_indices": "[1]", "use_bdlora": `{"x": 1}`,
		"use_qalora": "true", "velora_config": `{"x": 1}`, "megatron_config": `{"x": 1}`, "fan_in_fan_out": "true",
		"init_lora_weights": `"corda"`, "task_type": `"CAUSAL_LM"`,
	} {
		dir := copyFolder(t, "lora_seqcls")
		edit(t, filepath.Join(dir, hfConfigFile), func(text []byte) []byte {
			var c map[string]json.RawMessage
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatal(err)
			}
			c[key] = json.RawMessage(value)
			out, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			return out
		})
		if _, _, err := fixtureOf(t, "lora_seqcls").onto(t, dir); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s %s: got %v, want an error with the key", key, value, err)
		}
	}
}

// Each damage is one error that says where.
func TestMalformedPEFT(t *testing.T) {
	const a = "base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight"
	floats := func(dims []int64, v float32) *graph.Tensor {
		x := graph.TensorOf(dims, make([]float32, dims[0]*dims[1]))
		data, _ := graph.Data[float32](x)
		data[len(data)-1] = v
		return x
	}
	tensors := func(change func(map[string]*graph.Tensor)) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, hfTensorFile)
			c, err := safetensors.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			change(c.Tensors)
			var b bytes.Buffer
			if err := safetensors.Write(&b, c); err != nil {
				t.Fatal(err)
			}
			edit(t, path, func([]byte) []byte { return b.Bytes() })
		}
	}
	config := func(from, to string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, hfConfigFile), func(text []byte) []byte { return bytes.Replace(text, []byte(from), []byte(to), 1) })
		}
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		want   []string
	}{
		"wrong shape":    {tensors(func(m map[string]*graph.Tensor) { m[a] = floats([]int64{4, 8}, 0) }), []string{a, "[4 8]", "[4 16]"}},
		"wrong rank":     {config(`"r": 4`, `"r": 8`), []string{"lora_A.weight", "[4 16]", "[8 16]"}},
		"missing tensor": {tensors(func(m map[string]*graph.Tensor) { delete(m, a) }), []string{a, "missing"}},
		"extra tensor": {tensors(func(m map[string]*graph.Tensor) {
			m[strings.Replace(a, "query", "key", 1)] = floats([]int64{4, 16}, 0)
		}), []string{"key.lora_A.weight", "fits no parameter"}},
		"other layers": {tensors(func(m map[string]*graph.Tensor) {
			m[strings.Replace(a, "layer.0", "layer.7", 1)] = m[a]
		}), []string{"layer.7", "fits no parameter"}},
		"NaN":            {tensors(func(m map[string]*graph.Tensor) { m[a] = floats([]int64{4, 16}, float32(math.NaN())) }), []string{a, "NaN"}},
		"infinite":       {tensors(func(m map[string]*graph.Tensor) { m[a] = floats([]int64{4, 16}, float32(math.Inf(1))) }), []string{a, "Inf"}},
		"classifier":     {tensors(func(m map[string]*graph.Tensor) { delete(m, "base_model.model.classifier.weight") }), []string{"classifier.weight", "missing"}},
		"no tensor file": {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, hfTensorFile)) }, []string{hfTensorFile}},
		"cut tensor file": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, hfTensorFile), func(b []byte) []byte { return b[:len(b)-9] })
		}, []string{hfTensorFile, "cut short"}},
		"cut header": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, hfTensorFile), func(b []byte) []byte { return b[:40] })
		}, []string{hfTensorFile, "cut short"}},
		"no config": {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, hfConfigFile)) }, []string{"no adapter in a known format"}},
		"config no JSON": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, hfConfigFile), func(b []byte) []byte { return b[:30] })
		}, []string{hfConfigFile, "JSON"}},
		"config no object": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, hfConfigFile), func([]byte) []byte { return []byte("[]") })
		}, []string{hfConfigFile}},
		"no peft_type":      {config(`"peft_type": "LORA",`, ``), []string{hfConfigFile, "peft_type"}},
		"unknown peft_type": {config(`"LORA"`, `"SHIRA"`), []string{hfConfigFile, "SHIRA", "LORA"}},
		"r no number":       {config(`"r": 4`, `"r": "four"`), []string{hfConfigFile, "r:"}},
		"r zero":            {config(`"r": 4`, `"r": 0`), []string{"rank"}},
		"r huge":            {config(`"r": 4`, `"r": 4000000000000`), []string{"rank"}},
		"unknown target":    {config(`"query"`, `"c_attn"`), []string{"c_attn"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyFolder(t, "lora_seqcls")
			c.damage(t, dir)
			_, _, err := fixtureOf(t, "lora_seqcls").onto(t, dir)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than a line", err)
			}
		})
	}
}

func copyFolder(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, path)
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// Hugging Face's classifier reads the pooler: on a base that was exported without one, an adapter that brings a pooler works
// and one that doesn't is refused.
func TestBaseWithoutPooler(t *testing.T) {
	bare := func() *models.Encoder {
		g, err := onnxfile.Load(filepath.Join("testdata", "base", "encoder.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		g.SetOutputs(g.Value("last_hidden_state"))
		g.Prune()
		enc, err := models.Recognise(g)
		if err != nil {
			t.Fatal(err)
		}
		return enc
	}
	for name, want := range map[string]string{"lora_pooler_saved": "", "lora_seqcls": "pooler.dense.weight"} {
		f := fixtureOf(t, name)
		a, err := Load(f.dir)
		if err != nil {
			t.Fatal(err)
		}
		enc := bare()
		plan, err := inject.Inject(enc, a.Methods, inject.Options{Task: a.Task, Head: a.Head})
		if err != nil {
			t.Fatal(err)
		}
		values, err := a.Bind(plan)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want an error with %q", name, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.SetValues(enc.Graph, values); err != nil {
			t.Fatal(err)
		}
		if d := f.differ(t, enc.Graph, f.With); !(d <= parity) {
			t.Errorf("%s: outputs differ from PyTorch's by %.1e", name, d)
		}
	}
}
