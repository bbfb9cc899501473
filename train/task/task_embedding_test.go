package task_test

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

	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

func encoder(t *testing.T) task.Encoder {
	t.Helper()
	tokenizer, err := data.LoadTokenizer(filepath.Join("..", "data", "testdata", "tokenizer", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	return task.Encoder{Tokenizer: tokenizer, MaxLength: 16}
}

// read reads text as a file of that name, with the columns of embeddings.
func read(t *testing.T, name, text string) (*data.Set, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return data.Read(path, data.Options{Schema: (&task.Embedding{}).Schema()})
}

// The columns decide what is learned from them, and what is chosen is said.
func TestEmbeddingChooses(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		settings   map[string]string
		want       task.Embedding
		said       int
	}{
		"scores":     {"a.tsv", "sentence1\tsentence2\tscore\na\tb\t0.5\nc\td\t4.8\n", nil, task.Embedding{Objective: task.CosineLoss, Range: task.ScoreRange{Highest: 5}}, 2},
		"scores 1–5": {"a.tsv", "sentence1\tsentence2\tscore\na\tb\t1\nc\td\t4.8\n", nil, task.Embedding{Objective: task.CosineLoss, Range: task.ScoreRange{Lowest: 1, Highest: 5}}, 2},
		"cosines":    {"a.tsv", "sentence1\tsentence2\tscore\na\tb\t-0.5\nc\td\t1\n", nil, task.Embedding{Objective: task.CosineLoss, Range: task.ScoreRange{Lowest: -1, Highest: 1}}, 2},
		"yes and no": {"a.csv", "question1,question2,label\na,b,0\nc,d,1\n", nil, task.Embedding{Objective: task.CosineLoss, Range: task.ScoreRange{Highest: 1}}, 2},
		"pairs":      {"a.csv", "anchor,positive\na,b\nc,d\n", nil, task.Embedding{Objective: task.RankingLoss}, 1},
		"retrieval":  {"a.jsonl", `{"query":"a","document":"b"}` + "\n", nil, task.Embedding{Objective: task.RankingLoss}, 1},
		"triplets":   {"a.jsonl", `{"anchor":"a","positive":"b","negative":"c"}` + "\n", nil, task.Embedding{Objective: task.RankingLoss, Negatives: true}, 2},
		"inference":  {"a.tsv", "premise\thypothesis\tlabel\na\tb\tentailment\nc\td\tneutral\n", nil, task.Embedding{Objective: task.RankingLoss}, 1},
		"as told": {"a.tsv", "sentence1\tsentence2\tscore\na\tb\t0.5\nc\td\t4.8\n", map[string]string{"loss": "cosent", "score-range": "0,10"},
			task.Embedding{Objective: task.CoSENTLoss, Range: task.ScoreRange{Highest: 10}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := read(t, c.file, c.text)
			if err != nil {
				t.Fatal(err)
			}
			of, err := task.ForInjection(embedding(t, c.settings), nil)
			if err != nil {
				t.Fatal(err)
			}
			said, err := task.Choose(&of, set)
			if err != nil {
				t.Fatal(err)
			}
			chosen, err := task.Of(of)
			if err != nil {
				t.Fatal(err)
			}
			got := chosen.(*task.Embedding)
			if got.Objective != c.want.Objective || got.Range != c.want.Range || got.Negatives != c.want.Negatives || len(said) != c.said {
				t.Errorf("chose %+v and said %q", got, said)
			}
			if again, err := task.Choose(&of, set); err != nil || len(again) != 0 {
				t.Errorf("what is settled was chosen again: %q, %v", again, err)
			}
		})
	}
}

// Settings survive the plan, the ones that are off too.
func TestEmbeddingSettingsInThePlan(t *testing.T) {
	want := embedding(t, map[string]string{"normalize": "false", "scale": "7", "loss": "triplet", "distance": "euclidean", "score-range": "-1,1", "positives": "same"})
	of, err := task.ForInjection(want, nil)
	if err != nil {
		t.Fatal(err)
	}
	if of.Normalize || of.Head() != "feature-extraction" {
		t.Errorf("injected as %+v", of)
	}
	if got, err := task.Of(of); err != nil || !reflect.DeepEqual(got, task.Task(want)) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestEmbeddingEncodes(t *testing.T) {
	e := encoder(t)
	encode := func(settings map[string]string, file, text string) *data.Dataset {
		t.Helper()
		set, err := read(t, file, text)
		if err != nil {
			t.Fatal(err)
		}
		d, err := embedding(t, settings).Encode(e, set, nil)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	triplets := `{"anchor":"low","positive":"lower","negative":"new"}` + "\n" + `{"anchor":"new","positive":"low","negative":["wide"]}` + "\n"
	d := encode(nil, "a.jsonl", triplets)
	if d.Group != 3 || len(d.Encodings) != 6 || d.Units() != 2 {
		t.Fatalf("triplets: %d encodings in groups of %d", len(d.Encodings), d.Group)
	}
	if ids := d.Target("texts").Ints; !reflect.DeepEqual(ids, [][]int64{{0, 1, 2}, {2, 0, 3}}) {
		t.Errorf("texts are %v", ids)
	}
	// The units' first texts are the batch's first rows.
	if b := d.Batch([]int{1, 0}); !slices.Equal(b.Indices, []int{3, 0, 4, 1, 5, 2}) || !slices.Equal(b.Targets["texts"].Dims, []int64{2, 3}) {
		t.Errorf("batch of %v with texts %v", b.Indices, b.Targets["texts"].Dims)
	}
	if d = encode(map[string]string{"loss": "cosine"}, "a.jsonl", triplets); d.Group != 2 {
		t.Errorf("a loss of two texts got groups of %d", d.Group)
	}
	scored := "sentence1\tsentence2\tscore\nlow\tnew\t1\nlow\twide\t4\nnew\twide\t5\n"
	d = encode(map[string]string{"loss": "cosine", "score-range": "0,5"}, "a.tsv", scored)
	if got := d.Target("score").Floats; !reflect.DeepEqual(got, [][]float32{{0.2}, {0.8}, {1}}) || d.Weights != nil {
		t.Errorf("scores %v, weights %v", got, d.Weights)
	}
	d = encode(map[string]string{"loss": "mnrl", "positives": "4"}, "a.tsv", scored)
	if !reflect.DeepEqual(d.Weights, [][]float32{{0}, {1}, {1}}) {
		t.Errorf("weights %v", d.Weights)
	}
	for epoch := range uint64(3) {
		if order := slices.Concat(d.TrainOrder(2, 1, epoch)...); len(order) != 2 || slices.Contains(order, 0) {
			t.Errorf("an epoch trains on the rows %v, and row 0 belongs to none", order)
		}
	}
	d = encode(nil, "a.tsv", "premise\thypothesis\tlabel\nlow\tnew\tentailment\nlow\twide\tneutral\n")
	if !reflect.DeepEqual(d.Weights, [][]float32{{1}, {0}}) {
		t.Errorf("weights %v", d.Weights)
	}
	if d = encode(nil, "a.txt", "low\nnew\n"); d.Group != 1 || len(d.Encodings) != 2 || d.Targets != nil {
		t.Errorf("texts: %d encodings in groups of %d, targets %v", len(d.Encodings), d.Group, d.Targets)
	}
	mixed := &data.Set{Path: "input", Examples: []data.Example{{Text: "low"}, {Text: "low", Pair: "new", HasPair: true}}}
	d, err := embedding(t, nil).Encode(e, mixed, nil)
	if err != nil || !reflect.DeepEqual(d.Windows(), [][]int{{0}, {1, 2}}) {
		t.Errorf("texts and pairs: %v, %v", d.Windows(), err)
	}
}

// Bad input gets one line with the file and the row.
func TestEmbeddingRefuses(t *testing.T) {
	e := encoder(t)
	for name, c := range map[string]struct {
		file, text string
		settings   map[string]string
		want       string
	}{
		"an empty positive":      {"a.tsv", "anchor\tpositive\nlow\tnew\nlow\t \n", nil, "a.tsv:3: the second text is empty"},
		"an empty anchor":        {"a.jsonl", `{"anchor":"","positive":"b"}` + "\n", nil, "a.jsonl:1: the first text is empty"},
		"an empty negative":      {"a.jsonl", `{"anchor":"a","positive":"b","negative":""}` + "\n", nil, "a.jsonl:1: the third text is empty"},
		"a missing negative":     {"a.jsonl", `{"anchor":"a","positive":"b","negative":"c"}` + "\n" + `{"anchor":"a","positive":"b"}` + "\n", map[string]string{"hard-negatives": "true"}, "a.jsonl:2: the row has no text"},
		"several negatives":      {"a.jsonl", `{"anchor":"a","positive":"b","negative":["c","d"]}` + "\n", nil, "a.jsonl:1: 2 texts that should not be found"},
		"a score that is a word": {"a.tsv", "sentence1\tsentence2\tscore\nlow\tnew\t1\nlow\tnew\tgood\n", map[string]string{"loss": "cosine"}, `a.tsv:3: the label "good"`},
		"a score out of range":   {"a.tsv", "sentence1\tsentence2\tscore\nlow\tnew\t1\nlow\tnew\t7\n", map[string]string{"loss": "cosine", "score-range": "0,5"}, "a.tsv:3: the score 7 is outside of --score-range 0,5"},
		"scores of any size":     {"a.tsv", "sentence1\tsentence2\tscore\nlow\tnew\t1\nlow\tnew\t700\n", map[string]string{"loss": "cosine"}, "scores from 1 to 700"},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := read(t, c.file, c.text)
			if err != nil {
				t.Fatal(err)
			}
			_, err = embedding(t, c.settings).Encode(e, set, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q in one line", err, c.want)
			}
		})
	}
	set, err := read(t, "a.txt", "low\nnew\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := embedding(t, nil).Choose(set); err == nil || !strings.Contains(err.Error(), "--pair-column") {
		t.Errorf("single texts to learn from: %v", err)
	}
	if set, err = read(t, "a.tsv", "sentence1\tsentence2\tscore\nlow\tnew\t1\nlow\tnew\t2\n"); err != nil {
		t.Fatal(err)
	}
	ranking := embedding(t, map[string]string{"loss": "mnrl"})
	if _, err := ranking.Choose(set); err == nil || !strings.Contains(err.Error(), "--positives 4") {
		t.Errorf("scores to rank by: %v", err)
	}
	if d, err := ranking.Encode(e, set, nil); err != nil || !reflect.DeepEqual(d.Weights, [][]float32{{0}, {0}}) || d.Target("score") == nil {
		t.Errorf("scores to be judged by: %v", err)
	}
	for _, c := range []struct{ flag, text string }{{"loss", "softmax"}, {"score-range", "5"}, {"score-range", "5,0"}, {"distance", "far"}, {"scale", "0"}, {"margin", "-1"}, {"scale", "NaN"}} {
		of, err := task.New("embedding")
		if err != nil {
			t.Fatal(err)
		}
		if _, err = task.Set(of, c.flag, c.text); err == nil {
			err = task.Validate(of)
		}
		if err == nil || !strings.Contains(err.Error(), "--"+c.flag) {
			t.Errorf("--%s %s: %v", c.flag, c.text, err)
		}
	}
	if _, err := embedding(t, nil).Labels(nil, []string{"a", "b"}); err == nil {
		t.Error("labels were taken")
	}
}

// results are vectors in the plane at these angles, in degrees.
func results(d *data.Dataset, degrees ...float64) *task.Results {
	r := &task.Results{Data: d}
	for i, a := range degrees {
		length := float64(i%3 + 1) // which cosines don't see
		r.Rows = append(r.Rows, []float32{float32(length * math.Cos(a*math.Pi/180)), float32(length * math.Sin(a*math.Pi/180))})
	}
	return r
}

func TestEmbeddingEvaluates(t *testing.T) {
	e := encoder(t)
	evaluate := func(settings map[string]string, file, text string, degrees ...float64) task.Scores {
		t.Helper()
		set, err := read(t, file, text)
		if err != nil {
			t.Fatal(err)
		}
		of := embedding(t, settings)
		d, err := of.Encode(e, set, nil)
		if err != nil {
			t.Fatal(err)
		}
		scores, err := of.Evaluate(results(d, degrees...))
		if err != nil {
			t.Fatal(err)
		}
		return scores
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if !(math.Abs(got-want) < 1e-6) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	// Cosines 1, 0.5 and 0 of scores 5, 1 and 2: one of three pairs of ranks is wrong.
	scored := "sentence1\tsentence2\tscore\na\tb\t5\nc\td\t1\ne\tf\t2\n"
	s := evaluate(map[string]string{"loss": "cosine"}, "a.tsv", scored, 10, 10, 0, 60, 0, 90)
	near("spearman", s["spearman"], 0.5)
	near("pearson", s["pearson"], 0.7205767)
	// A ranking run on a scored set is judged by the scores too.
	if of := embedding(t, map[string]string{"loss": "mnrl", "positives": "4"}); task.Decides(of, s) != "spearman" {
		t.Errorf("%s decides", task.Decides(of, s))
	}
	// "low" has two right documents, first and third; "new" finds its own second. Documents: b at 0°, c at 50°, d at 90°.
	s = evaluate(nil, "a.csv", "anchor,positive\nlow,b\nlow,d\nnew,c\n", 20, 0, 20, 90, 20, 50)
	near("mrr@10", s["mrr@10"], (1+0.5)/2)
	near("recall@1", s["recall@1"], 0.25)
	near("recall@5", s["recall@5"], 1)
	if of := embedding(t, nil); task.Decides(of, s) != "mrr@10" {
		t.Errorf("%s decides", task.Decides(of, s))
	}
	s = evaluate(nil, "a.csv", "anchor,positive,negative\na,b,c\nd,e,f\n", 0, 10, 50, 0, 50, 10)
	near("triplet_accuracy", s["triplet_accuracy"], 0.5)
	near("mrr@10", s["mrr@10"], (1+0.5)/2)

	d, err := embedding(t, nil).Encode(e, &data.Set{Examples: []data.Example{{Text: "low"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := embedding(t, nil).Evaluate(results(d, 1)); err == nil || !strings.Contains(err.Error(), "--pair-column") {
		t.Errorf("single texts were judged: %v", err)
	}
}

func TestEmbeddingAnswers(t *testing.T) {
	of := embedding(t, nil)
	r := results(&data.Dataset{}, 0, 60)
	one, err := json.Marshal(of.Answer(r, 0, []int{0}))
	if err != nil || string(one) != `{"embedding":[1,0]}` {
		t.Errorf("%s, %v", one, err)
	}
	if got := fmt.Sprint(of.Answer(r, 0, []int{0}).Lines()); got != "[[1.0000, 0.0000, … 2 numbers]]" {
		t.Error(got)
	}
	two := of.Answer(r, 0, []int{0, 1})
	if got := two.Lines(); !slices.Equal(got, []string{"0.5000"}) {
		t.Error(got)
	}
	if text, err := json.Marshal(two); err != nil || !strings.Contains(string(text), `"cosine":0.5`) || !strings.Contains(string(text), `"pair_embedding":[`) {
		t.Errorf("%s, %v", text, err)
	}
	if !of.Same([]float32{1}, []float32{2}, 1) {
		t.Error("two vectors are different answers")
	}
}
