package folder

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// stTexts are what the vectors of the written folders are compared on, one longer than the model takes.
var stTexts = []string{"a b c", "h", "c a d b e f", "a b c d e f g h a b c d e f g h a b c d e f g h", "[UNK] q"}

// A model of embeddings is written as sentence-transformers reads it. With PEFTGRAPH_WRITE, the folders and our vectors stay there,
// where testdata/check_sentence_transformers.py loads them with sentence-transformers itself.
func TestWrittenSentenceTransformers(t *testing.T) {
	few := map[string]string{"num-virtual-tokens": "4"}
	for _, c := range []struct {
		checkpoint, method string
		settings           map[string]string
		head               inject.HeadKind
		normalize          bool
	}{
		{"bert", "lora", nil, "mean", true}, {"bert", "prompt", few, "mean", true}, {"bert", "adapter", nil, "cls", false},
		{"distilbert", "lora", nil, "cls", true}, {"bert_sequence", "bitfit", nil, "mean", false},
	} {
		name := fmt.Sprintf("%s_%s_%s_%v", c.checkpoint, c.method, c.head, c.normalize)
		t.Run(name, func(t *testing.T) {
			checkpoint := filepath.Join("..", "..", "models", "testdata", "checkpoints", c.checkpoint)
			g, err := models.Build(checkpoint, models.BuildOptions{})
			if err != nil {
				t.Fatal(err)
			}
			of, err := task.ForInjection(&task.Embedding{Scale: 20, Normalize: c.normalize}, nil)
			if err != nil {
				t.Fatal(err)
			}
			plan := injecttest.Into(t, g, inject.Options{Task: of, Head: c.head, Seed: 1}, injecttest.New(t, c.method, c.settings))
			injecttest.Move(t, g, plan, 0.3)
			g.SetOutputs(plan.Outputs(g)...)
			if _, err := inject.Merge(g, plan); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), name)
			if keep := os.Getenv("PEFTGRAPH_WRITE"); keep != "" {
				dir = filepath.Join(keep, name)
			}
			model := filepath.Join(dir, "onnx", "model.onnx")
			if err := os.MkdirAll(filepath.Dir(model), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := onnxfile.Save(g, model, onnxfile.Options{}); err != nil {
				t.Fatal(err)
			}
			pooling, err := plan.Pooling()
			if err != nil {
				t.Fatal(err)
			}
			s := SentenceTransformer{pooling, of.Normalize, plan.Encoder.Hidden, plan.Encoder.Positions}
			if err := s.Write(dir); err != nil {
				t.Fatal(err)
			}
			writeTokenizer(t, dir, checkpoint)
			stFiles(t, dir, s)
			writeVectors(t, dir, model, plan)
		})
	}
}

// writeTokenizer writes a vocabulary of letters, and copies the checkpoint's config.json.
func writeTokenizer(t *testing.T, dir, checkpoint string) {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(checkpoint, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"config.json": string(config), "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\ne\nf\ng\nh\n",
		"tokenizer_config.json": `{"tokenizer_class":"BertTokenizer","do_lower_case":true}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// stFiles checks what the folder says.
func stFiles(t *testing.T, dir string, s SentenceTransformer) {
	t.Helper()
	read := func(name string) (out any) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(text, &out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	types := []string{}
	for i, m := range read("modules.json").([]any) {
		m := m.(map[string]any)
		if m["idx"] != float64(i) || m["name"] != fmt.Sprint(i) {
			t.Errorf("module %d is %v", i, m)
		}
		types = append(types, fmt.Sprintf("%s %s", m["type"], m["path"]))
	}
	want := []string{"sentence_transformers.models.Transformer ", "sentence_transformers.models.Pooling 1_Pooling"}
	if s.Normalize {
		want = append(want, "sentence_transformers.models.Normalize 2_Normalize")
	}
	if !reflect.DeepEqual(types, want) {
		t.Errorf("modules %q, want %q", types, want)
	}
	pooling := map[string]any{"word_embedding_dimension": 16.0, "pooling_mode_cls_token": s.Pooling == "cls", "pooling_mode_mean_tokens": s.Pooling == "mean",
		"pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false}
	if got := read("1_Pooling/config.json"); !reflect.DeepEqual(got, pooling) {
		t.Errorf("pooling %v", got)
	}
	if got := read("sentence_bert_config.json"); !reflect.DeepEqual(got, map[string]any{"max_seq_length": float64(s.MaxLength), "do_lower_case": false}) {
		t.Errorf("sentence_bert_config.json %v", got)
	}
	if got := read("config_sentence_transformers.json").(map[string]any); got["similarity_fn_name"] != "cosine" {
		t.Errorf("config_sentence_transformers.json %v", got)
	}
}

// writeVectors computes the written model's vectors of the texts, beside which the script puts sentence-transformers'.
func writeVectors(t *testing.T, dir, model string, plan *inject.Plan) {
	t.Helper()
	g, err := onnxfile.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	if outs := g.Outputs(); len(outs) != 2 || outs[0].Name() != inject.HiddenName || outs[1].Name() != inject.EmbeddingName {
		t.Fatalf("the outputs are %v", outs)
	}
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	tokenizer, err := data.LoadTokenizer(filepath.Join(dir, "vocab.txt"))
	if err != nil {
		t.Fatal(err)
	}
	set := &data.Set{}
	for _, text := range stTexts {
		set.Examples = append(set.Examples, data.Example{Text: text})
	}
	d, err := (&task.Embedding{}).Encode(task.Encoder{Tokenizer: tokenizer, MaxLength: plan.Encoder.Positions}, set, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := train.NewPredictor(p, g, plan).Predict(context.Background(), d, nil, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"texts": stTexts, "vectors": rows})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "expected.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What sentence-transformers can't pool is refused by name.
func TestSentenceTransformerRefuses(t *testing.T) {
	for _, c := range []struct {
		method   string
		head     inject.HeadKind
		settings map[string]string
		want     string
	}{
		{"lora", "pooler", nil, "pooler"},
		{"prompt", "cls", map[string]string{"pool": inject.PoolFirst, "num-virtual-tokens": "4"}, "virtual token of prompt"},
		{"prompt", "cls", map[string]string{"pool": inject.PoolCLS, "num-virtual-tokens": "4"}, ""},
	} {
		g, err := models.Build(filepath.Join("..", "..", "models", "testdata", "checkpoints", "bert"), models.BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		of, err := task.ForInjection(&task.Embedding{Normalize: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		plan := injecttest.Into(t, g, inject.Options{Task: of, Head: c.head}, injecttest.New(t, c.method, c.settings))
		_, err = plan.Pooling()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s on %s %v: %v", c.method, c.head, c.settings, err)
		}
	}
	if err := (SentenceTransformer{Pooling: "pooler"}).Write(t.TempDir()); err == nil || !strings.Contains(err.Error(), `"pooler"`) {
		t.Errorf("pooled by the pooler: %v", err)
	}
}
