package data

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// tagging is what a task with a tag for each word reads.
var tagging = &Schema{Texts: []TextNames{{"tokens", ""}, {"form", ""}, {"text", ""}}, Labels: []string{"tags", "upos"}, Words: true, List: true}

func TestReadCoNLL(t *testing.T) {
	const plain = "Anna B-PER\nlives O\n\nHe O\n"
	two := []Example{{Words: []string{"Anna", "lives"}, Labels: []string{"B-PER", "O"}, Row: 1}, {Words: []string{"He"}, Labels: []string{"O"}, Row: 4}}
	from := func(row int, ex ...Example) []Example {
		out := append([]Example(nil), ex...)
		out[0].Row, out[1].Row = row, row+3
		return out
	}
	for _, c := range []struct {
		name, file, content string
		opt                 Options
		want                []Example
		columns             string
	}{
		{"spaces", "x.conll", plain, Options{}, two, "text from tokens, label from tags"},
		{"tabs, CRLF, empty lines at the ends", "x.bio", "\r\n\r\n" + strings.NewReplacer(" ", "\t", "\n", "\r\n").Replace(plain) + "\r\n", Options{}, from(3, two...), "text from tokens, label from tags"},
		{"no last line end", "x.iob2", strings.TrimSuffix(plain, "\n"), Options{}, two, "text from tokens, label from tags"},
		{"documents", "x.iob", "-DOCSTART- -X- O O\n\nAnna NNP B-NP B-PER\nlives V B-VP O\n\nHe P B-NP O\n", Options{}, from(3, two...), "text from tokens, label from tags"},
		{"a document's start without columns", "x.conll", "-DOCSTART-\n\n" + plain, Options{}, from(3, two...), "text from tokens, label from tags"},
		{"columns by number", "x.conll", "B-PER 1 Anna\nO 2 lives\n\nO 1 He\n", Options{TextColumn: "3", LabelColumn: "1"}, two, "text from tags, label from tokens"},
		{"a column between", "x.conll", "Anna B-PER _\nlives O _\n\nHe O _\n", Options{LabelColumn: "2"}, two, "text from tokens, label from 2"},
		{"WikiANN", "train", "en:Anna\tB-PER\nen:lives\tO\n\nen:He\tO\n", Options{}, two, "text from tokens, label from tags"},
		{"a language of two parts", "x.conll", "zh-classical:Anna\tB-PER\nzh-classical:lives\tO\n\nzh-classical:He\tO\n", Options{}, two, "text from tokens, label from tags"},
		{"found out in .txt", "x.txt", plain, Options{}, two, "text from tokens, label from tags"},
		{"found out in .tsv", "x.tsv", strings.ReplaceAll(plain, " ", "\t"), Options{}, two, "text from tokens, label from tags"},
		{"one sentence", "x.txt", "Anna B-PER\nlives O\n", Options{}, two[:1], "text from tokens, label from tags"},
		{"one sentence with tabs", "x.tsv", "Anna\tNNP\nlives\tV\n", Options{},
			[]Example{{Words: []string{"Anna", "lives"}, Labels: []string{"NNP", "V"}, Row: 1}}, "text from tokens, label from tags"},
		{"by its name", "x.data", plain, Options{Format: "conll"}, two, "text from tokens, label from tags"},
		{"words alone", "x.conll", "Anna\nlives\n", Options{NoLabel: true}, []Example{{Words: []string{"Anna", "lives"}, Row: 1}}, "text from tokens"},
		{"# is a word", "x.conll", "Anna B-PER\n# O\n\n# O\n#1 O\n", Options{},
			[]Example{{Words: []string{"Anna", "#"}, Labels: []string{"B-PER", "O"}, Row: 1}, {Words: []string{"#", "#1"}, Labels: []string{"O", "O"}, Row: 4}}, "text from tokens, label from tags"},
		{"comments", "x.conll", "# a comment of several words\nAnna B-PER\nlives O\n\n# id 17\nHe O\n", Options{},
			[]Example{{Words: two[0].Words, Labels: two[0].Labels, Row: 2}, {Words: two[1].Words, Labels: two[1].Labels, Row: 6}}, "text from tokens, label from tags"},
		{"MultiCoNER", "x.conll", "# id 1\tdomain=en\nAnna _ _ B-PER\nlives _ _ O\n\n# id 2\tdomain=en\nHe _ _ O\n", Options{},
			[]Example{{Words: two[0].Words, Labels: two[0].Labels, Row: 2}, {Words: two[1].Words, Labels: two[1].Labels, Row: 6}}, "text from tokens, label from tags"},
		{"CoNLL-U", "x.conllu", "# text = vámonos\n" + ud("1-2", "vámonos", "_") + ud("1", "vamos", "VERB") + ud("2", "nos nos", "PRON") + ud("2.1", "x", "X") + "\n", Options{},
			[]Example{{Words: []string{"vamos", "nos nos"}, Labels: []string{"VERB", "PRON"}, Row: 3}}, "text from form, label from upos"},
		{"CoNLL-U, another column", "x.conllu", ud("1", "vamos", "VERB"), Options{LabelColumn: "xpos"},
			[]Example{{Words: []string{"vamos"}, Labels: []string{"VERB.x"}, Row: 1}}, "text from form, label from xpos"},
		{"a table of lists", "x.tsv", "tokens\ttags\nAnna lives\tB-PER O\nHe\tO\n", Options{},
			[]Example{{Words: two[0].Words, Labels: two[0].Labels, Row: 2}, {Words: two[1].Words, Labels: two[1].Labels, Row: 3}}, "text from tokens, label from tags"},
		{"lists in JSONL", "x.jsonl", `{"tokens":["Anna","lives"],"tags":[1,0]}` + "\n", Options{},
			[]Example{{Words: two[0].Words, Labels: []string{"1", "0"}, Row: 1}}, "text from tokens, label from tags"},
		{"texts of as many words", "x.txt", "Anna lives\nBob sleeps\n", Options{NoLabel: true},
			[]Example{{Words: two[0].Words, Row: 1}, {Words: []string{"Bob", "sleeps"}, Row: 2}}, "text from text"},
	} {
		c.opt.Schema = tagging
		set, err := Read(write(t, t.TempDir(), c.file, c.content), c.opt)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !reflect.DeepEqual(set.Examples, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, set.Examples, c.want)
		}
		if set.Columns() != c.columns {
			t.Errorf("%s: %q, want %q", c.name, set.Columns(), c.columns)
		}
	}
}

// ud is a line of CoNLL-U.
func ud(id, form, upos string) string {
	return strings.Join([]string{id, form, "_", upos, upos + ".x", "_", "0", "_", "_", "_"}, "\t") + "\n"
}

func TestReadRefusesCoNLL(t *testing.T) {
	for _, c := range []struct {
		name, file, content string
		schema              *Schema
		want                string
	}{
		{"a word without a tag", "x.conll", "Anna B-PER\nlives\n", tagging, "x.conll:2: 1 column where the first line of a word has 2"},
		{"more columns", "x.conll", "Anna B-PER\n\nlives O O\n", tagging, "x.conll:3: 3 columns where the first line"},
		{"an empty word", "x.conll", "Anna\tB-PER\nlives\tO\n\n\tO\n", tagging, "x.conll:4: word 1 of the sentence that starts here is empty"},
		{"no tags", "x.conll", "Anna\nlives\n", tagging, "--label-column) of tokens"},
		{"nothing but documents", "x.conll", "-DOCSTART- O\n\n", tagging, "the file is empty"},
		{"tags under a task of texts", "x.conll", "Anna B-PER\n", &Schema{Texts: []TextNames{{"tokens", ""}}, Labels: []string{"tags"}}, "for one a word token-classification"},
		{"an extension of no format", "x.data", "one\ntwo three\n", tagging, `no format is known by the extension ".data"`},
		{"lists in lists", "x.jsonl", `{"tokens":[["Anna"]],"tags":["O"]}` + "\n", tagging, `x.jsonl:1: column "tokens": [["Anna"]] is no JSON array of strings`},
	} {
		_, err := Read(write(t, t.TempDir(), c.file, c.content), Options{Schema: c.schema})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "data: ") {
			t.Errorf("%s: %v\nwant %q", c.name, err, c.want)
		}
	}
}

func TestSharedCoNLL(t *testing.T) {
	for file, want := range map[string]string{
		"data/WikiANN-en/train":        "20000 [B-LOC B-ORG B-PER I-LOC I-ORG I-PER O] [R.H. Saunders ( St. Lawrence River ) ( 968 MW )]",
		"cases/labels/sentences.conll": "2 [B-LOC B-ORG B-PER I-ORG O] [Anna lives in Oslo]",
	} {
		set, err := Read(filepath.Join(graphtest.Shared(t, filepath.Dir(file), "")[0], filepath.Base(file)), Options{Schema: tagging})
		if err != nil {
			t.Fatal(err)
		}
		names, err := InferListed(set)
		if got := fmt.Sprint(len(set.Examples), names, set.Examples[0].Words); err != nil || got != want {
			t.Errorf("%s: %s, want %s: %v", file, got, want, err)
		}
	}
}

// A text that is longer than the model takes loses no word, and each word is read where it has text around it.
func TestWordWindows(t *testing.T) {
	tok, err := LoadTokenizer(filepath.Join("testdata", "tokenizer", "vocab-uncased.txt"))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(strings.Repeat("the quick, unbelievable fox\u00a0! \u200b\u0007 ", 12))
	words = append(words, "\u0007")
	set := &Set{Examples: []Example{{Words: words}, {Words: []string{"the", "fox"}}, {Text: strings.Join(words, " ")}, {Text: ""}}}
	d, err := NewWordDataset(tok, set, 14)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := NewWordDataset(tok, set, 0)
	if err != nil || whole.Origin != nil || len(whole.Encodings) != 4 {
		t.Fatal(len(whole.Encodings), whole.Origin, err)
	}
	for example, windows := range d.Windows() {
		one := whole.FirstPieces([]int{example}, len(set.Examples[example].Words))
		all := d.FirstPieces(windows, len(set.Examples[example].Words))
		if len(one) != len(all) {
			t.Fatalf("example %d: %d words in windows, %d without", example, len(all), len(one))
		}
		extents := d.Extents(example, windows)
		if !reflect.DeepEqual(extents, whole.Extents(example, []int{example})) {
			t.Errorf("example %d: words lie elsewhere in windows", example)
		}
		for w := range all {
			if one[w].Encoding < 0 != (all[w].Encoding < 0) {
				t.Fatalf("example %d, word %d: %v in windows, %v without", example, w, all[w], one[w])
			}
			if all[w].Encoding < 0 {
				continue
			}
			a, b := d.Encodings[all[w].Encoding], whole.Encodings[one[w].Encoding]
			i, k := all[w].Token, one[w].Token
			if a.IDs[i] != b.IDs[k] || a.Offsets[i] != b.Offsets[k] || a.Words[i] != w {
				t.Errorf("example %d, word %d: another token in windows", example, w)
			}
			left, right := i-1, len(a.IDs)-2-i
			if inner := all[w].Encoding != windows[0] && all[w].Encoding != windows[len(windows)-1]; inner && min(left, right) == 0 {
				t.Errorf("example %d, word %d: read at the end of a window", example, w)
			}
		}
	}
	if text := d.Examples[1].Text; text != "the fox" || set.Examples[1].Text != "" {
		t.Errorf("text %q, the set's %q", text, set.Examples[1].Text)
	}
	if _, err := NewWordDataset(tok, set, 2); err == nil || !strings.Contains(err.Error(), "no room in 2 tokens") {
		t.Errorf("no room: %v", err)
	}
}

func FuzzReadCoNLL(f *testing.F) {
	for _, s := range []string{"Anna B-PER\nlives O\n\nHe O\n", "-DOCSTART- O\n\n# id 1\na O\n", "en:a\tO\n\n\t\n", ud("1-2", "a b", "X") + ud("1", "a", "X"), "tokens\ttags\na b\tO O\n", "#\n# O\n", "a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		looksLikeCoNLL(content, tagging)
		set, err := ReadFrom(strings.NewReader(content), "x", Options{Format: "conll", Schema: tagging})
		if err != nil {
			return
		}
		at := 0
		for _, ex := range set.Examples {
			if ex.Row <= at || len(ex.Words) == 0 || len(ex.Words) != len(ex.Labels) {
				t.Fatalf("row %d after %d, %d words and %d tags", ex.Row, at, len(ex.Words), len(ex.Labels))
			}
			at = ex.Row
		}
	})
}
