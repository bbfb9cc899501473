package data

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/internal/graphtest"
)

func TestRead(t *testing.T) {
	pair := func(row int, label string) Example {
		return Example{Text: "a", Pair: "b", HasPair: true, Label: label, Row: row}
	}
	for _, c := range []struct {
		name, file, content string
		opt                 Options
		want                []Example
		columns             string
	}{
		{"tsv with header", "x.tsv", "sentence\tlabel\nit 's \"good\t1\nbad\t0\n", Options{},
			[]Example{{Text: `it 's "good`, Label: "1", Row: 2}, {Text: "bad", Label: "0", Row: 3}}, "text from sentence, label from label"},
		{"BOM, CRLF, no last line end", "x.tsv", "\ufeffsentence\tlabel\r\ngood\t1\r\nbad\t0", Options{},
			[]Example{{Text: "good", Label: "1", Row: 2}, {Text: "bad", Label: "0", Row: 3}}, "text from sentence, label from label"},
		{"blank lines keep the count", "x.tsv", "sentence\tlabel\n\ngood\t1\n", Options{},
			[]Example{{Text: "good", Label: "1", Row: 3}}, "text from sentence, label from label"},
		{"tsv pair", "x.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tno\n", Options{},
			[]Example{pair(2, "no")}, "text from sentence1, second text from sentence2, label from label"},
		{"pair not wanted", "x.tsv", "sentence1\tsentence2\tlabel\na\tb\tno\n", Options{PairColumn: "-"},
			[]Example{{Text: "a", Label: "no", Row: 2}}, "text from sentence1, label from label"},
		{"text named: no pair is guessed", "x.tsv", "sentence1\tsentence2\tlabel\na\tb\tno\n", Options{TextColumn: "sentence2"},
			[]Example{{Text: "b", Label: "no", Row: 2}}, "text from sentence2, label from label"},
		{"STS-B: score", "x.tsv", "sentence1\tsentence2\tscore\na\tb\t3.8\n", Options{},
			[]Example{pair(2, "3.8")}, "text from sentence1, second text from sentence2, label from score"},
		{"no labels wanted", "x.tsv", "index\tsentence\n0\thello\n", Options{NoLabel: true},
			[]Example{{Text: "hello", Row: 2}}, "text from sentence"},
		{"names in any case", "x.tsv", "Label\tSentence\n1\thello\n", Options{},
			[]Example{{Text: "hello", Label: "1", Row: 2}}, "text from Sentence, label from Label"},
		{"column by number under a header", "x.tsv", "foo\tlabel\nhello\t1\n", Options{TextColumn: "1"},
			[]Example{{Text: "hello", Label: "1", Row: 2}}, "text from foo, label from label"},
		{"no header, numbers", "x.tsv", "gj04\t1\t\tThe sailors\n", Options{TextColumn: "4", LabelColumn: "2"},
			[]Example{{Text: "The sailors", Label: "1", Row: 1}}, "text from column 4, label from column 2"},
		{"no header, two columns", "x.tsv", strings.Repeat("ham\tok\nham\tfine\nspam\tfree\n", 5), Options{},
			nil, "text from column 2, label from column 1"},
		{"a first row that looks like a header", "x.tsv", "text\tlabel\n", Options{NoHeader: true, TextColumn: "1", LabelColumn: "2"},
			[]Example{{Text: "text", Label: "label", Row: 1}}, "text from column 1, label from column 2"},
		{"csv quotes", "x.csv", "text,label\n\"a, \"\"b\"\"\nc\",pos\nd,neg\n", Options{},
			[]Example{{Text: "a, \"b\"\nc", Label: "pos", Row: 2}, {Text: "d", Label: "neg", Row: 4}}, "text from text, label from label"},
		{"csv without header, a pair", "x.csv", "\"3\",\"T\",\"D\"\n", Options{TextColumn: "2", PairColumn: "3", LabelColumn: "1"},
			[]Example{{Text: "T", Pair: "D", HasPair: true, Label: "3", Row: 1}}, "text from column 2, second text from column 3, label from column 1"},
		{"jsonl", "x.jsonl", "{\"text\": \"a\\u00e9\\n\", \"label\": 1}\n\n{\"label\": \"x\", \"text\": \"b\", \"more\": [1]}\n", Options{},
			[]Example{{Text: "aé\n", Label: "1", Row: 1}, {Text: "b", Label: "x", Row: 3}}, "text from text, label from label"},
		{"jsonl booleans and numbers", "x.ndjson", "{\"text\": 12.50, \"label\": true}\n", Options{},
			[]Example{{Text: "12.50", Label: "true", Row: 1}}, "text from text, label from label"},
		{"format by name", "x.data", "text,label\nd,neg\n", Options{Format: "csv"},
			[]Example{{Text: "d", Label: "neg", Row: 2}}, "text from text, label from label"},
		{"trec", "x.label", "NUM:dist How far is it ?\n", Options{},
			[]Example{{Text: "How far is it ?", Label: "NUM:dist", Row: 1}}, "text from text, label from label"},
		{"latin-1", "x.label", "LOC caf\xe9\n", Options{Latin1: true},
			[]Example{{Text: "café", Label: "LOC", Row: 1}}, "text from text, label from label"},
		{"text", "x.txt", "one\ttwo\r\n\nthree", Options{NoLabel: true},
			[]Example{{Text: "one\ttwo", Row: 1}, {Text: "three", Row: 3}}, "text from text"},
	} {
		set, err := Read(write(t, t.TempDir(), c.file, c.content), c.opt)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.want != nil && !reflect.DeepEqual(set.Examples, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, set.Examples, c.want)
		}
		if set.Columns() != c.columns {
			t.Errorf("%s: %q, want %q", c.name, set.Columns(), c.columns)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct {
		name, file, content string
		opt                 Options
		want                string
	}{
		{"empty", "x.tsv", "", Options{}, "x.tsv: the file is empty"},
		{"BOM only", "x.csv", "\ufeff", Options{}, "x.csv: the file is empty"},
		{"header only", "x.tsv", "sentence\tlabel\n", Options{}, "has a header (sentence, label) and no example"},
		{"missing column", "x.tsv", "sentence\tlabel\na\t1\n", Options{TextColumn: "txt"}, `text column "txt": no such column; the file has sentence, label`},
		{"no text column", "x.tsv", "foo\tlabel\na\t1\n", Options{}, "--text-column) of foo, label"},
		{"no label column", "x.tsv", "sentence\tfoo\na\t1\n", Options{}, "--label-column) of sentence, foo"},
		{"few fields", "x.tsv", "sentence\tlabel\na\t1\nb\n", Options{}, `x.tsv:3: 1 fields, so none for column "label"`},
		{"empty label", "x.tsv", "sentence\tlabel\na\t1\nb\t \n", Options{}, `x.tsv:3: the label in column "label" is empty`},
		{"invalid UTF-8", "x.tsv", "sentence\tlabel\na\t1\ncaf\xe9\t1\n", Options{}, `x.tsv:3: invalid UTF-8 after "caf"`},
		{"UTF-16", "x.tsv", "\xff\xfes\x00", Options{}, "UTF-16"},
		{"twice the same name", "x.csv", "text,text,label\na,b,1\n", Options{TextColumn: "text"}, "the header has it twice"},
		{"open quote", "x.csv", "text,label\n\"a,1\nb,2\n", Options{}, "x.csv:3: extraneous or missing"},
		{"bare quote", "x.csv", "text,label\na \"b\" c,1\n", Options{}, "x.csv:2: bare \" in non-quoted-field"},
		{"number out of range", "x.tsv", "a\tb\n", Options{TextColumn: "3", LabelColumn: "1"}, "a number from 1 to 2"},
		{"number zero", "x.tsv", "a\tb\n", Options{TextColumn: "0", LabelColumn: "1"}, "a number from 1 to 2"},
		{"three columns without header", "x.tsv", "a\tb\tc\n", Options{}, `row 1 has 1: "a", 2: "b", 3: "c"`},
		{"two columns, neither label-like", "x.tsv", "a\tb\nc\td\n", Options{}, "the file has no header"},
		{"not JSON", "x.jsonl", "{\"text\": \"a\", \"label\": 1}\nhello\n", Options{}, "x.jsonl:2: not a JSON object"},
		{"JSON null", "x.jsonl", "null\n", Options{}, "x.jsonl:1: not a JSON object"},
		{"JSON lacks a key", "x.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\"}\n", Options{}, `x.jsonl:2: no value for "label"`},
		{"JSON null label", "x.jsonl", "{\"text\": \"a\", \"label\": null}\n", Options{}, `x.jsonl:1: no value for "label"`},
		{"unknown format", "x.tsv", "a", Options{Format: "xls"}, `unknown format "xls"; known: ` + strings.Join(Formats(), ", ")},
		{"unknown extension", "x.xls", "a", Options{}, `extension ".xls"; say which it has (--format): one of ` + strings.Join(Formats(), ", ")},
		{"trec without a space", "x.label", "NUM\n", Options{}, "x.label:1: no space"},
	} {
		_, err := Read(write(t, t.TempDir(), c.file, c.content), c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "data: ") {
			t.Errorf("%s: %v\nwant %q", c.name, err, c.want)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "x.tsv"), Options{}); err == nil {
		t.Error("a missing file is accepted")
	}
}

// TestSharedSets reads the real data sets that lie beside the repository.
func TestSharedSets(t *testing.T) {
	dir := graphtest.Shared(t, "data", "")[0]
	for _, c := range []struct {
		file    string
		opt     Options
		n       int
		labels  string
		columns string
	}{
		{"SST-2/train.tsv", Options{}, 67349, "[0 1]", "text from sentence, label from label"},
		{"SST-2/dev.tsv", Options{}, 872, "[0 1]", "text from sentence, label from label"},
		{"SST-2/test.tsv", Options{NoLabel: true}, 1821, "", "text from sentence"},
		{"SST-2-labelled-test/train.tsv", Options{}, 6920, "[0 1]", "text from column 1, label from column 2"},
		{"SST-2-labelled-test/dev.tsv", Options{}, 872, "[0 1]", "text from column 1, label from column 2"},
		{"SST-2-labelled-test/test.tsv", Options{}, 1821, "[0 1]", "text from column 1, label from column 2"},
		{"CoLA/train.tsv", Options{TextColumn: "4", LabelColumn: "2"}, 8551, "[0 1]", "text from column 4, label from column 2"},
		{"CoLA/test.tsv", Options{NoLabel: true}, 1063, "", "text from sentence"},
		{"RTE/train.tsv", Options{}, 2490, "[entailment not_entailment]", "text from sentence1, second text from sentence2, label from label"},
		{"STS-B/train.tsv", Options{}, 5749, "scores", "text from sentence1, second text from sentence2, label from score"},
		{"STS-B/dev.tsv", Options{}, 1500, "scores", "text from sentence1, second text from sentence2, label from score"},
		{"AG-News/test.csv", Options{TextColumn: "2", PairColumn: "3", LabelColumn: "1"}, 7600, "[1 2 3 4]", "text from column 2, second text from column 3, label from column 1"},
		{"AG-News/alps_dev.tsv", Options{}, 10001, "[Business Sci/Tech Sports World]", "text from column 1, label from column 2"},
		{"SMS-spam/sms.tsv", Options{}, 5574, "[ham spam]", "text from column 2, label from column 1"},
		{"TREC/train_5500.label", Options{Latin1: true}, 5452, "", "text from text, label from label"},
		{"TREC/TREC.test.all", Options{Format: "trec"}, 500, "[0 1 2 3 4 5]", "text from text, label from label"},
	} {
		set, err := Read(filepath.Join(dir, c.file), c.opt)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if len(set.Examples) != c.n || set.Columns() != c.columns {
			t.Errorf("%s: %d examples, %s; want %d, %s", c.file, len(set.Examples), set.Columns(), c.n, c.columns)
		}
		switch c.labels {
		case "":
		case "scores":
			if _, err := set.Scores(); err != nil {
				t.Errorf("%s: %v", c.file, err)
			}
		default:
			l, err := InferLabels(set)
			if err != nil || fmt.Sprint(l.Names()) != c.labels {
				t.Errorf("%s: labels %v, %v; want %s", c.file, l, err, c.labels)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"sentence\tlabel\na\t1\n", "text,label\n\"a\nb\",1\n", "{\"text\":\"a\",\"label\":1}\n", "a\t1\nb\t1\n", "L a b\n", "\ufeff", "\"", "{}",
		`{"data":[{"paragraphs":[{"context":"a b","qas":[{"id":1,"question":"q","answers":[{"text":"a","answer_start":0}]},{"question":"q"}]}]}]}`} {
		for i := range Formats() {
			f.Add(s, uint16(i), "", "", "")
		}
	}
	f.Add("a,b,c\n", uint16(0), "1", "2,1", "3")
	f.Add("\x1f\x8b\x08", uint16(0), "", "", "")
	f.Add("text,x,y\na,1,0\n", uint16(0x10), "", "", "x,y")
	f.Add("{\"text\":\"a\",\"label\":[\"x\",1]}\n", uint16(0x10), "", "", "")
	f.Fuzz(func(t *testing.T, content string, which uint16, text, pair, label string) {
		names := Formats()
		opt := Options{
			Format:     names[int(which&0x0f)%len(names)],
			TextColumn: text, PairColumn: pair, LabelColumn: label,
			NoLabel: which&0x80 != 0, NoHeader: which&0x40 != 0, Latin1: which&0x20 != 0, Strict: which&0x100 != 0,
		}
		list := which&0x10 != 0
		if list {
			opt.Schema = &Schema{List: true}
		}
		set, err := ReadFrom(strings.NewReader(content), "x", opt)
		if err != nil {
			return
		}
		if len(set.Examples) == 0 || set.TextColumn == "" || (set.LabelColumn == "") != opt.NoLabel {
			t.Fatalf("%d examples, %q, options %+v", len(set.Examples), set.Columns(), opt)
		}
		if set.Skipped*badLimit > set.Skipped+len(set.Examples) || opt.Strict && set.Skipped > 0 {
			t.Fatalf("%d examples, %d bad rows, options %+v", len(set.Examples), set.Skipped, opt)
		}
		at := 0
		for _, ex := range set.Examples {
			if ex.Row <= at || (ex.Label == "") != (opt.NoLabel || list) || (ex.Labels == nil) == (list && !opt.NoLabel) {
				t.Fatalf("row %d after %d, label %q", ex.Row, at, ex.Label)
			}
			at = ex.Row
		}
	})
}
