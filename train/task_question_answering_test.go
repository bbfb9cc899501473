package train_test

import (
	"context"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

// A head that a file was exported with is recognised and kept: what is trained starts with the file's own outputs, which its
// own names go on giving.
func TestExportedQuestionAnsweringHeads(t *testing.T) {
	_, of := taskOf(t, "question-answering", nil, nil)
	for _, file := range []string{"bert_torch2_legacy_op14_qa", "bert_torch2_dynamo_op18_qa"} {
		f := modelstest.Encoder(t, file)
		for _, method := range []string{"lora", "prompt"} {
			g := f.Load(t)
			plan := injecttest.Into(t, g, inject.Options{Task: of, Seed: 5}, injecttest.New(t, method, nil))
			if plan.Head.Kind != inject.HeadExisting {
				t.Errorf("%s: the head is %q", file, plan.Head.Kind)
			}
			if method == "prompt" {
				injecttest.Move(t, g, plan, 0.1)
			}
			got := modelstest.Evaluate(t, g, f.Runs[0].Inputs, plan.Logits, "start_logits", "end_logits")
			both, err := got[0].Float64s()
			if err != nil {
				t.Fatal(err)
			}
			for k, name := range []string{"start_logits", "end_logits"} {
				column := make([]float64, 0, len(both)/2)
				for i := k; i < len(both); i += 2 {
					column = append(column, both[i])
				}
				graphtest.Close(t, got[1+k], graph.FloatTensor(graph.Float, got[1+k].Dims, column), 0, 1e-6)
				if base := f.Runs[0].Outputs[name]; method == "lora" {
					graphtest.Close(t, got[1+k], base.Tensor(graph.Float), 1e-4, 1e-5)
				}
			}
		}
	}
}

// A run of question answering learns a toy: the answer is one certain token, wherever it stands.
func TestQuestionAnsweringLearns(t *testing.T) {
	k, of := taskOf(t, "question-answering", nil, nil)
	f := modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa")
	g, plan := injected(t, f, of, lora(), 0)
	s, flat := stepGraph(t, g, plan)
	d := &data.Dataset{}
	var starts []int64
	for i := range 24 {
		const n = 7
		at := 2 + i%4
		e := data.Encoding{IDs: make([]int64, n), TypeIDs: make([]int64, n), Offsets: make([][2]int, n), Sequence: make([]int8, n)}
		for j := range n {
			e.IDs[j], e.Sequence[j], e.Offsets[j] = int64(20+(i*3+j*5)%11), 1, [2]int{2 * j, 2*j + 1}
		}
		e.IDs[0], e.Sequence[0], e.IDs[at] = 2, -1, int64(40)
		d.Encodings, starts = append(d.Encodings, e), append(starts, int64(at))
		d.Examples = append(d.Examples, data.Example{Pair: "0 1 2 3 4 5 6 7", HasPair: true, Fields: map[string][]string{"answers": {string(rune('0' + at))}}})
	}
	d.Targets = []data.Target{data.Scalars("start", starts), data.Scalars("end", starts)}
	tr := &train.Trainer{Settings: settings(), Step: s, Exec: reference(t, s.Graph), Train: d, Eval: d, Forward: predictor(t, g, plan)}
	state, err := tr.Run(context.Background(), flat, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f1 := state.BestMetric["f1"]; f1 < 95 {
		t.Errorf("F1 %v of %s", f1, strings.Join(k.Metrics(), ", "))
	}
}
