package folder

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
)

// What would be lost, or taken for the model, is found before there is one; an older export gives way.
func TestCheck(t *testing.T) {
	put := func(dir, name string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("# mine\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		have string
		l    Layout
		want string
	}{
		{"", Linked, ""},
		{"weights.bin", Linked, ""},
		{"README.md", Flat, "README.md is none of an export's files"},
		{"tokenizer_config.json", Linked, "tokenizer_config.json is none"},
		{"onnx/other.txt", Linked, "onnx is there already, and is no link"},
		{"onnx/other.txt", Flat, ""},
		{"onnx/model.onnx", Flat, "model.onnx is there already"},
		{"model.onnx", Flat, ""},
		{"model.onnx", Subfolder, "model.onnx is there already"},
		{"", "deep", `layout "deep": unknown`},
	} {
		dir := t.TempDir()
		if c.have != "" {
			put(dir, c.have)
		}
		contents := exported(t, t.TempDir(), Flat, taskNamed(t, "regression"))
		err := Check(dir, c.l, contents)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %q: %v, want %q", c.l, c.have, err, c.want)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) > 1 {
			t.Error("it writes", files, err)
		}
	}
	dir := t.TempDir()
	contents := exported(t, dir, Linked, taskNamed(t, "regression"))
	for range 2 {
		if err := Check(dir, Linked, contents); err != nil {
			t.Fatal(err)
		}
		if _, err := Write(dir, Linked, contents); err != nil {
			t.Fatal(err)
		}
	}
	contents.Tokenizer = filepath.Join(t.TempDir(), "vocab.txt")
	if err := Check(dir, Linked, contents); err == nil {
		t.Error("what goes into the folder isn't looked at")
	}
}

func TestNamed(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "v1.2"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"": false, dir: true, "v1.2": true, "LICENSE": false, "new": true, "new.onnx": false, "new.d/": true, "v1.3": false} {
		if path != "" && path != dir {
			path = dir + "/" + path
		}
		if got := Named(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// The outputs that make up an answer are those that a standard model has.
func TestAnswers(t *testing.T) {
	for kind, want := range map[models.Task][]string{
		models.QuestionAnswering: {"start_logits", "end_logits"}, models.FeatureExtraction: {"sentence_embedding"},
		models.SequenceClassification: {"logits"}, models.TokenClassification: {"logits"},
	} {
		if got := Answers(inject.Task{Type: "x", Kind: kind}); !slices.Equal(got, want) {
			t.Errorf("%s: %q", kind, got)
		}
	}
	if got := Answers(inject.Task{}); got != nil {
		t.Errorf("without a head: %q", got)
	}
}
