package task

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/train/data"
)

// Files that are easily taken for something else: what each task makes of them.
const (
	floatScores = "text_a,text_b,score\na man sleeps,a man is asleep,4.75\na dog runs,a cat sits,0.2\na boy plays,a boy is playing,4.5\n" +
		"rain falls,the sun shines,0.6\na car stops,a car halts,4.9\n"
	labelLists = `{"text":"good and cheap","label":["praise","price"]}
{"text":"late again","label":["delivery"]}
{"text":"dear but fast","label":["price","delivery"]}
`
	countedFrom1 = "peace talks begin\t1\nteam wins the cup\t2\nshares fall\t3\nleaders meet\t1\n"
	sentences    = "Anna B-PER\nlives O\nin O\nOslo B-LOC\n\nHe O\nworks O\nat O\nAcme B-ORG\nLtd I-ORG\n"
	breaks       = "label,text\npos,\"one, two, three\"\nneg,\"he said \"\"no\"\"\"\npos,plain\nneg,\"two\nlines\"\n"
	bareQuotes   = "text\tlabel\n\"the first line begins with a quote\tpos\nan inch is 1\" long\tneg\n\"both\" ends \"quoted\"\tpos\n" +
		"\"a whole quoted text\"\tneg\nplain\tpos\nplain two\tneg\n"
)

// taken is what a task makes of a file: its labels and its targets.
func taken(t *testing.T, k Task, name, content string, opt data.Options, given []string) ([]string, *data.Dataset, error) {
	t.Helper()
	set, err := read(t, k, name, content, opt)
	if err != nil {
		return nil, nil, err
	}
	labels, err := k.Labels(set, given)
	if err != nil {
		return nil, nil, err
	}
	d, err := k.Encode(vocabulary(t), set, labels)
	return labels, d, err
}

func TestFilesUnderTheRightTask(t *testing.T) {
	one := 1
	news := []string{"World", "Sports", "Business", "Sci/Tech"}
	for _, c := range []struct {
		name, content string
		task          Task
		opt           data.Options
		given, labels []string
		ints          []int64
		floats        [][]float32
	}{
		{"scores.csv", floatScores, &Regression{}, data.Options{}, nil, nil, nil, [][]float32{{4.75}, {0.2}, {4.5}, {0.6}, {4.9}}},
		{"lists.jsonl", labelLists, &MultiLabel{}, data.Options{}, nil, []string{"delivery", "praise", "price"}, nil, [][]float32{{0, 1, 1}, {1, 0, 0}, {1, 0, 1}}},
		{"news.tsv", countedFrom1, &Classification{}, data.Options{TextColumn: "1", LabelColumn: "2", LabelBase: &one}, news, news, []int64{0, 1, 2, 0}, nil},
		{"news.tsv", countedFrom1, &Classification{}, data.Options{TextColumn: "1", LabelColumn: "2"}, nil, []string{"1", "2", "3"}, []int64{0, 1, 2, 0}, nil},
		{"breaks.csv", breaks, &Classification{}, data.Options{}, nil, []string{"neg", "pos"}, []int64{1, 0, 1, 0}, nil},
		{"quotes.tsv", bareQuotes, &Classification{}, data.Options{}, nil, []string{"neg", "pos"}, []int64{1, 0, 1, 0, 1, 0}, nil},
	} {
		labels, d, err := taken(t, c.task, c.name, c.content, c.opt, c.given)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var ints []int64
		for _, v := range d.Targets[0].Ints {
			ints = append(ints, v...)
		}
		if !slices.Equal(labels, c.labels) || !slices.Equal(ints, c.ints) || !reflect.DeepEqual(d.Targets[0].Floats, c.floats) {
			t.Errorf("%s: %q, %v, %v", c.name, labels, ints, d.Targets[0].Floats)
		}
	}
	set, err := read(t, &Classification{}, "breaks.csv", breaks, data.Options{})
	if err != nil || len(set.Examples) != 4 || set.Examples[3].Text != "two\nlines" || set.Examples[1].Text != `he said "no"` {
		t.Errorf("%+v, %v", set, err)
	}
	set, err = read(t, &Classification{}, "quotes.tsv", bareQuotes, data.Options{})
	if err != nil || len(set.Examples) != 6 || set.Examples[0].Text != `"the first line begins with a quote` {
		t.Errorf("%+v, %v", set, err)
	}
}

// Under another task each is refused, with what to say instead.
func TestFilesUnderTheWrongTask(t *testing.T) {
	for _, c := range []struct {
		name, content string
		task          Task
		opt           data.Options
		given         []string
		want, hint    string
	}{
		{"scores.csv", floatScores, &Classification{}, data.Options{}, nil, "5 different numbers such as 0.2, which are scores rather than classes", "--task regression"},
		{"scores.csv", floatScores, &MultiLabel{}, data.Options{}, nil, "5 different numbers such as 0.2, which are scores rather than classes", "--task regression"},
		{"lists.jsonl", labelLists, &Classification{}, data.Options{}, nil, `lists.jsonl:1: the label in column "label" is a list, ["praise","price"]; for several labels a text the task is multi-label`, ""},
		{"lists.jsonl", labelLists, &Regression{}, data.Options{}, nil, "lists.jsonl:1: the label", ""},
		{"news.tsv", countedFrom1, &Classification{}, data.Options{TextColumn: "1", LabelColumn: "2"}, []string{"World", "Sports", "Business", "Sci/Tech"},
			"nothing says whether they count from 0 or from 1", "--label-base 1 makes 1"},
		{"words.tsv", sentences, &Classification{}, data.Options{LabelColumn: "2"}, nil, "a column is a number from 1 to 1", ""},
		{"words.tsv", strings.ReplaceAll(sentences, " ", "\t"), &Classification{}, data.Options{LabelColumn: "2"}, nil, `tags of single words such as "B-LOC"`, "--task token-classification --format conll"},
		{"words.tsv", strings.ReplaceAll(sentences, " ", "\t"), &MultiLabel{}, data.Options{LabelColumn: "2"}, nil, "tags of single words", "--task token-classification"},
		{"words.tsv", strings.ReplaceAll(sentences, " ", "\t"), &Regression{}, data.Options{LabelColumn: "2"}, nil, `words.tsv:1: the label "B-PER" is no finite number`, ""},
		{"breaks.tsv", breaks, &Classification{}, data.Options{}, nil, "the file has no header", ""},
		{"missing.csv", "text,score\na,1.5\nb,NaN\n", &Regression{}, data.Options{}, nil, `missing.csv:3: the label "NaN" is no finite number`, ""},
		{"dev.csv", "text,label\na,x\nb,z\n", &Classification{}, data.Options{}, []string{"x", "y"}, `dev.csv:3: unknown label "z"; known: x, y`, "correct the row"},
	} {
		_, _, err := taken(t, c.task, c.name, c.content, c.opt, c.given)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
			continue
		}
		var hinted interface{ Hint() string }
		if errors.As(err, &hinted) != (c.hint != "") || c.hint != "" && !strings.HasPrefix(hinted.Hint(), c.hint) {
			t.Errorf("%s: the hint isn't %q: %v", c.name, c.hint, hinted)
		}
	}
}

// A regression's bias starts at the mean.
func TestRegressionStart(t *testing.T) {
	_, d, err := taken(t, &Regression{}, "scores.csv", floatScores, data.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := (&Regression{}).Start(d, nil); len(got) != 1 || math.Abs(float64(got[0])-2.99) > 1e-6 {
		t.Errorf("starts at %v, want 2.99", got)
	}
}
