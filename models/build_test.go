package models

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

const checkpoints = "testdata/checkpoints"

// expected is what make_checkpoints.py wrote: one batch, and PyTorch's outputs.
type expected struct{ Inputs, Outputs map[string]modelstest.Array }

func readExpected(t *testing.T, name string) (x expected) {
	t.Helper()
	graphtest.ReadJSON(t, filepath.Join(checkpoints, name, "expected.json"), &x)
	return x
}

func checkpointNames(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(checkpoints, "*"))
	if err != nil || len(dirs) < 10 {
		t.Fatalf("%d checkpoints in %s: %v", len(dirs), checkpoints, err)
	}
	for i, dir := range dirs {
		dirs[i] = filepath.Base(dir)
	}
	return dirs
}

func mustBuild(t *testing.T, dir string, opt BuildOptions) *graph.Graph {
	t.Helper()
	g, err := Build(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	return g
}

// What Build writes computes what PyTorch does, at every operator set.
func TestBuiltGraphsEqualPyTorch(t *testing.T) {
	for _, name := range checkpointNames(t) {
		x := readExpected(t, name)
		for opset := int64(minOpset); opset <= maxOpset; opset++ {
			t.Run(fmt.Sprintf("%s/%d", name, opset), func(t *testing.T) {
				g := mustBuild(t, filepath.Join(checkpoints, name), BuildOptions{Opset: opset})
				var got, want []string
				for _, v := range g.Outputs() {
					got = append(got, v.Name())
				}
				for _, v := range []string{"last_hidden_state", "pooler_output", "logits"} {
					if _, ok := x.Outputs[v]; ok {
						want = append(want, v)
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("outputs %q, want %q", got, want)
				}
				for i, out := range modelstest.Evaluate(t, g, x.Inputs, want...) {
					if d := x.Outputs[want[i]].Distance(t, out); !(d < 1e-5) {
						t.Errorf("%s: %v differs by %.2g", want[i], out.Dims, d)
					}
				}
			})
		}
	}
}

func TestBuiltValuesAreTyped(t *testing.T) {
	for _, name := range checkpointNames(t) {
		g := mustBuild(t, filepath.Join(checkpoints, name), BuildOptions{})
		for _, v := range g.Values() {
			if v.DType == graph.Undefined || v.Shape == nil {
				t.Errorf("%s: %s", name, v)
			}
		}
	}
	g := mustBuild(t, filepath.Join(checkpoints, "bert_token"), BuildOptions{})
	for name, want := range map[string]string{
		"last_hidden_state": "[batch,sequence,16]", "logits": "[batch,sequence,5]", "/encoder/layer.1/attention/MatMul": "[batch,2,sequence,sequence]",
	} {
		if v := g.Value(name); v == nil || v.Shape.String() != want {
			t.Errorf("%s is %s, want %s", name, v, want)
		}
	}
}

// Recognition of a built graph must find the checkpoint's own tensors under Hugging Face's names.
func TestBuiltGraphsAreRecognised(t *testing.T) {
	for _, name := range checkpointNames(t) {
		for _, opset := range []int64{minOpset, defaultOpset, maxOpset} {
			t.Run(fmt.Sprintf("%s/%d", name, opset), func(t *testing.T) {
				dir := filepath.Join(checkpoints, name)
				g := mustBuild(t, dir, BuildOptions{Opset: opset})
				e := recognise(t, g)
				c, err := ReadConfig(dir)
				if err != nil {
					t.Fatal(err)
				}
				checkConfig(t, e, c)
				checkNames(t, e, dir, c)
			})
		}
	}
}

func checkConfig(t *testing.T, e *Encoder, c Config) {
	t.Helper()
	got := Config{
		Family: e.Family, Hidden: e.Hidden, Layers: len(e.Layers), Heads: e.Heads, Intermediate: e.Intermediate, Vocab: e.Vocab,
		MaxPositions: e.MaxPositions, TypeVocab: e.TypeVocab, LayerNormEps: float64(float32(e.LayerNormEps)), Activation: e.Activation, Task: e.Task,
	}
	c.LayerNormEps, c.Activation, c.PadToken, c.Labels = float64(float32(c.LayerNormEps)), activationOf(c.Activation), 0, nil
	if fmt.Sprint(got) != fmt.Sprint(c) {
		t.Errorf("recognised\n%+v, built from\n%+v", got, c)
	}
}

func checkNames(t *testing.T, e *Encoder, dir string, c Config) {
	t.Helper()
	stored, err := openCheckpoint(dir, families[c.Family].prefix)
	if err != nil {
		t.Fatal(err)
	}
	if want := 6*c.Layers + 1; len(e.Linears()) < want-1 {
		t.Fatalf("%d linear maps, want at least %d", len(e.Linears()), want-1)
	}
	check := func(v *graph.Value, name string) {
		if v.Name() != name && v.Name() != e.Prefix+name {
			t.Errorf("%s is named %q", name, v.Name())
		}
		tensor := stored.find(name)
		if tensor == nil {
			t.Fatalf("%s is not in the checkpoint", name)
		}
		a, errA := tensor.Float64s()
		b, errB := v.Init().Float64s()
		if errA != nil || errB != nil || !slices.Equal(a, b) {
			t.Errorf("%s: the graph has other values than the checkpoint", name)
		}
		if r, s := v.Init().Ref(), tensor.Ref(); tensor.DType == graph.Float && (r == nil || r.Offset != s.Offset || filepath.Dir(r.File.Path()) != filepath.Dir(s.File.Path())) {
			t.Errorf("%s doesn't refer to the checkpoint", name)
		}
	}
	for _, l := range e.Linears() {
		check(l.Weight, l.Name+".weight")
		check(l.Bias, l.Name+".bias")
		if !l.Transposed {
			t.Errorf("%s is stored [in, out]", l.Name)
		}
	}
	for _, n := range e.Norms() {
		check(n.Scale, n.Name+".weight")
		check(n.Bias, n.Name+".bias")
	}
	check(e.Embeddings.Word, "embeddings.word_embeddings.weight")
	check(e.Embeddings.Position, "embeddings.position_embeddings.weight")
}

// A model saved beside its checkpoint holds no weights and computes the same when it is read again, and so does a whole one.
func TestBuiltModelRefersToTheCheckpoint(t *testing.T) {
	for _, name := range []string{"bert", "bert_legacy_sharded"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(checkpoints, name))); err != nil {
			t.Fatal(err)
		}
		g := mustBuild(t, dir, BuildOptions{})
		x := readExpected(t, name)
		for file, weights := range map[string]onnxfile.Weights{"model.onnx": onnxfile.Reference, "whole.onnx": onnxfile.SelfContained} {
			path := filepath.Join(dir, file)
			if err := onnxfile.Save(g, path, onnxfile.Options{Weights: weights}); err != nil {
				t.Fatal(err)
			}
			again := load(t, path)
			if file == "whole.onnx" {
				if err := os.Rename(path, filepath.Join(t.TempDir(), file)); err != nil {
					t.Fatal(err)
				}
			}
			for _, v := range again.Initializers() {
				r := v.Init().Ref()
				if inFile := r != nil && strings.HasSuffix(r.File.Path(), ".safetensors"); inFile != (weights == onnxfile.Reference && v.DType == graph.Float && v.Shape.Rank() > 0) {
					t.Errorf("%s: %s: in the safetensors file: %v", file, v, inFile)
				}
			}
			if e := recognise(t, again); e.Heads != 2 || len(e.Layers) != 2 || e.Pooler == nil {
				t.Errorf("%s/%s: %d heads, %d layers, pooler %v", name, file, e.Heads, len(e.Layers), e.Pooler)
			}
			out := modelstest.Evaluate(t, again, x.Inputs, "last_hidden_state")
			if d := x.Outputs["last_hidden_state"].Distance(t, out[0]); !(d < 1e-5) {
				t.Errorf("%s/%s: differs by %.2g", name, file, d)
			}
		}
	}
}

func TestLabelsAreInTheMetadata(t *testing.T) {
	dir := filepath.Join(checkpoints, "bert_sequence")
	if text, _ := mustBuild(t, dir, BuildOptions{}).Meta(LabelsKey); text != `{"0":"negative","1":"neutral","2":"positive"}` {
		t.Errorf("labels %s", text)
	}
	bare := mustBuild(t, dir, BuildOptions{EncoderOnly: true})
	if _, ok := bare.Meta(LabelsKey); ok || len(bare.Outputs()) != 1 {
		t.Errorf("an encoder alone has %d outputs and labels: %v", len(bare.Outputs()), ok)
	}
	if bare.Value("embeddings.word_embeddings.weight") == nil {
		t.Error("an encoder alone has a task model's names")
	}
}

func TestBuildRefuses(t *testing.T) {
	config := readFile(t, filepath.Join(checkpoints, "bert", "config.json"))
	with := func(old, repl string) string {
		if !strings.Contains(config, old) {
			t.Fatalf("config.json has no %s", old)
		}
		return strings.Replace(config, old, repl, 1)
	}
	for _, c := range []struct {
		name, config, remove, add string
		opt                       BuildOptions
		want                      []string
	}{
		{name: "no config", remove: "config.json", want: []string{"no config.json"}},
		{name: "bad JSON", config: "{", want: []string{"config.json", "unexpected end"}},
		{name: "family", config: with(`"model_type": "bert"`, `"model_type": "gpt2"`), want: []string{`"gpt2"`, "bert, distilbert, roberta"}},
		{name: "activation", config: with(`"hidden_act": "gelu"`, `"hidden_act": "xielu"`), want: []string{`"xielu"`, "gelu, gelu_fast"}},
		{name: "positions", config: with(`"absolute"`, `"relative_key"`), want: []string{`"relative_key"`}},
		{name: "decoder", config: with(`{`, `{"is_decoder": true,`), want: []string{"decoder"}},
		{name: "heads", config: with(`"num_attention_heads": 2`, `"num_attention_heads": 3`), want: []string{"16", "3 heads"}},
		{name: "missing", config: with(`"hidden_size"`, `"hidden"`), want: []string{"hidden_size is missing"}},
		{name: "type", config: with(`"hidden_size": 16`, `"hidden_size": "16"`), want: []string{"hidden_size", "string"}},
		{name: "layers", config: with(`"num_hidden_layers": 2`, `"num_hidden_layers": 3`), want: []string{`"encoder.layer.2.attention.self.query.weight" is missing`}},
		{name: "vocabulary", config: with(`"vocab_size": 50`, `"vocab_size": 51`), want: []string{`"embeddings.word_embeddings.weight" is [50 16]`, "[51 16]"}},
		{name: "no weights", remove: weightsFile, want: []string{"neither a model.safetensors"}},
		{name: "pickle", remove: weightsFile, add: "pytorch_model.bin", want: []string{"pytorch_model.bin", "safe_serialization"}},
		{name: "opset", opt: BuildOptions{Opset: 22}, want: []string{"opset 22: want 11 to 21"}},
		{name: "head", config: with(`"BertModel"`, `"BertForSequenceClassification"`), want: []string{`"classifier.weight" is missing`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(checkpoints, "bert"))); err != nil {
				t.Fatal(err)
			}
			if c.config != "" {
				writeFile(t, filepath.Join(dir, "config.json"), c.config)
			}
			if c.remove != "" {
				if err := os.Remove(filepath.Join(dir, c.remove)); err != nil {
					t.Fatal(err)
				}
			}
			if c.add != "" {
				writeFile(t, filepath.Join(dir, c.add), "")
			}
			g, err := Build(dir, c.opt)
			for _, part := range append(c.want, dir) {
				if err == nil || g != nil || !strings.Contains(err.Error(), part) {
					t.Errorf("got %v, want an error with %q", err, part)
				}
			}
		})
	}
}

func TestShardOutsideTheFolder(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "config.json"), readFile(t, filepath.Join(checkpoints, "bert", "config.json")))
	writeFile(t, filepath.Join(dir, indexFile), `{"weight_map": {"w": "../other.safetensors"}}`)
	if _, err := Build(dir, BuildOptions{}); err == nil || !strings.Contains(err.Error(), "leads out") {
		t.Errorf("got %v", err)
	}
}

func TestBuildRandom(t *testing.T) {
	c := Config{
		Family: "bert", Hidden: 24, Layers: 3, Heads: 3, Intermediate: 48, Vocab: 70, MaxPositions: 16, TypeVocab: 2,
		LayerNormEps: 1e-12, Activation: "gelu", Task: SequenceClassification, Labels: []string{"a", "b"},
	}
	random := func(seed uint64) *graph.Graph {
		g, err := BuildRandom(c, seed, BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	path := filepath.Join(t.TempDir(), "random.onnx")
	if err := onnxfile.Save(random(1), path, onnxfile.Options{}); err != nil {
		t.Fatal(err)
	}
	checkConfig(t, recognise(t, load(t, path)), c) // the file declares no intermediate shapes
	e := recognise(t, random(1))
	checkConfig(t, e, c)
	name := e.Layers[2].Dense.Weight.Name()
	first, _ := e.Layers[2].Dense.Weight.Init().Float64s()
	again, _ := random(1).Value(name).Init().Float64s()
	other, _ := random(2).Value(name).Init().Float64s()
	if !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Error("weights must follow from the seed")
	}
	sum := 0.0
	for _, v := range first {
		sum += v * v
	}
	if std := math.Sqrt(sum / float64(len(first))); math.Abs(std-initializerRange) > 0.002 {
		t.Errorf("standard deviation %.4f, want %v", std, initializerRange)
	}
	c.Heads = 5
	if _, err := BuildRandom(c, 1, BuildOptions{}); err == nil {
		t.Error("5 heads of 24 features are accepted")
	}
}

func TestParameterCountsOfKnownShapes(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   int64
	}{{MiniLM(), 22_713_216}} {
		g, err := BuildRandom(c.config, 1, BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for _, v := range g.Initializers() {
			if v.DType == graph.Float && v.Shape.Rank() > 0 {
				n += v.Init().Len()
			}
		}
		if n != c.want {
			t.Errorf("%d parameters, want %d", n, c.want)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The real all-MiniLM-L6-v2 (90 MB), if PEFTGRAPH_MINILM names a folder with its checkpoint in hf and an exporter's
// legacy/model.onnx.
func TestBuiltMiniLMEqualsTheExporters(t *testing.T) {
	dir := os.Getenv("PEFTGRAPH_MINILM")
	if dir == "" {
		t.Skip("SKIPPED, NOT TESTED: PEFTGRAPH_MINILM names no folder with hf/model.safetensors and legacy/model.onnx; " +
			"TestBuiltGraphsEqualPyTorch checks the same on the repository's small checkpoints")
	}
	built := mustBuild(t, filepath.Join(dir, "hf"), BuildOptions{})
	exported := load(t, filepath.Join(dir, "legacy", "model.onnx"))
	inputs := map[string]modelstest.Array{
		"input_ids":      {Shape: []int64{2, 8}, Data: []float64{101, 1037, 9882, 2143, 102, 0, 0, 0, 101, 2023, 2003, 2025, 2204, 2012, 2035, 102}},
		"attention_mask": {Shape: []int64{2, 8}, Data: []float64{1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}},
		"token_type_ids": {Shape: []int64{2, 8}, Data: make([]float64, 16)},
	}
	names := []string{built.Outputs()[0].Name(), built.Outputs()[1].Name()}
	got := modelstest.Evaluate(t, built, inputs, names...)
	want := modelstest.Evaluate(t, exported, inputs, exported.Outputs()[0].Name(), exported.Outputs()[1].Name())
	for i, name := range names {
		values, err := want[i].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		d := modelstest.Array{Shape: want[i].Dims, Data: values}.Distance(t, got[i])
		t.Logf("%s %v: largest difference %.2g", name, got[i].Dims, d)
		if !(d < 1e-5) {
			t.Errorf("%s differs by %.2g", name, d)
		}
	}
	e := recognise(t, built)
	c, err := ReadConfig(filepath.Join(dir, "hf"))
	if err != nil {
		t.Fatal(err)
	}
	checkConfig(t, e, c)
	checkNames(t, e, filepath.Join(dir, "hf"), c)
}
