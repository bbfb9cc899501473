package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/metric"
)

// tagged is what make_token_classification.py wrote.
type tagged struct {
	Tags     []string
	Features []struct {
		Words, Tags []string
		IDs, Labels []int64
		AllLabels   []int64 `json:"all_labels"`
	}
	Loss struct {
		Shape  []int64
		Logits []float32
		Loss   float64
	}
	Answers []struct {
		Text     string
		IDs      []int64
		Logits   []float32
		Entities []struct {
			Label      string
			Score      float64
			Start, End int
		}
	}
}

func taggedFixture(t *testing.T) (tagged, Encoder) {
	t.Helper()
	text, err := os.ReadFile("testdata/token_classification/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var f tagged
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	tok, err := data.LoadTokenizer("../data/testdata/tokenizer/vocab-cased.txt")
	if err != nil {
		t.Fatal(err)
	}
	return f, Encoder{tok, 128}
}

func (f tagged) set() *data.Set {
	s := &data.Set{Path: "f.conll", LabelColumn: "tags"}
	for i, x := range f.Features {
		s.Examples = append(s.Examples, data.Example{Words: x.Words, Labels: x.Tags, Row: i + 1})
	}
	return s
}

// Features are those of transformers' example for token classification.
func TestTaggedFeatures(t *testing.T) {
	f, e := taggedFixture(t)
	for _, all := range []bool{false, true} {
		d, err := (&TokenClassification{AllPieces: all}).Encode(e, f.set(), f.Tags)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range f.Features {
			if !slices.Equal(d.Encodings[i].IDs, x.IDs) {
				t.Fatalf("sentence %d: ids %v, want %v", i, d.Encodings[i].IDs, x.IDs)
			}
			want := x.Labels
			if all {
				want = x.AllLabels
			}
			got := slices.Clone(d.Targets[0].Ints[i])
			for k, w := range d.Weights[i] {
				if w == 0 {
					got[k] = -100
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("sentence %d, all pieces %v: labels %v, want %v", i, all, got, want)
			}
		}
	}
}

// The loss of a batch is that of BertForTokenClassification: the mean over what has a label.
func TestTaggedLoss(t *testing.T) {
	f, e := taggedFixture(t)
	task := &TokenClassification{}
	d, err := task.Encode(e, f.set(), f.Tags)
	if err != nil {
		t.Fatal(err)
	}
	b := d.Batch([]int{0, 1, 2, 3})
	g := graph.New("loss")
	g.Opsets[""] = 21
	feeds := map[string]*graph.Tensor{"output": graph.TensorOf(f.Loss.Shape, f.Loss.Logits), "tag": b.Targets["tag"], "weights": b.Weights}
	in := func(name string) *graph.Value {
		v, err := g.AddInput(name, feeds[name].DType, graph.ShapeOf(feeds[name].Dims...))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	l := &Loss{Builder: g.Build("l"), Output: in("output"), Targets: map[string]*graph.Value{"tag": in("tag")}, Weights: in("weights"), Outputs: len(f.Tags)}
	out := task.Loss(l)
	if l.Err() != nil {
		t.Fatal(l.Err())
	}
	g.SetOutputs(out)
	got := computed(t, g, out, feeds)
	if !(math.Abs(got[0]/b.Weight-f.Loss.Loss) <= 1e-5) || b.Weight != 12 {
		t.Errorf("loss %v over %v words, want %v", got[0]/b.Weight, b.Weight, f.Loss.Loss)
	}
}

// Answers are those of transformers' pipeline with aggregation_strategy="first", in code points.
func TestEntityAnswers(t *testing.T) {
	f, e := taggedFixture(t)
	task := &TokenClassification{}
	for _, want := range f.Answers {
		d, err := task.Encode(e, &data.Set{Examples: []data.Example{{Text: want.Text}}}, f.Tags)
		if err != nil || !slices.Equal(d.Encodings[0].IDs, want.IDs) {
			t.Fatalf("%q: ids %v, want %v: %v", want.Text, d.Encodings[0].IDs, want.IDs, err)
		}
		r := &Results{Data: d, Rows: [][]float32{want.Logits}, Width: len(f.Tags), Labels: f.Tags}
		got := task.Answer(r, 0, []int{0}).(EntitiesAnswer).Entities
		if len(got) != len(want.Entities) {
			t.Errorf("%q: %d entities, want %d: %+v", want.Text, len(got), len(want.Entities), got)
			continue
		}
		for i, w := range want.Entities {
			g := got[i]
			if g.Label != w.Label || g.Start != w.Start || g.End != w.End || math.Abs(g.Score-w.Score) > 1e-5 || g.Text != string([]rune(want.Text)[w.Start:w.End]) {
				t.Errorf("%q: %+v, want %+v", want.Text, g, w)
			}
		}
	}
}

// says makes outputs that give each word of a data set's examples a tag, and its further tokens another, which doesn't count.
func says(t *testing.T, d *data.Dataset, labels []string, tags ...[]string) *Results {
	t.Helper()
	r := &Results{Data: d, Width: len(labels), Labels: labels}
	for _, e := range d.Encodings {
		row := make([]float32, len(e.IDs)*len(labels))
		for k := range e.IDs {
			row[k*len(labels)] = 1
		}
		r.Rows = append(r.Rows, row)
	}
	for i, windows := range d.Windows() {
		for w, p := range d.FirstPieces(windows, 0) {
			if p.Encoding >= 0 {
				r.token(p)[slices.Index(labels, tags[i][w])] = 3
			}
		}
	}
	return r
}

func TestAnswersInEveryScheme(t *testing.T) {
	_, e := taggedFixture(t)
	words := strings.Fields("Anna Maria met Bob in San Francisco")
	const bio = "PER 0-10 Anna Maria|PER 15-18 Bob|LOC 22-35 San Francisco"
	for _, c := range []struct{ scheme, tags, more, want, first string }{
		{"", "B-PER I-PER O B-PER O B-LOC I-LOC", "", bio, "Anna Maria"},
		{"iob1", "I-PER I-PER O I-PER O I-LOC I-LOC", "", bio, "Anna Maria"},
		{"", "B-PER E-PER O S-PER O B-LOC E-LOC", "", bio, "Anna Maria"},
		{"", "B-PER L-PER O U-PER O B-LOC L-LOC", "", bio, "Anna Maria"},
		{"", "B I O B O B I", "", "_ 0-10 Anna Maria|_ 15-18 Bob|_ 22-35 San Francisco", "Anna Maria"},
		{"", "NNP NNP VBD NNP IN NNP NNP", "", "NNP 0-4 Anna|NNP 5-10 Maria|VBD 11-14 met|NNP 15-18 Bob|IN 19-21 in|NNP 22-25 San|NNP 26-35 Francisco", "Anna"},
		{"plain", "B-PER O O O O O O", "", "B-PER 0-4 Anna|O 5-10 Maria|O 11-14 met|O 15-18 Bob|O 19-21 in|O 22-25 San|O 26-35 Francisco", "Anna"},
		{"", "O O O O O O O", "B-PER", "", ""},
	} {
		tags := strings.Fields(c.tags)
		labels := slices.Compact(slices.Sorted(slices.Values(append(strings.Fields(c.more), tags...))))
		task := &TokenClassification{Scheme: c.scheme}
		set := &data.Set{Path: "x", LabelColumn: "tags", Examples: []data.Example{{Words: words, Labels: tags}}}
		if got, err := task.Labels(set, labels); err != nil || !slices.Equal(got, labels) {
			t.Errorf("%s: labels %v: %v", c.tags, got, err)
		}
		d, err := task.Encode(e, set, labels)
		if err != nil {
			t.Fatal(err)
		}
		r := says(t, d, labels, tags)
		answer := task.Answer(r, 0, []int{0})
		var parts []Tagged
		switch a := answer.(type) {
		case EntitiesAnswer:
			parts = a.Entities
		case WordsAnswer:
			parts = a.Words
		}
		var got []string
		for _, p := range parts {
			got = append(got, fmt.Sprintf("%s %d-%d %s", p.Label, p.Start, p.End, p.Text))
		}
		if joined := strings.Join(got, "|"); joined != c.want {
			t.Errorf("%s: %s, want %s", c.tags, joined, c.want)
		}
		if lines := answer.Lines(); c.want == "" && !slices.Equal(lines, []string{"no entity"}) || !strings.HasSuffix(lines[0], c.first) {
			t.Errorf("%s: lines %q", c.tags, lines)
		}
		scores, err := task.Evaluate(r)
		if err != nil || scores["accuracy"] != 1 || c.want != "" && scores["f1"] != 1 {
			t.Errorf("%s: %v, %v", c.tags, scores, err)
		}
	}
}

// Evaluation is seqeval's over the words: truth and answers of all windows, without words that gave no token.
func TestEvaluateTagged(t *testing.T) {
	_, e := taggedFixture(t)
	e.MaxLength = 12
	labels := []string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}
	long := strings.Fields(strings.Repeat("Anna Maria met Bob in San Francisco ; ", 5))
	truth := strings.Fields(strings.Repeat("B-PER I-PER O B-PER O B-LOC I-LOC O ", 5))
	found := slices.Clone(truth)
	found[0], found[8], found[13] = "I-PER", "O", "B-PER"
	set := &data.Set{Path: "x", LabelColumn: "tags", Examples: []data.Example{{Words: long, Labels: truth}, {Words: []string{"Bob", "\u0007"}, Labels: []string{"B-PER", "I-PER"}}}}
	for _, strict := range []bool{false, true} {
		task := &TokenClassification{Strict: strict}
		d, err := task.Encode(e, set, labels)
		if err != nil || len(d.Windows()[0]) < 3 {
			t.Fatal(len(d.Encodings), err)
		}
		weight := 0.0
		for _, row := range d.Weights {
			for _, x := range row {
				weight += float64(x)
			}
		}
		if weight != float64(len(long)+1) {
			t.Errorf("%v words have a target, want %d", weight, len(long)+1)
		}
		r := says(t, d, labels, found, []string{"B-PER", ""})
		scores, err := task.Evaluate(r)
		if err != nil {
			t.Fatal(err)
		}
		one := func(strict bool) metric.EntityReport {
			m, err := metric.EntityScores([][]string{truth, {"B-PER"}}, [][]string{found, {"B-PER"}}, metric.Reading{Scheme: metric.BIO, Strict: strict})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		m := one(strict)
		want := Scores{"f1": m.Micro.F1, "precision": m.Micro.Precision, "recall": m.Micro.Recall, "accuracy": m.Accuracy, "strict_f1": one(true).Micro.F1}
		if !reflect.DeepEqual(scores, want) || want["f1"] == 1 || one(true).Micro.F1 == one(false).Micro.F1 {
			t.Errorf("strict %v: %v, want %v", strict, scores, want)
		}
		detail, err := task.Detail(r)
		if err != nil {
			t.Fatal(err)
		}
		lines := detail.Lines()
		if len(lines) != 6 || !strings.HasPrefix(lines[1], "LOC\t") || !strings.HasSuffix(lines[2], fmt.Sprintf("%.4f\t%d", m.Types["PER"].F1, m.Types["PER"].Support)) || !strings.HasPrefix(lines[3], "micro\t") {
			t.Errorf("%q", lines)
		}
		answer := task.Answer(r, 0, d.Windows()[0]).(EntitiesAnswer)
		for _, p := range answer.Entities {
			if text := string([]rune(strings.Join(long, " "))[p.Start:p.End]); text != p.Text || !slices.Contains([]string{"Anna Maria", "Maria", "Bob", "San", "San Francisco", "Francisco"}, text) {
				t.Errorf("%+v", p)
			}
		}
		if n := len(answer.Entities); n != 16 {
			t.Errorf("%d entities in windows: %+v", n, answer.Entities)
		}
	}
}

// Each kind of bad input is one line with file and row, or what was meant.
func TestBadTags(t *testing.T) {
	_, e := taggedFixture(t)
	labels := []string{"O", "B-PER", "I-PER"}
	set := func(words, tags []string) *data.Set {
		return &data.Set{Path: "x.jsonl", LabelColumn: "tags", Examples: []data.Example{{Words: []string{"a"}, Labels: []string{"O"}, Row: 1}, {Words: words, Labels: tags, Row: 2}}}
	}
	two := []string{"a", "b"}
	for want, s := range map[string]*data.Set{
		"x.jsonl:2: 3 tags for 2 words":           set(two, []string{"O", "O", "O"}),
		"x.jsonl:2: 1 tags for 2 words":           set(two, []string{"O"}),
		"x.jsonl:2: the sentence has no words":    set([]string{}, []string{}),
		`x.jsonl:2: unknown label "B-ORG"; known`: set(two, []string{"O", "B-ORG"}),
		`x.jsonl:2: unknown label "3"; known`:     set(two, []string{"O", "3"}),
	} {
		if _, err := (&TokenClassification{}).Encode(e, s, labels); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	pair := &data.Set{Path: "x", Examples: []data.Example{{Text: "a", Pair: "b", HasPair: true}}}
	if _, err := (&TokenClassification{}).Encode(e, pair, labels); err == nil || !strings.Contains(err.Error(), "a second one") {
		t.Errorf("a pair: %v", err)
	}
	narrow := Encoder{e.Tokenizer, 2}
	if _, err := (&TokenClassification{}).Encode(narrow, set(two, two), labels); err == nil || !strings.Contains(err.Error(), "no room in 2 tokens") {
		t.Errorf("two tokens at most: %v", err)
	}
	words := strings.Fields("a b c d e")
	for _, c := range []struct {
		task        TokenClassification
		tags, given string
		want        string
	}{
		{TokenClassification{Scheme: "bio"}, "B-A I-A E-A O O", "", `x.jsonl: column "tags": metric: tag "E-A" isn't of scheme BIO`},
		{TokenClassification{Scheme: "iobes"}, "B-A L-A O O O", "", `tag "L-A" isn't of scheme IOBES`},
		{TokenClassification{Scheme: "bilou"}, "NN VB O O O", "", `tag "NN" isn't of scheme BILOU`},
		{TokenClassification{}, "B-A E-A L-A O O", "", "mix E-/S- (IOBES) with L-/U- (BILOU)"},
		{TokenClassification{}, "B-A tag O O O", "", `there are tags of entities and others such as "tag"`},
		{TokenClassification{}, "1 2 0 0 0", "", "the tags are numbers"},
		{TokenClassification{Strict: true}, "I-A I-A B-A O O", "", "are of bio or of iob1"},
		{TokenClassification{}, "O O O O O", "", `x.jsonl: column "tags" holds ["O"] only: data: labels ["O"]: a classifier needs two classes`},
		{TokenClassification{}, "1 2 1 1 1", "O,B-A,I-A", "nothing says whether they count from 0 or from 1"},
		{TokenClassification{}, "O O O O O", "O,B-A,O", `label "O" is given twice`},
		// and what is right
		{TokenClassification{Scheme: "plain"}, "1 2 0 0 0", "", ""},
		{TokenClassification{Scheme: "plain"}, "B-A tag O O O", "", ""},
		{TokenClassification{}, "1 2 0 0 0", "O,B-A,I-A", ""},
		{TokenClassification{Strict: true, Scheme: "iob1"}, "I-A I-A B-A O O", "", ""},
		{TokenClassification{Strict: true}, "B-A I-A B-A O O", "", ""},
		{TokenClassification{}, "I-A I-A B-A O O", "", ""},
		{TokenClassification{}, "NN O O O O", "", ""},
	} {
		var given []string
		if c.given != "" {
			given = strings.Split(c.given, ",")
		}
		s := set(words, strings.Fields(c.tags))
		s.Examples = s.Examples[1:]
		_, err := c.task.Labels(s, given)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v %s: got %v, want %q", c.task, c.tags, err, c.want)
		}
		var unclear *SchemeError
		if errors.As(err, &unclear) && !strings.Contains(unclear.Hint(), "--scheme") {
			t.Errorf("%s: %q names no flag", c.tags, unclear.Hint())
		}
	}
	if _, err := (&TokenClassification{}).Labels(nil, nil); err == nil {
		t.Error("no tags at all are accepted")
	}
	if err := Validate(&TokenClassification{Scheme: "bmes"}); err == nil || !strings.Contains(err.Error(), "--scheme") {
		t.Errorf("an unknown scheme: %v", err)
	}
}

// Integer tags are the classes' numbers.
func TestNumberedTags(t *testing.T) {
	_, e := taggedFixture(t)
	path := filepath.Join(t.TempDir(), "x.jsonl")
	if err := os.WriteFile(path, []byte(`{"tokens":["Anna","lives"],"ner_tags":[1,0]}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	task := &TokenClassification{}
	set, err := data.Read(path, data.Options{Schema: task.Schema()})
	if err != nil {
		t.Fatal(err)
	}
	labels, err := task.Labels(set, []string{"O", "B-PER"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := task.Encode(e, set, labels)
	if err != nil || fmt.Sprint(d.Targets[0].Ints[0][1]) != "1" {
		t.Errorf("%v, %v", d.Targets, err)
	}
}

func TestSameTags(t *testing.T) {
	task := &TokenClassification{}
	a := []float32{1, 2, 3, 0}
	if !task.Same(a, []float32{1, 9, 5, 0}, 2) || task.Same(a, []float32{1, 2, 0, 1}, 2) {
		t.Error("answers are the same if each token's tag is")
	}
}
