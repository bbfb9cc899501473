package main

import (
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/models"
)

func TestHeadsAreNamed(t *testing.T) {
	for task, want := range map[models.Task]string{
		models.TokenClassification: "a classifier with 9 outputs for every token (token classification)",
		models.QuestionAnswering:   "a classifier with 9 outputs for the start and end of an answer (extractive question answering)",
	} {
		if got := (inspection{&peftgraph.Inspection{Head: task, Classifier: 9}}).headText(); got != want {
			t.Errorf("%s: %q", task, got)
		}
	}
	if got := (inspection{&peftgraph.Inspection{Head: models.MaskedLM, Pooler: true}}).headText(); !strings.Contains(got, "masked language model") {
		t.Errorf("masked-lm: %q", got)
	}
}
