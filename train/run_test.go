package train_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train"
)

// newRun is a created run folder beside a model's file.
func newRun(t *testing.T) (*train.Run, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"vocab.txt": "[PAD]\n", "model.onnx": "m"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := train.NewRun(filepath.Join(dir, "deep", "run"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the folder is there before Create: %v", err)
	}
	r.Plan, r.Settings, r.MaxLength = &inject.Plan{Version: inject.PlanVersion}, train.DefaultSettings(), 7
	if err := r.SetModel(filepath.Join(dir, "model.onnx")); err != nil {
		t.Fatal(err)
	}
	if err := r.Create(filepath.Join(dir, "vocab.txt")); err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func TestRunIsReadBack(t *testing.T) {
	r, dir := newRun(t)
	got, err := train.OpenRun(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, r) {
		t.Errorf("wrote %+v\nread  %+v", r, got)
	}
	if text, err := os.ReadFile(got.TokenizerPath()); err != nil || string(text) != "[PAD]\n" {
		t.Errorf("the tokenizer is %q, %v", text, err)
	}
	var exists *train.RunExistsError
	if _, err := train.NewRun(r.Dir); !errors.As(err, &exists) {
		t.Errorf("a second run in the same folder: %v", err)
	}
	if _, err := r.Checkpoint(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no checkpoint yet: %v", err)
	}

	// Moved together with the model, moved alone, and without the model.
	moved := filepath.Join(t.TempDir(), "all")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	got.Dir = filepath.Join(moved, "deep", "run")
	if path, err := got.ModelPath(); err != nil || path != filepath.Join(moved, "model.onnx") {
		t.Errorf("moved: %s, %v", path, err)
	}
	if err := os.Remove(filepath.Join(moved, "model.onnx")); err != nil {
		t.Fatal(err)
	}
	if _, err := got.ModelPath(); err == nil || !strings.Contains(err.Error(), "--model") {
		t.Errorf("without the model: %v", err)
	}
}

// Lines that a killed run wrote after its checkpoint are cut off, a half-written one among them.
func TestMetricsAfterResuming(t *testing.T) {
	r, _ := newRun(t)
	path := filepath.Join(r.Dir, "metrics.jsonl")
	const kept = `{"kind":"step","epoch":1,"step":1,"steps":4}` + "\n" + `{"kind":"step","epoch":1,"step":2,"steps":4}` + "\n"
	if err := os.WriteFile(path, []byte(kept+`{"kind":"step","epoch":1,"step":3,"steps":4}`+"\n"+`{"kind":"st`), 0o644); err != nil {
		t.Fatal(err)
	}
	for after, want := range map[int]string{2: kept + "x\n", 0: "x\n"} {
		w, err := r.Metrics(after)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("x\n")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("after step %d: %q, want %q", after, got, want)
		}
		if err := os.WriteFile(path, []byte(kept), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamagedRun(t *testing.T) {
	r, _ := newRun(t)
	path := filepath.Join(r.Dir, "peftgraph.json")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		string(whole[:len(whole)/2]): "is damaged",
		"":                           "is damaged",
		`{"version": 1}`:             "it has no plan",
		`{"version": 9}`:             "version 9; this peftgraph reads version 1",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := train.OpenRun(r.Dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want %q and the file", text, err, want)
		}
	}
}

// Runs that were trained on one file have the form that they always had; of several, each file counts.
func TestRunRemembersItsFiles(t *testing.T) {
	r, dir := newRun(t)
	var files []string
	for _, name := range []string{"a.tsv", "b.tsv", "c.tsv"} {
		files = append(files, filepath.Join(dir, name))
		if err := os.WriteFile(files[len(files)-1], []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.SetData(files[:1], nil); err != nil || r.TrainFile != files[0] || r.TrainFiles != nil || r.EvalPaths() != nil || !reflect.DeepEqual(r.TrainPaths(), files[:1]) {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := r.SetData(files[:2], files[2:]); err != nil || !reflect.DeepEqual(r.TrainPaths(), files[:2]) || !reflect.DeepEqual(r.EvalPaths(), files[2:]) {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := r.CheckData(); err != nil {
		t.Error(err)
	}
	for i, role := range []string{"training data", "training data, file 2", "evaluation data"} {
		text, err := os.ReadFile(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[i], []byte("other"), 0o644); err != nil {
			t.Fatal(err)
		}
		var changed *train.ChangedFileError
		if err := r.CheckData(); !errors.As(err, &changed) || changed.Path != files[i] || changed.Role != role {
			t.Errorf("%s: %v", files[i], err)
		}
		if err := os.WriteFile(files[i], text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var piped *train.StdinError
	if err := r.SetData([]string{"-"}, files[2:]); err != nil || r.TrainFile != "-" {
		t.Fatal(err)
	}
	if err := r.CheckData(); !errors.As(err, &piped) {
		t.Errorf("standard input: %v", err)
	}
	if err := r.SetData([]string{filepath.Join(dir, "nosuch")}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
