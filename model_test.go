package peftgraph

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/models"
)

// What recognition says to try reaches the person; where it says nothing, they hear what is recognised.
func TestRecognitionsHintsReachPeople(t *testing.T) {
	hintOf := func(name string, edit func(e *models.Encoder)) string {
		g := modelstest.Encoder(t, name).Load(t)
		if e, err := models.Recognise(g); err == nil {
			edit(e)
		}
		_, err := recognise("model.onnx", g)
		var hinted *HintedError
		if !errors.As(err, &hinted) || !strings.HasPrefix(err.Error(), "model.onnx: ") {
			t.Fatalf("%s: %v", name, err)
		}
		return hinted.Hint()
	}
	shared := hintOf("bert_torch2_legacy_op17_tf436", func(e *models.Encoder) {
		e.Layers[1].Query.Nodes[0].SetInput(1, e.Layers[0].Query.Weight)
	})
	if !strings.Contains(shared, "layers that share weights can't be adapted one by one") {
		t.Errorf("shared weights: %q", shared)
	}
	if other := hintOf("negative_gpt2_torch2_legacy_op14", nil); !strings.Contains(other, "an encoder of the BERT family") {
		t.Errorf("GPT-2: %q", other)
	}
}

// What the model was made to be pooled by decides what a head reads, where nothing else is said.
func TestPooling(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "onnx", "model.onnx")
	if kind, err := pooling(path); kind != "" || err != nil {
		t.Errorf("without a configuration: %q, %v", kind, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "1_Pooling"), 0o777); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]inject.HeadKind{
		`{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}`: inject.HeadCLS,
		`{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}`: inject.HeadMean,
		`{"pooling_mode_max_tokens": true}`:                                   "",
	} {
		if err := os.WriteFile(filepath.Join(dir, "1_Pooling", "config.json"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if kind, err := pooling(path); kind != want || err != nil {
			t.Errorf("%s: %q, %v", text, kind, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "1_Pooling", "config.json"), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := pooling(path); err == nil {
		t.Error("a broken configuration is passed over")
	}
}
