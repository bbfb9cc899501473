package train_test

import (
	"context"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// A new classifier's bias starts where the task says, and the base's own where the base left it; a resumed run goes on.
func TestWhereTheBiasStarts(t *testing.T) {
	regression, err := task.ForInjection(&task.Regression{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		form string
		of   inject.Task
		want []float32 // nil for where it was
	}{
		{"bert_torch2_legacy_op14_sdpa", regression, []float32{2.5}},
		{"bert_torch2_legacy_op14_sdpa", inject.Task{Type: "classification", Labels: labels}, nil},
		{"bert_torch2_legacy_op14_seqcls", inject.Task{Type: "multi-label", Labels: labels}, nil},
	} {
		g, plan := injected(t, modelstest.Encoder(t, c.form), c.of, lora(), 0)
		s, start := stepGraph(t, g, plan)
		st := settings()
		st.Epochs, st.LearningRate, st.BatchSize = 1, 1e-30, 9
		d := task.MakeUp(s.Task, c.of.Labels, plan.Encoder.Vocab, 5, 4, 1)
		if c.want != nil {
			d.Targets = []data.Target{data.Scores("score", []float32{1, 2, 3, 4})}
		}
		tr := &train.Trainer{Settings: st, Step: s, Exec: reference(t, s.Graph), Train: d}
		state, err := tr.Run(context.Background(), start, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, slot := range s.Layout.Slots {
			if slot.Target != "classifier" || slot.Role != "bias" {
				continue
			}
			for i := range slot.Len() {
				want := start[slot.Offset+i]
				if c.want != nil {
					want = c.want[i]
				}
				if got := state.Params[slot.Offset+i]; got != want {
					t.Errorf("%s on %s: bias %d starts at %v, want %v", c.of.Type, c.form, i, got, want)
				}
			}
		}
		tr.Epochs = 2
		for _, slot := range s.Layout.Slots {
			if slot.Role == "bias" {
				state.Params[slot.Offset] = 7
			}
		}
		again, err := tr.Run(context.Background(), start, &state)
		if err != nil {
			t.Fatal(err)
		}
		for _, slot := range s.Layout.Slots {
			if slot.Role == "bias" && again.Params[slot.Offset] != 7 {
				t.Errorf("%s: a resumed run starts the bias again", c.of.Type)
			}
		}
	}
}
