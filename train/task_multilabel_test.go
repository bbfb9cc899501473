package train_test

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// A classifier that the model was exported with is gone on with: to begin with the outputs are the model's own.
func TestMultiLabelGoesOnWithAClassifier(t *testing.T) {
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_seqcls")
	g := f.Load(t)
	enc := injecttest.Recognise(t, g)
	var names []string
	for i := range enc.Classifier.Out {
		names = append(names, string(rune('a'+i)))
	}
	want := modelstest.Evaluate(t, g, f.Runs[0].Inputs, enc.Logits.Name())[0]
	for _, name := range []string{"bitfit", "full", "head-only", "ia3", "lora"} { // the others change the outputs from the start
		_, of := taskOf(t, "multi-label", names, nil)
		g := f.Load(t)
		m := injecttest.New(t, name, nil)
		plan := injecttest.Into(t, g, inject.Options{Task: of, Seed: 5}, m)
		if plan.Head.Kind != inject.HeadExisting {
			t.Errorf("%s: the head is %s", name, plan.Head.Kind)
		}
		graphtest.Close(t, modelstest.Evaluate(t, g, f.Runs[0].Inputs, plan.Logits)[0], want, 1e-5, 1e-6)
	}
}

// multiLabelRun is a toy run: a text has a label for each word of three that it has; few have the third.
func multiLabelRun(t *testing.T) (*train.Trainer, []float32) {
	t.Helper()
	_, of := taskOf(t, "multi-label", labels, nil)
	g, plan := injected(t, modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa"), of, lora(), 0)
	s, flat := stepGraph(t, g, plan)
	set := func(n, from int) *data.Dataset {
		d := &data.Dataset{}
		var hot [][]float32
		for i := from; i < from+n; i++ {
			e, row := data.Encoding{IDs: []int64{2, int64(20 + i%7)}, TypeIDs: make([]int64, 2)}, make([]float32, 3)
			for k := range row {
				if i>>k&1 == 1 && (k < 2 || i%3 == 0) {
					e.IDs, e.TypeIDs, row[k] = append(e.IDs, int64(10+k)), append(e.TypeIDs, 0), 1
				}
			}
			d.Encodings, hot = append(d.Encodings, e), append(hot, row)
		}
		d.Targets = []data.Target{{TargetSpec: s.Task.Targets(labels)[0], Floats: hot}}
		return d
	}
	st := settings()
	st.Epochs = 10
	return &train.Trainer{Settings: st, Step: s, Exec: reference(t, s.Graph), Train: set(24, 0), Eval: set(12, 24),
		Forward: predictor(t, g, plan)}, flat
}

// A run learns, and what it keeps judges as it was judged: with the thresholds that were chosen for it.
func TestMultiLabelRun(t *testing.T) {
	tr, start := multiLabelRun(t)
	tr.Eval = tr.Train
	state, err := tr.Run(context.Background(), start, nil)
	if err != nil {
		t.Fatal(err)
	}
	if state.BestMetric["micro_f1"] < 0.95 {
		t.Errorf("%v", state.BestMetric)
	}
	of := tr.Step.Plan.Task
	if of.Settings = state.Fitted; !json.Valid(of.Settings) {
		t.Fatalf("settings %s", of.Settings)
	}
	kept, err := task.Of(of)
	if err != nil {
		t.Fatal(err)
	}
	tr.Forward.Params = state.Best
	rows, err := tr.Forward.Predict(context.Background(), tr.Eval, nil, 5, nil)
	if err != nil {
		t.Fatal(err)
	}
	scores, err := kept.Evaluate(&task.Results{Data: tr.Eval, Rows: rows, Width: 3, Labels: labels})
	if err != nil || !reflect.DeepEqual(scores, state.BestMetric) {
		t.Errorf("judged again %v, %v; the run says %v", scores, err, state.BestMetric)
	}
	for _, x := range kept.(*task.MultiLabel).Thresholds {
		if !(x > 0 && x < 1) {
			t.Errorf("thresholds %v", kept)
		}
	}
}
