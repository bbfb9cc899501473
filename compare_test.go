package peftgraph

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

func taskOf(kind, output string, labels ...string) multitask.Task {
	return multitask.Task{Name: output, Output: output, Task: inject.Task{Type: kind, Labels: labels}}
}

// What counts as a flipped answer is the task's matter where it is known.
func TestFlippedAnswers(t *testing.T) {
	d := &data.Dataset{Encodings: []data.Encoding{{IDs: make([]int64, 2), TypeIDs: make([]int64, 2)}, {IDs: make([]int64, 3), TypeIDs: make([]int64, 3)}}}
	b := d.Batch([]int{0, 1})
	x := graph.TensorOf([]int64{2, 2}, []float32{1, 2, 5, 4})
	y := graph.TensorOf([]int64{2, 2}, []float32{1, 2.5, 3, 4})
	for _, c := range []struct {
		name, output string
		sides        []side
		want         int
	}{
		{"a classifier", "scores", []side{{}, {tasks: []multitask.Task{taskOf("classification", "scores", "a", "b")}}}, 1},
		{"a number", "logits", []side{{tasks: []multitask.Task{taskOf("regression", "logits")}}}, -1},
		{"logits of nobody knows what", "logits", []side{{}, {}}, 1},
		{"hidden states", "last_hidden_state", []side{{}, {}}, -1},
	} {
		j, err := newJudge([]string{c.output}, 0, c.sides, d, b)
		if err != nil {
			t.Fatal(err)
		}
		o := OutputDelta{Name: c.output, Flips: -1}
		if err := o.add([]*graph.Tensor{x}, []*graph.Tensor{y}, 0, j); err != nil {
			t.Fatal(err)
		}
		if o.Flips != c.want || o.MaxAbs != 2 {
			t.Errorf("%s: %+v, want %d flips", c.name, o, c.want)
		}
	}
	j := judge{same: sameLargest, parts: []int{0}}
	rows := []*graph.Tensor{graph.TensorOf([]int64{1, 2, 2}, make([]float32, 4))}
	if n, err := j.flips(rows, rows); n != -1 || err != nil {
		t.Error("rows of rows:", n, err)
	}
}

// The start and the end of an answer are judged together: what either does to the answer is a flip of both.
func TestFlippedSpans(t *testing.T) {
	d := &data.Dataset{}
	for range 2 {
		d.Encodings = append(d.Encodings, data.Encoding{IDs: make([]int64, 3), TypeIDs: make([]int64, 3)})
	}
	of, err := NewTask("question-answering")
	if err != nil {
		t.Fatal(err)
	}
	shaped, err := task.ForInjection(of, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := side{tasks: answering(models.Info{Positions: 8}, shaped)}
	names := []string{"end_logits", "start_logits"}
	row := func(v ...float32) *graph.Tensor { return graph.TensorOf([]int64{2, 3}, v) }
	start, end := row(9, 0, 0, 0, 9, 0), row(0, 9, 0, 0, 0, 9)
	for k := range names {
		j, err := newJudge(names, k, []side{{}, s}, d, d.Batch([]int{0, 1}))
		if err != nil || len(j.parts) != 2 || j.parts[0] != 1 {
			t.Fatal(names[k], j, err)
		}
		for _, c := range []struct {
			end  *graph.Tensor
			want int
		}{{end, 0}, {row(9, 0, 0, 0, 0, 9), 1}, {row(9, 0, 0, 0, 9, 0), 2}} {
			if n, err := j.flips([]*graph.Tensor{end, start}, []*graph.Tensor{c.end, start}); err != nil || n != c.want {
				t.Errorf("%s: %d flips, want %d, %v", names[k], n, c.want, err)
			}
		}
	}
	if j, err := newJudge(names[:1], 0, []side{s}, d, d.Batch([]int{0, 1})); err != nil || j.same != nil {
		t.Error("half an answer is judged", err)
	}
}

// Of a joint model's batch, an output has the rows that were dealt to its task.
func TestRowsOfAJointOutput(t *testing.T) {
	d := &data.Dataset{}
	for n := range 5 {
		d.Encodings = append(d.Encodings, data.Encoding{IDs: make([]int64, n+1), TypeIDs: make([]int64, n+1)})
	}
	s := side{joint: true, tasks: []multitask.Task{taskOf("classification", "logits.a", "x", "y"), taskOf("classification", "logits.b", "x", "y")}}
	for output, want := range map[string][]int{"logits.a": {1, 3, 5}, "logits.b": {2, 4}} {
		j, err := newJudge([]string{output}, 0, []side{s}, d, d.Batch([]int{0, 1, 2, 3, 4}))
		if err != nil || len(j.lengths) != len(want) || j.lengths[1] != want[1] {
			t.Error(output, j.lengths, err)
		}
	}
}

func TestDifferencesThatAreNoNumbers(t *testing.T) {
	o := OutputDelta{}
	o.differ([]float64{1, math.NaN(), 3}, []float64{1, 2, 9})
	c := Comparison{Outputs: []OutputDelta{{MaxAbs: 1}, o}}
	var differs *DiffersError
	if err := c.Check(math.Inf(1)); !errors.As(err, &differs) {
		t.Error(o, err)
	}
	o = OutputDelta{Name: "x"}
	if err := o.add([]*graph.Tensor{graph.TensorOf([]int64{1, 2}, []float32{1, 2})}, []*graph.Tensor{graph.TensorOf([]int64{2}, []float32{1, 2})}, 0, judge{}); err == nil {
		t.Error("outputs of different shapes")
	}
}

// The answer's fields stand beside the task and the text.
func TestPredictionAsJSON(t *testing.T) {
	of, err := NewTask("classification")
	if err != nil {
		t.Fatal(err)
	}
	d := &data.Dataset{Examples: []data.Example{{Text: "a", Pair: "b"}}, Encodings: []data.Encoding{{Truncated: true}}}
	p := predict(of, taskOf("classification", "t", "no", "yes"), d, [][]float32{{0, 0.5}}, 0, []int{0})
	text, err := json.Marshal(p)
	if want := `{"task":"t","text":"a","pair":"b","label":"yes","probability":0.6224593312018546,"logits":[0,0.5]}`; err != nil || string(text) != want {
		t.Errorf("%s %v, want %s", text, err, want)
	}
	if lines := p.Lines(); len(lines) != 1 || lines[0] != "t\tyes\t0.6225\ta | b" || !p.Truncated {
		t.Errorf("%q %v", lines, p.Truncated)
	}
}
