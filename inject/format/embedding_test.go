package format

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

var embedding = inject.Task{Type: "embedding", Kind: models.FeatureExtraction, Normalize: true}

// An adapter of embeddings is one of the bare encoder in both formats, whatever the vectors are pooled by: nothing of a head is in
// the folder, and the plan beside it brings the pooling back.
func TestWrittenEmbeddings(t *testing.T) {
	for _, c := range []struct {
		format, method string
		head           inject.HeadKind
	}{{HFPEFT, "lora", inject.HeadMean}, {HFPEFT, "lora", inject.HeadCLS}, {HFPEFT, "ia3", inject.HeadPooler}, {AdapterHub, "adapter", inject.HeadMean}} {
		name := "embedding_" + c.method + "_" + string(c.head)
		t.Run(c.format+"/"+name, func(t *testing.T) {
			f := fixtureOf(t, "lora_seqcls")
			f.Base = "encoder.onnx"
			enc := f.encoder(t)
			plan, err := inject.Inject(enc, []inject.Method{injecttest.New(t, c.method, nil)}, inject.Options{Task: embedding, Head: c.head, Seed: 3})
			if err != nil {
				t.Fatal(err)
			}
			move(t, enc.Graph, plan)
			want := f.outputs(t, enc.Graph)
			values, err := plan.Values(enc.Graph)
			if err != nil {
				t.Fatal(err)
			}
			dir := written(t, c.format, name)
			if err := Save(formats[c.format], dir, plan, values); err != nil {
				t.Fatal(err)
			}
			f.writeExpected(t, dir, want)
			again, loaded := f.load(t, dir)
			if loaded.Task.Type != embedding.Type || !loaded.Task.Normalize || loaded.Head.Kind != c.head {
				t.Errorf("read as %+v on %s", loaded.Task, loaded.Head.Kind)
			}
			if d := f.differ(t, again, want); !(d <= 1e-6) {
				t.Errorf("loaded again, outputs differ by %.1e", d)
			}
			bare(t, f, dir, want)
		})
	}
}

// bare checks what the folder is to programs that don't know the plan.
func bare(t *testing.T, f *fixture, dir string, want map[string]modelstest.Array) {
	t.Helper()
	c, err := readConfig(filepath.Join(dir, hfConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	if task, saved := string(c["task_type"]), string(c["modules_to_save"]); c["peft_type"] != nil && (task != `"FEATURE_EXTRACTION"` || saved != "null") {
		t.Errorf("task_type %s, modules_to_save %s", task, saved)
	}
	if _, err := os.Stat(filepath.Join(dir, hubHeadConfigFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a head was written: %v", err)
	}
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(copied, PlanFile)); err != nil {
		t.Fatal(err)
	}
	a, err := Load(copied)
	if err != nil {
		t.Fatal(err)
	}
	if a.Task.Type != "" {
		t.Errorf("without its plan the folder is read as %+v", a.Task)
	}
	f.onEmbedding(t, a, want)
}

// onEmbedding puts an adapter on a model of embeddings, and compares the hidden states, which all poolings have in common.
func (f *fixture) onEmbedding(t *testing.T, a *Adapter, want map[string]modelstest.Array) {
	t.Helper()
	enc := f.encoder(t)
	if _, err := put(enc, a, inject.Options{Task: embedding, Head: inject.HeadMean}); err != nil {
		t.Fatal(err)
	}
	if d := f.differ(t, enc.Graph, map[string]modelstest.Array{inject.HiddenName: want[inject.HiddenName]}); !(d <= parity) {
		t.Errorf("the hidden states differ by %.1e", d)
	}
}

// An adapter of a bare encoder that PEFT wrote goes on as one of embeddings.
func TestEmbeddingOnPEFTsAdapter(t *testing.T) {
	f := fixtureOf(t, "lora_encoder")
	a, err := Load(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	f.onEmbedding(t, a, f.With)
}
