package folder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

const vocabFile = "../data/testdata/tokenizer/vocab-uncased.txt"

// written is where a test's folder goes. With PEFTGRAPH_WRITE=DIR it is DIR/folder/NAME, which testdata/check_*.py load.
func written(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if keep := os.Getenv("PEFTGRAPH_WRITE"); keep != "" {
		dir = filepath.Join(keep, "folder", name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// exported writes a task's model in its standard form, and returns what goes beside it.
func exported(t *testing.T, dir string, l Layout, of inject.Task) Contents {
	t.Helper()
	g, plan := deployed(t, tiny(t, "bert"), of)
	info, of, err := Standard(g, plan.Encoder, of, plan.Logits)
	if err != nil {
		t.Fatal(err)
	}
	path := ModelPath(dir, l)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := onnxfile.Save(g, path, onnxfile.Options{}); err != nil {
		t.Fatal(err)
	}
	return Contents{Info: info, Task: of, Tokenizer: vocabFile, MaxLength: 20, Card: Card{Head: plan.Head.Kind, Methods: plan.Methods}}
}

func readJSON(t *testing.T, dir, name string) map[string]any {
	t.Helper()
	m := map[string]any{}
	graphtest.ReadJSON(t, filepath.Join(dir, name), &m)
	return m
}

// What is written of a task is read back, from the model's metadata and, were there none, from config.json.
func TestFolderRoundTrip(t *testing.T) {
	for _, name := range task.Names() {
		for _, l := range Layouts() {
			t.Run(name+"/"+string(l), func(t *testing.T) {
				dir := written(t, name+"-"+string(l))
				c := exported(t, dir, l, taskNamed(t, name))
				if got, err := Write(dir, l, c); err != nil || got != l {
					t.Fatal(got, err)
				}
				f, err := Read(dir)
				if err != nil {
					t.Fatal(err)
				}
				if a, b := fmt.Sprintf("%+v", f.Task), fmt.Sprintf("%+v", c.Task); a != b || f.Info != c.Info {
					t.Errorf("read %s of %+v, want %s of %+v", a, f.Info, b, c.Info)
				}
				if f.MaxLength != 20 || f.Output == "" {
					t.Errorf("texts are cut at %d, the output is %q", f.MaxLength, f.Output)
				}
				byModel, err := Read(f.Model)
				if err != nil || filepath.Base(byModel.Dir) != filepath.Base(dir) {
					t.Errorf("by its model it is %+v, %v", byModel, err)
				}
				fromConfig, err := taskOfConfig(dir)
				if f.Task.Head() == models.FeatureExtraction {
					return // config.json says nothing of what an encoder's features are for
				}
				if err != nil || fromConfig.Type != name || !slices.Equal(fromConfig.Labels, c.Task.Labels) || fromConfig.Head() != c.Task.Head() {
					t.Errorf("config.json tells of %+v, %v; want %+v", fromConfig, err, c.Task)
				}
			})
		}
	}
}

func TestConfig(t *testing.T) {
	dir := written(t, "config")
	c := exported(t, dir, Flat, taskNamed(t, "classification"))
	write := func() map[string]any {
		t.Helper()
		if _, err := Write(dir, Flat, c); err != nil {
			t.Fatal(err)
		}
		return readJSON(t, dir, configName)
	}
	want := map[string]any{
		"architectures": []any{"BertForSequenceClassification"}, "model_type": "bert", "problem_type": "single_label_classification",
		"id2label": map[string]any{"0": "one", "1": "two", "2": "three"}, "label2id": map[string]any{"one": 0.0, "two": 1.0, "three": 2.0},
		"hidden_size": 16.0, "num_hidden_layers": 2.0, "num_attention_heads": 2.0, "intermediate_size": 24.0, "hidden_act": "gelu",
		"vocab_size": 973.0, "max_position_embeddings": 40.0, "type_vocab_size": 2.0, "layer_norm_eps": 1e-12,
	}
	if got := write(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("config.json is\n%v, want\n%v", got, want)
	}

	base := t.TempDir()
	c.Base = filepath.Join(base, "model.onnx")
	c.Card.Base.Hub = "some/base"
	text := `{"architectures": ["CamembertForMaskedLM"], "model_type": "camembert", "hidden_size": 16, "num_hidden_layers": 2, "own": {"deep": [1]},
		"problem_type": "regression", "id2label": {"0": "old"}, "_name_or_path": "a/grandparent"}`
	if err := os.WriteFile(filepath.Join(base, configName), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	got := write()
	for key, want := range map[string]any{
		"architectures": []any{"CamembertForSequenceClassification"}, "model_type": "camembert", "problem_type": "single_label_classification",
		"own": map[string]any{"deep": []any{1.0}}, "id2label": want["id2label"], "_name_or_path": "some/base", "vocab_size": nil,
	} {
		if fmt.Sprint(got[key]) != fmt.Sprint(want) {
			t.Errorf("with the base's config.json, %s is %v, want %v", key, got[key], want)
		}
	}
	if err := os.WriteFile(filepath.Join(base, configName), []byte(`{"hidden_size": 768}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, Flat, c); err == nil || !strings.Contains(err.Error(), "another model") {
		t.Errorf("another model's config.json: %v", err)
	}
}

// transformers reads the letter case from tokenizer_config.json, whatever tokenizer.json says.
func TestTokenizerFiles(t *testing.T) {
	base, run, dir := t.TempDir(), t.TempDir(), written(t, "tokenizer")
	vocab, err := os.ReadFile("../data/testdata/tokenizer/vocab-uncased.txt")
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(base, vocabName): string(vocab), filepath.Join(run, vocabName): string(vocab),
		filepath.Join(base, tokenizerConfigName): `{"tokenizer_class": "ElectraTokenizer", "model_max_length": 512, "own": 1, "tokenizer_file": "/home/me/x"}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	c := exported(t, dir, Linked, taskNamed(t, "regression"))
	c.Base, c.Tokenizer = filepath.Join(base, "model.onnx"), filepath.Join(run, vocabName)
	if _, err := Write(dir, Linked, c); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"tokenizer_class": "ElectraTokenizer", "model_max_length": 20.0, "own": 1.0, "do_lower_case": true, "strip_accents": true,
		"tokenize_chinese_chars": true, "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
	if got := readJSON(t, dir, tokenizerConfigName); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s is\n%v, want\n%v", tokenizerConfigName, got, want)
	}
	if got := readJSON(t, dir, specialsName); len(got) != 5 || got["sep_token"] != "[SEP]" {
		t.Errorf("%s is %v", specialsName, got)
	}
	if copied, err := os.ReadFile(filepath.Join(dir, vocabName)); err != nil || string(copied) != string(vocab) {
		t.Errorf("%s isn't the run's: %v", vocabName, err)
	}
	// A tokenizer that isn't the base's goes by none of the base's files.
	c.Tokenizer = "../data/testdata/tokenizer/vocab-uncased.txt"
	if err := os.WriteFile(filepath.Join(base, filepath.Base(c.Tokenizer)), []byte("other"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, Linked, c); err != nil {
		t.Fatal(err)
	}
	if got := readJSON(t, dir, tokenizerConfigName); got["tokenizer_class"] != "BertTokenizer" || got["own"] != nil {
		t.Errorf("with another tokenizer, %s is %v", tokenizerConfigName, got)
	}
}

func TestCard(t *testing.T) {
	base, dir := t.TempDir(), written(t, "card")
	if err := os.WriteFile(filepath.Join(base, cardName), []byte("---\ntags:\n- x\nlicense: \"mit\"\n---\nlicense: none\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	c := exported(t, dir, Flat, taskNamed(t, "classification"))
	c.Base = filepath.Join(base, "model.onnx")
	c.Card = Card{
		Name: "Reviews", Base: Base{Name: "base", Hub: "some/base", Revision: "abc"}, Head: inject.HeadMean, Methods: c.Card.Methods, Merged: []string{"lora"},
		Trained: 5, Total: 1000, Data: []Data{{"training", "a|b.tsv", 7, "00ff"}}, Metrics: task.Scores{"f1": 0.5, "mcc": math.NaN()}, Decides: "f1",
		Command: "peftgraph train …", Program: "peftgraph v9",
	}
	if _, err := Write(dir, Flat, c); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, cardName))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"---\nlibrary_name: \"optimum\"\npipeline_tag: \"text-classification\"\nbase_model: \"some/base\"\nlicense: \"mit\"\ntags:\n- \"onnx\"\n- \"peftgraph\"\n- \"lora\"\nmetrics:\n- \"f1\"\n- \"mcc\"\n---\n",
		"\n# Reviews\n", "| 2 | three |", "| the head reads | the mean of a text's tokens |", "| parameters trained | 5 of 1000 (0.50 %) |",
		`| data for training | a\|b.tsv, 7 examples, SHA-256 00ff |`, "| f1 (the run was judged by it) | 0.5000 |", "| mcc | undefined |",
		"```sh\npeftgraph train …\n```", "merged into the base's weights", "| made with | peftgraph v9 |", "| licence of the base | mit |",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the card lacks %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", text)
	}
}

// What others couldn't use, or would lose its own files, is refused before anything is written.
func TestWriteRefuses(t *testing.T) {
	dir := written(t, "refuses")
	good := exported(t, dir, Flat, taskNamed(t, "regression"))
	large := filepath.Join(t.TempDir(), "vocab.txt")
	if err := os.WriteFile(large, []byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"+strings.Repeat("x\n", 2)+tokens(1000)), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		dir        string
		layout     Layout
		change     func(c *Contents)
	}{
		{"layout", "the layouts are [linked flat onnx]", dir, "other", func(*Contents) {}},
		{"the base's folder", "write into another folder", dir, Flat, func(c *Contents) { c.Base = filepath.Join(dir, "base.onnx") }},
		{"the tokenizer's folder", "write into another folder", dir, Flat, func(c *Contents) { c.Tokenizer = filepath.Join(dir, "vocab.txt") }},
		{"no model", "model.onnx", t.TempDir(), Flat, func(*Contents) {}},
		{"another tokenizer", "belongs to another model", dir, Flat, func(c *Contents) { c.Tokenizer = large }},
		{"an unknown task", "unknown", dir, Flat, func(c *Contents) { c.Task.Type = "nothing" }},
	} {
		x := good
		c.change(&x)
		if _, err := Write(c.dir, c.layout, x); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	if err := os.Mkdir(filepath.Join(dir, onnxDir), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, Linked, good); err == nil || !strings.Contains(err.Error(), "is no link") {
		t.Errorf("a folder in the link's place: %v", err)
	}
}

func tokens(n int) string {
	var sb strings.Builder
	for i := range n {
		fmt.Fprintf(&sb, "t%d\n", i)
	}
	return sb.String()
}

// A model whose weights are in its own side file may go along, one that refers to another file may not.
func TestWeightsInOtherFiles(t *testing.T) {
	for _, l := range Layouts() {
		dir := written(t, "side-"+string(l))
		c := exported(t, dir, l, taskNamed(t, "regression"))
		path := ModelPath(dir, l)
		g, err := onnxfile.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.SetInitializer(g.Initializers()[0], large()); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := onnxfile.Save(g, path, onnxfile.Options{Weights: onnxfile.ExternalData}); err != nil {
			t.Fatal(err)
		}
		if _, err := Write(dir, l, c); err != nil {
			t.Errorf("%s: %v", l, err)
		}
		// By the link, the side file is found as well.
		if _, err := onnxfile.Load(filepath.Join(dir, onnxDir, modelName)); l != Flat && err != nil {
			t.Errorf("%s: %v", l, err)
		}
		if g, err = onnxfile.Load(path); err != nil {
			t.Fatal(err)
		}
		other := filepath.Join(filepath.Dir(path), "other.onnx")
		if err := onnxfile.Save(g, other, onnxfile.Options{Weights: onnxfile.Reference}); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".data", other+".data"); err != nil {
			t.Fatal(err)
		}
		moved, err := os.ReadFile(other)
		if err != nil {
			t.Fatal(err)
		}
		renamed := strings.ReplaceAll(string(moved), "model.onnx.data", "other.onnx.data")
		if err := os.WriteFile(path, []byte(renamed), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Write(dir, l, c); err == nil || !strings.Contains(err.Error(), "export without --reference") {
			t.Errorf("%s: %v", l, err)
		}
	}
}

func large() *graph.Tensor { return graphtest.Rand(1, graph.Float, []int64{vocab, 16}, -1, 1) }

// Folders that other programs wrote are read by their config.json.
func TestReadOthersFolders(t *testing.T) {
	for _, c := range []struct{ name, config, want string }{
		{"no config", "", `"type":""`},
		{"an encoder", `{"architectures": ["BertModel"]}`, `"type":""`},
		{"no architecture", `{"id2label": {"0": "a"}}`, `"type":""`},
		{"labels", `{"architectures": ["BertForSequenceClassification"], "id2label": {"1": "b", "0": "a", "2": "c"}}`, `"type":"classification","labels":["a","b","c"]`},
		{"one label", `{"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}`, `"type":"regression"`},
		{"a gap", `{"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "2": "b"}}`, `id2label has 2 labels, and one of them is for "2"`},
		{"damaged", `{`, `config.json: unexpected end`},
	} {
		dir := t.TempDir()
		if c.config != "" {
			if err := os.WriteFile(filepath.Join(dir, configName), []byte(c.config), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		of, err := taskOfConfig(dir)
		text, failed := json.Marshal(of)
		if failed != nil {
			t.Fatal(failed)
		}
		if got := string(text); !strings.Contains(got, c.want) && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
	if _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "holds neither model.onnx nor onnx/model.onnx") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	// A model alone has its task in its metadata, and no tokenizer to say where texts are cut.
	dir := written(t, "alone")
	c := exported(t, dir, Flat, taskNamed(t, "classification"))
	f, err := Read(ModelPath(dir, Flat))
	if err != nil || f.Task.Type != "classification" || f.MaxLength != c.Info.Positions {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := data.LoadTokenizer(dir); !errors.Is(err, data.ErrNoTokenizer) {
		t.Errorf("%v", err)
	}
	if plan := f.Plan(); plan.Logits != "logits" || plan.Encoder != c.Info || plan.Task.Type != "classification" {
		t.Errorf("%+v", plan)
	}
}
