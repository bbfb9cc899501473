package main

import (
	"errors"
	"strings"
	"testing"

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
		var hinted hintedError
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

func TestHeadsAreNamed(t *testing.T) {
	for task, want := range map[models.Task]string{
		models.TokenClassification: "a classifier with 9 outputs for every token (token classification)",
		models.QuestionAnswering:   "a classifier with 9 outputs for the start and end of an answer (extractive question answering)",
	} {
		if got := (inspection{Head: task, Classifier: 9}).headText(); got != want {
			t.Errorf("%s: %q", task, got)
		}
	}
	if got := (inspection{Head: models.MaskedLM, Pooler: true}).headText(); !strings.Contains(got, "masked language model") {
		t.Errorf("masked-lm: %q", got)
	}
}
