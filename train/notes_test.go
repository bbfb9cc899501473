package train_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/train"
)

// A run in which nothing changes ties in each epoch, and says so; what the task finds doubtful is said once.
func TestNotes(t *testing.T) {
	s := settings()
	s.Epochs, s.LearningRate = 3, 1e-30
	tr, start := trainer(t, s, 0)
	for _, slot := range tr.Step.Layout.Slots {
		if slot.Target == "classifier" && slot.Role == "bias" {
			start[slot.Offset] = 1000 // all answers are of the first class
		}
	}
	var notes []string
	var kinds []string
	tr.Report = func(e train.Event) {
		if e.Kind == "note" {
			notes = append(notes, e.Note)
		}
		if e.Kind != "step" && e.Kind != "eval" {
			kinds = append(kinds, e.Kind)
		}
	}
	state, err := tr.Run(context.Background(), start, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`all 9 answers are "a", which 3 of the examples are`,
		"after epoch 2, accuracy is 0.3333 as after epoch 1, which is kept", "after epoch 3, accuracy is 0.3333 as after epoch 1, which is kept"}
	if !slices.Equal(notes, want) || state.BestEpoch != 1 {
		t.Errorf("best epoch %d, notes %q", state.BestEpoch, notes)
	}
	if got := strings.Join(kinds, " "); got != "note epoch note epoch note epoch" {
		t.Errorf("events %s", got)
	}
}
