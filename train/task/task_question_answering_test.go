package task

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/train/data"
)

const qaFolder = "testdata/question_answering"

// qaExpected is what make_question_answering.py wrote.
type qaExpected struct {
	MaxLength int `json:"max_length"`
	Stride    int
	MaxAnswer int `json:"max_answer"`
	Threshold float64
	Windows   []struct {
		Origin     int
		IDs        []int64
		Start, End int64
		Offsets    [][2]int
	}
	Rounds []struct {
		Logits  [][]float32
		Answers []struct {
			Text                    string
			Difference, Score, None float64
		}
		Loss  float64
		Squad map[string]float64
	}
}

// squadData reads and encodes the fixture's questions.
func squadData(t *testing.T) (*qaExpected, *QuestionAnswering, *data.Dataset) {
	t.Helper()
	want := &qaExpected{}
	graphtest.ReadJSON(t, qaFolder+"/expected.json", want)
	q := &QuestionAnswering{Stride: want.Stride, MaxAnswer: want.MaxAnswer, NoAnswer: true, Threshold: want.Threshold}
	d, err := encodeQA(t, q, qaFolder+"/squad.json", want.MaxLength)
	if err != nil {
		t.Fatal(err)
	}
	return want, q, d
}

func encodeQA(t *testing.T, q *QuestionAnswering, path string, maxLength int) (*data.Dataset, error) {
	t.Helper()
	tokenizer, err := data.LoadTokenizer(qaFolder + "/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	set, err := data.Read(path, data.Options{Schema: q.Schema()})
	if err != nil {
		return nil, err
	}
	return q.Encode(Encoder{tokenizer, maxLength}, set, nil)
}

// Windows and their targets are those of Hugging Face's run_qa.py.
func TestQuestionsAreEncodedAsHuggingFaceDoes(t *testing.T) {
	want, _, d := squadData(t)
	if len(d.Encodings) != len(want.Windows) {
		t.Fatalf("%d windows, want %d", len(d.Encodings), len(want.Windows))
	}
	starts, ends := d.Target("start").Ints, d.Target("end").Ints
	held := 0
	for i, w := range want.Windows {
		e := d.Encodings[i]
		if d.Origin[i] != w.Origin || !slices.Equal(e.IDs, w.IDs) || starts[i][0] != w.Start || ends[i][0] != w.End {
			t.Errorf("window %d: of %d, %v, answer %d to %d; want of %d, %v, %d to %d", i, d.Origin[i], e.IDs, starts[i][0], ends[i][0], w.Origin, w.IDs, w.Start, w.End)
		}
		for k, at := range w.Offsets {
			if e.Sequence[k] == 1 && e.Offsets[k] != at {
				t.Errorf("window %d, token %d at %v, want %v", i, k, e.Offsets[k], at)
			}
		}
		if w.End > 0 {
			held++
		}
	}
	if held == 0 || held == len(want.Windows) {
		t.Errorf("%d of %d windows hold their answer: the fixture shows nothing", held, len(want.Windows))
	}
}

// Answers, no-answer scores, probabilities and metrics are Hugging Face's for the same outputs.
func TestAnswersAreHuggingFaces(t *testing.T) {
	want, q, d := squadData(t)
	for n, round := range want.Rounds {
		r := &Results{Data: d, Rows: round.Logits, Width: 2}
		for i, windows := range d.Windows() {
			w := round.Answers[i]
			a := q.Answer(r, i, windows).(SpanAnswer)
			text, score := w.Text, w.Score
			if w.Difference > want.Threshold {
				text, score = "", w.None
			}
			if a.Answer != text || math.Abs(a.Score-score) > 1e-9 || math.Abs(*a.Difference-w.Difference) > 1e-4 {
				t.Errorf("round %d, question %d: %+v (difference %v), want %q with %v, difference %v", n, i, a, *a.Difference, text, score, w.Difference)
			}
			if got := string([]rune(d.Examples[i].Pair)[a.Start:a.End]); got != a.Answer {
				t.Errorf("the answer %q is said to be at %d to %d, where %q is", a.Answer, a.Start, a.End, got)
			}
		}
		scores, err := q.Evaluate(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"f1", "exact", "HasAns_f1", "HasAns_exact", "NoAns_f1", "NoAns_exact", "best_f1", "best_exact"} {
			if got, ok := scores[name]; !ok || math.Abs(got-round.Squad[name]) > 1e-9 {
				t.Errorf("round %d: %s is %v, want %v", n, name, got, round.Squad[name])
			}
		}
		fitted := *q
		if err := fitted.Fit(r); err != nil || round.Squad["best_f1_thresh"] != 0 && math.Abs(fitted.Threshold-round.Squad["best_f1_thresh"]) > 1e-4 {
			t.Errorf("round %d: threshold %v, want %v: %v", n, fitted.Threshold, round.Squad["best_f1_thresh"], err)
		}
		if scores, err = fitted.Evaluate(r); err != nil || math.Abs(scores["f1"]-round.Squad["best_f1"]) > 1e-9 {
			t.Errorf("round %d: with the fitted threshold f1 is %v, want %v: %v", n, scores["f1"], round.Squad["best_f1"], err)
		}
	}
}

// lossOf evaluates the task's loss in float64.
func spanLoss(t *testing.T, q *QuestionAnswering, dims []int64, logits []float32, starts, ends, mask []int64) float64 {
	t.Helper()
	g := graph.New("loss")
	g.Opsets[""] = 21
	tokens := graph.Shape{graph.Symbol("batch"), graph.Symbol("tokens")}
	input := func(name string, dtype graph.DType, shape graph.Shape) *graph.Value {
		v, err := g.AddInput(name, dtype, shape)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	l := &Loss{Builder: g.Build("loss"), Outputs: 2, Output: input("logits", graph.Float, append(tokens.Clone(), graph.Fixed(2))), Targets: map[string]*graph.Value{
		"start": input("start", graph.Int64, tokens[:1].Clone()), "end": input("end", graph.Int64, tokens[:1].Clone()),
	}, Weights: input("weights", graph.Float, tokens[:1].Clone())}
	weights := slices.Repeat([]float32{1}, len(starts))
	feeds := map[string]*graph.Tensor{"logits": graph.TensorOf(dims, logits), "start": graph.TensorOf(nil, starts), "end": graph.TensorOf(nil, ends), "weights": graph.TensorOf(nil, weights)}
	if mask != nil {
		l.Mask = input("mask", graph.Int64, tokens.Clone())
		feeds["mask"] = graph.TensorOf(dims[:2], mask)
	}
	loss := q.Loss(l)
	if l.Err() != nil {
		t.Fatal(l.Err())
	}
	g.AddOutput(loss)
	x := computed(t, g, loss, feeds)
	if len(x) != 1 {
		t.Fatal(x)
	}
	return x[0]
}

// The loss is transformers' ForQuestionAnsweringLoss of each window alone, whatever windows are padded to.
func TestQuestionAnsweringLossIsHuggingFaces(t *testing.T) {
	want, q, d := squadData(t)
	for n, round := range want.Rounds {
		alone, longest := 0.0, 0
		for i, w := range want.Windows {
			alone += spanLoss(t, q, []int64{1, int64(len(w.IDs)), 2}, round.Logits[i], []int64{w.Start}, []int64{w.End}, nil)
			longest = max(longest, len(w.IDs))
		}
		if math.Abs(alone-round.Loss) > 1e-4 {
			t.Errorf("round %d: the loss is %v, want %v", n, alone, round.Loss)
		}
		var logits []float32
		var mask, starts, ends []int64
		for i, w := range want.Windows {
			padding := longest - len(w.IDs)
			logits = append(append(logits, round.Logits[i]...), slices.Repeat([]float32{50}, 2*padding)...)
			mask = append(append(mask, slices.Repeat([]int64{1}, len(w.IDs))...), make([]int64, padding)...)
			starts, ends = append(starts, w.Start), append(ends, w.End)
		}
		padded := spanLoss(t, q, []int64{int64(len(d.Encodings)), int64(longest), 2}, logits, starts, ends, mask)
		if math.Abs(padded-alone) > 1e-9 {
			t.Errorf("round %d: padded, the loss is %v rather than %v", n, padded, alone)
		}
	}
}

// Flat tables are read as SQuAD's own files are, and SQuAD 1.1 has no scores of questions without answers.
func TestFlatQuestionsAreSQuADs(t *testing.T) {
	_, q, d := squadData(t)
	path := filepath.Join(t.TempDir(), "flat.jsonl")
	var lines strings.Builder
	for _, e := range d.Examples {
		starts := []int{}
		for _, s := range e.Fields[qaStarts] {
			var n int
			if _, err := fmt.Sscan(s, &n); err != nil {
				t.Fatal(err)
			}
			starts = append(starts, n)
		}
		row, err := json.Marshal(map[string]any{"id": e.Fields[qaID][0], "question": e.Text, "context": e.Pair,
			"answers": map[string]any{"text": e.Fields[qaAnswers], "answer_start": starts}})
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(row, '\n'))
	}
	if err := os.WriteFile(path, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	flat, err := encodeQA(t, q, path, 40)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(flat.Targets, d.Targets) || !reflect.DeepEqual(flat.Encodings, d.Encodings) {
		t.Error("a flat table gives other windows than SQuAD's own file")
	}
}

func TestEveryQuestionOfSQuAD1HasAnAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "squad.json")
	text := `{"data": [{"paragraphs": [{"context": "the old river", "qas": [{"id": 7, "question": "what?", "answers": [{"text": "river", "answer_start": 8}]}]}]}]}`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	q := &QuestionAnswering{Stride: 8, MaxAnswer: 4}
	d, err := encodeQA(t, q, path, 64)
	if err != nil {
		t.Fatal(err)
	}
	e := d.Encodings[0]
	row := make([]float32, 2*len(e.IDs))
	row[0], row[1] = 90, 90 // [CLS], which is no answer here
	row[2*(len(e.IDs)-2)], row[2*(len(e.IDs)-2)+1] = 3, 3
	r := &Results{Data: d, Rows: [][]float32{row}, Width: 2}
	a := q.Answer(r, 0, []int{0}).(SpanAnswer)
	if a.Answer != "river" || a.Start != 8 || a.End != 13 || a.Difference != nil {
		t.Errorf("%+v", a)
	}
	if line := a.Lines()[0]; !strings.HasPrefix(line, "river\t8-13\t") {
		t.Errorf("%q", line)
	}
	scores, err := q.Evaluate(r)
	if err != nil || !reflect.DeepEqual(scores, Scores{"f1": 100, "exact": 100}) {
		t.Errorf("%v, %v", scores, err)
	}
	if err := q.Fit(r); err != nil || q.Threshold != 0 {
		t.Errorf("a threshold of %v where each question has an answer: %v", q.Threshold, err)
	}
}

// Where none of the best tokens makes an answer, the best pair of all does; a context without a token has none.
func TestThereIsAlwaysAnAnswer(t *testing.T) {
	const n = 60
	e := data.Encoding{IDs: make([]int64, n), Offsets: make([][2]int, n), Sequence: make([]int8, n)}
	row := make([]float32, 2*n)
	for i := range n {
		row[2*i], row[2*i+1] = float32(i), float32(n-i) // the best ends come before the best starts
		if e.Sequence[i] = 1; i < 3 {
			e.Sequence[i] = -1
		}
		e.Offsets[i] = [2]int{i, i + 1}
	}
	d := &data.Dataset{Encodings: []data.Encoding{e}, Examples: []data.Example{{Text: "?", Pair: strings.Repeat("x", n), HasPair: true}}}
	r := &Results{Data: d, Rows: [][]float32{row}, Width: 2}
	q := &QuestionAnswering{MaxAnswer: 3, NoAnswer: true, Threshold: 1000}
	if a := q.Answer(r, 0, []int{0}).(SpanAnswer); a.End-a.Start != 1 {
		t.Errorf("%+v, want one token: all of them are equally good", a)
	}
	for i := range n {
		e.Sequence[i] = -1
	}
	a := q.Answer(r, 0, []int{0}).(SpanAnswer)
	if _, err := json.Marshal(a); err != nil || a.Answer != "" || !strings.HasPrefix(a.Lines()[0], "(no answer)\t0-0\t") {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestSameSpan(t *testing.T) {
	q := &QuestionAnswering{}
	a := []float32{0, 1, 5, 2, 3, 9} // starts at 1, ends at 2
	for _, c := range []struct {
		b    []float32
		want bool
	}{
		{[]float32{0, 1, 4, 2, 3, 8}, true}, {[]float32{6, 1, 5, 2, 3, 9}, false}, {[]float32{0, 1, 5, 10, 3, 9}, false},
	} {
		if q.Same(a, c.b, 2) != c.want {
			t.Errorf("%v and %v: want %v", a, c.b, c.want)
		}
	}
}

// What is wrong with a question is one line that names the file, the question and the text.
func TestWrongQuestionsAreNamed(t *testing.T) {
	file := func(context, qa string) string {
		return fmt.Sprintf("{\"data\": [{\"paragraphs\": [\n{\"context\": %q, \"qas\": [\n{\"id\": \"ok\", \"question\": \"what is?\", \"answers\": [{\"text\": \"old\", \"answer_start\": 0}]},\n %s]}]}]}", context, qa)
	}
	qa := func(question, answers string) string {
		return fmt.Sprintf("{\"id\": \"q2\", \"question\": %q, \"answers\": %s}", question, answers)
	}
	for _, c := range []struct {
		text  string
		none  bool
		wants []string
	}{
		{file("old é river", qa("what?", `[{"text": "river", "answer_start": 7}]`)), false, []string{":4: question \"q2\"", `"river"`, "at 6;", "code points"}},
		{file("old é river", qa("what?", `[{"text": "lake", "answer_start": 7}]`)), false, []string{":4: question \"q2\"", `"lake"`, "nowhere"}},
		{file("old é river", qa("what?", `[{"text": "river", "answer_start": 8}]`)), false, []string{":4: question \"q2\"", `"river"`, "ends at 11"}},
		{file("old é river", qa("what?", `[{"text": "old", "answer_start": -1}]`)), false, []string{":4:", "ends at 11"}},
		{file("old é river", qa("what?", `[{"text": "", "answer_start": 1}]`)), false, []string{":4:", "empty"}},
		{file("old é river", qa(" ", `[{"text": "old", "answer_start": 0}]`)), false, []string{":4:", "question is empty"}},
		{file("old é river", qa("what?", `[]`)), false, []string{":4:", "no answer", "--no-answer"}},
		{file("old é river", `{"id": "q2", "question": "what?"}`), false, []string{":4:", "no answers"}},
		{file("old é river", `{"id": "q2", "question": "what?", "answers": [], "is_impossible": false}`), true, []string{":4:", "is_impossible is false"}},
		{file("old é river", `{"id": "q2", "question": "what?", "answers": [{"text": "old", "answer_start": 0}], "is_impossible": true}`), true, []string{":4:", "is_impossible is true", `"old"`}},
		{file("old é river", qa("what?", `[{"text": "old"}]`)), false, []string{":4: question \"q2\"", "answer_start"}},
		{file("old é river", qa("what?", `{"text": "old"}`)), false, []string{":4:", "answers"}},
		{file("old é river", `{"id": "q2", "answers": []}`), false, []string{":4:", `no "question"`}},
		{file("old é river", qa(strings.Repeat("what ", 70), `[]`)), true, []string{":4:", "--max-length"}},
		{`{"data": [{"paragraphs": [{"context": " ", "qas": [{"id": "q2", "question": "what?"}]}]}]}`, false, []string{":1: question \"q2\"", "context"}},
		{`{"data": [{"question": "what?", "context": "x"}]}`, false, []string{"paragraphs", "jsonl"}},
		{`{"data": []}`, false, []string{"no question"}},
		{"{\"data\": [\n{]}", false, []string{":2:", "not JSON"}},
		{"[1, 2]", false, []string{":1:", "SQuAD has"}},
		{"{\"data\": [\n{\"paragraphs\": 7}]}", false, []string{":2:", "paragraphs", "number"}},
	} {
		path := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := encodeQA(t, &QuestionAnswering{Stride: 8, MaxAnswer: 4, NoAnswer: c.none}, path, 64)
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s\ngave %v", c.text, err)
			continue
		}
		for _, want := range c.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s\ngave %v, want %q in it", c.text, err, want)
			}
		}
	}
}

func TestQuestionAnsweringSettings(t *testing.T) {
	for flag, wrong := range map[string]string{"doc-stride": "-1", "max-answer-length": "0"} {
		k, err := New("question-answering")
		if err != nil {
			t.Fatal(err)
		}
		if err := Validate(k); err != nil {
			t.Errorf("the defaults: %v", err)
		}
		if ok, err := Set(k, flag, wrong); !ok || err != nil {
			t.Fatal(flag, ok, err)
		}
		if err := Validate(k); err == nil || !strings.Contains(err.Error(), "--"+flag) {
			t.Errorf("--%s %s: %v", flag, wrong, err)
		}
	}
	if _, err := (&QuestionAnswering{}).Labels(nil, []string{"a"}); err == nil {
		t.Error("classes were accepted")
	}
}
