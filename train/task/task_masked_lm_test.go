package task_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// words is a vocabulary of whole words and of words in pieces.
var words = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "a", "mat", "un", "##believ", "##able", "play", "##ing", ".", "dog"}

func vocabulary(t *testing.T, tokens ...string) *data.Tokenizer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vocab.txt")
	if err := os.WriteFile(path, []byte(strings.Join(tokens, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := data.LoadTokenizer(path)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func maskedLM(t *testing.T, settings map[string]string) *task.MaskedLM {
	t.Helper()
	k, err := task.New("masked-lm")
	if err != nil {
		t.Fatal(err)
	}
	for flag, text := range settings {
		if ok, err := task.Set(k, flag, text); !ok || err != nil {
			t.Fatal(flag, ok, err)
		}
	}
	return k.(*task.MaskedLM)
}

// encoded is a set of texts, to learn from or to answer.
func encoded(t *testing.T, m *task.MaskedLM, learn bool, length int, texts ...string) *data.Dataset {
	t.Helper()
	set := &data.Set{Path: "texts", Learn: learn}
	for _, text := range texts {
		set.Examples = append(set.Examples, data.Example{Text: text})
	}
	d, err := m.Encode(task.Encoder{Tokenizer: vocabulary(t, words...), MaxLength: length}, set, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Over many draws 15 % of the tokens are to be guessed, of which 80 % are masked and 10 % stay (and 10 % of which are random,
// some of those by chance the same); whole words go together, special tokens never do.
func TestMasking(t *testing.T) {
	long := strings.Repeat("the cat sat on a mat. unbelievable playing dog ", 5)
	for _, whole := range []bool{true, false} {
		t.Run(fmt.Sprint("whole words ", whole), func(t *testing.T) {
			m := maskedLM(t, map[string]string{"whole-word": fmt.Sprint(whole)})
			d := encoded(t, m, true, 128, long)
			e := d.Encodings[0]
			ordinary, chosen, masked, stayed, apart := len(e.IDs)-2, 0, 0, 0, 0
			const draws = 2000
			for n := range draws {
				b := d.Draw([]int{0}, 7, uint64(n))
				in := map[int]bool{}
				for _, at := range b.Chosen[0] {
					in[at] = true
					switch {
					case at == 0 || at == len(e.IDs)-1:
						t.Fatal("a special token was chosen")
					case b.InputIDs[at] == 4:
						masked++
					case b.InputIDs[at] == e.IDs[at]:
						stayed++
					}
				}
				for at, id := range b.InputIDs {
					if id != e.IDs[at] && !in[at] {
						t.Fatalf("token %d was changed and isn't to be guessed", at)
					}
					if at > 0 && e.Words[at] >= 0 && e.Words[at] == e.Words[at-1] && in[at] != in[at-1] {
						apart++
					}
				}
				chosen += len(in)
			}
			near := func(what string, got, want, tolerance float64) {
				if math.Abs(got-want) > tolerance {
					t.Errorf("%s: %.4f, want %.4f", what, got, want)
				}
			}
			near("chosen", float64(chosen)/float64(draws*ordinary), 0.15, 0.012)
			near("masked", float64(masked)/float64(chosen), 0.8+0.1/float64(len(words)), 0.012)
			near("stayed", float64(stayed)/float64(chosen), 0.1+0.1/float64(len(words)), 0.012)
			if (apart == 0) != whole {
				t.Errorf("words were parted %d times", apart)
			}
		})
	}
}

// A draw depends on seed and batch only; judging always sees the same masks; each epoch sees others.
func TestMasksAreFixedForJudging(t *testing.T) {
	d := encoded(t, maskedLM(t, nil), true, 32, "the cat sat on a mat.", "the dog sat on the cat.")
	same := func(a, b *data.Batch) bool {
		return slices.Equal(a.InputIDs, b.InputIDs) && fmt.Sprint(a.Chosen) == fmt.Sprint(b.Chosen)
	}
	if !same(d.Batch([]int{0, 1}), d.Batch([]int{0, 1})) || !same(d.Draw([]int{1}, 3, 9), d.Draw([]int{1}, 3, 9)) {
		t.Error("equal draws differ")
	}
	if fmt.Sprint(d.Batch([]int{1, 0}).Chosen) != fmt.Sprint([][]int{d.Chosen(1), d.Chosen(0)}) {
		t.Error("what a unit is judged by depends on its batch")
	}
	others := 0
	for n := range uint64(10) {
		if !same(d.Draw([]int{0, 1}, 3, n), d.Draw([]int{0, 1}, 3, n+1)) {
			others++
		}
	}
	if others < 8 {
		t.Errorf("only %d of 10 batches differ", others)
	}
}

// One word at least is guessed, and the masks that a text to learn from has already aren't.
func TestMaskingOfShortTexts(t *testing.T) {
	d := encoded(t, maskedLM(t, nil), true, 32, "unbelievable", "[MASK] cat", "")
	for n := range uint64(20) {
		b := d.Draw([]int{0, 1, 2}, 1, n)
		if got := fmt.Sprint(b.Chosen); got != "[[1 2 3] [2] []]" {
			t.Fatalf("chosen %s", got)
		}
		if b.Weight != 4 || b.Weights.Dims[0] != 4 || b.Targets["token"].Dims[0] != 4 {
			t.Fatalf("weight %v of %v, targets %v", b.Weight, b.Weights.Dims, b.Targets["token"].Dims)
		}
	}
}

// Packing puts the texts behind each other, special tokens included, and cuts blocks as Hugging Face's run_mlm.py does; without
// it long texts are cut off, which is counted.
func TestPacking(t *testing.T) {
	texts := []string{"the cat sat on a mat", "playing", "a dog"}
	d := encoded(t, maskedLM(t, map[string]string{"pack": "true"}), true, 6, texts...)
	var blocks []string
	for _, e := range d.Encodings {
		blocks = append(blocks, fmt.Sprint(e.IDs, e.Words))
	}
	want := []string{
		"[2 5 6 7 8 9] [-1 0 1 2 3 4]", "[10 3 2 14 15 3] [5 -1 -1 6 6 -1]", "[2 9 17 3] [-1 7 8 -1]",
	}
	if !slices.Equal(blocks, want) || d.Truncated != 0 {
		t.Errorf("%q, want %q", blocks, want)
	}
	if d := encoded(t, maskedLM(t, nil), true, 6, texts...); d.Truncated != 1 || len(d.Encodings) != 3 {
		t.Errorf("%d texts, %d of them cut", len(d.Encodings), d.Truncated)
	}
}

// Perplexity is exp of the mean negative log-likelihood over the tokens, not over the texts.
func TestMaskedLMIsJudged(t *testing.T) {
	m := maskedLM(t, nil)
	d := encoded(t, m, true, 32, "the cat sat on a mat. the cat sat on a mat. the cat", "a dog")
	r := &task.Results{Data: d, Width: len(words)}
	want, hits, n := 0.0, 0, 0
	for i := range d.Encodings {
		var out []float32
		for _, at := range d.Chosen(i) {
			logits := make([]float32, len(words))
			logits[d.Encodings[i].IDs[at]] = float32(n) - 1 // the first is wrong, the second a tie with others
			sum := 0.0
			for _, x := range logits {
				sum += math.Exp(float64(x))
			}
			want += math.Log(sum) - float64(n-1)
			if n > 1 {
				hits++
			}
			n++
			out = append(out, logits...)
		}
		r.Rows = append(r.Rows, m.Reduce(d, i, out, len(words)))
	}
	scores, err := m.Evaluate(r)
	if err != nil {
		t.Fatal(err)
	}
	if n < 3 || math.Abs(scores["perplexity"]-math.Exp(want/float64(n))) > 1e-5 || scores["accuracy"] != float64(hits)/float64(n) {
		t.Errorf("%v, want perplexity %v and %d hits of %d", scores, math.Exp(want/float64(n)), hits, n)
	}
	if !task.Better(m, "perplexity", 3, 4) || !task.Better(m, "accuracy", 0.4, 0.3) {
		t.Error("which value is better")
	}
	empty := encoded(t, m, true, 32, "")
	if _, err := m.Evaluate(&task.Results{Data: empty, Rows: [][]float32{nil}, Width: len(words)}); err == nil || !strings.Contains(err.Error(), "no word to be guessed") {
		t.Error(err)
	}
}

// Answers are the masks' best tokens; a piece that goes on with a word is written behind it.
func TestFillingIn(t *testing.T) {
	m := maskedLM(t, map[string]string{"top-k": "2"})
	d := encoded(t, m, false, 32, "Thé cat [MASK] on a [MASK].", "play [MASK] [MASK]", "no mask")
	if d.Vary != nil || d.Targets != nil {
		t.Error("a set to answer varies")
	}
	likely := map[int][]string{0: {"sat", "mat"}, 1: {"##ing", "dog"}}
	r := &task.Results{Data: d, Width: len(words)}
	for i := range d.Encodings {
		var out []float32
		for _, word := range likely[i] {
			logits := make([]float32, len(words))
			logits[slices.Index(words, word)] = 3
			logits[5] = 2
			out = append(out, logits...)
		}
		r.Rows = append(r.Rows, m.Reduce(d, i, out, len(words)))
	}
	for i, want := range []string{"Thé cat sat on a mat.", "playing dog", "no mask"} {
		a := m.Answer(r, i, []int{i}).(task.FillAnswer)
		if a.Filled != want || len(a.Masks) != len(likely[i]) {
			t.Errorf("%q with %d masks, want %q", a.Filled, len(a.Masks), want)
		}
	}
	first := m.Answer(r, 0, []int{0}).(task.FillAnswer)
	p := math.Exp(3) / (math.Exp(3) + math.Exp(2) + float64(len(words)-2))
	if f := first.Masks[0]; f.Start != 8 || f.End != 14 || len(f.Tokens) != 2 || f.Tokens[0].Token != "sat" || f.Tokens[1].Token != "the" || math.Abs(f.Tokens[0].Probability-p) > 1e-6 {
		t.Errorf("%+v, probability %v", f, p)
	}
	if lines := first.Lines(); len(lines) != 3 || lines[2] != "Thé cat sat on a mat." {
		t.Errorf("%q", lines)
	}
	if lines := m.Answer(r, 2, []int{2}).Lines(); len(lines) != 1 || lines[0] != "(no [MASK] in the text)" {
		t.Errorf("%q", lines)
	}
}

func TestMaskedLMRefuses(t *testing.T) {
	m := maskedLM(t, nil)
	if _, err := m.Labels(nil, []string{"a", "b"}); err == nil || err.Error() != "task: --labels: a masked-lm task has no classes" {
		t.Error(err)
	}
	for flag, c := range map[string]struct{ text, says string }{
		"mask-probability": {"1", "task: --mask-probability 1: must be above 0 and below 1"},
		"top-k":            {"0", "task: --top-k 0: must be from 1 to 1000"},
	} {
		if err := task.Validate(maskedLM(t, map[string]string{flag: c.text})); err == nil || err.Error() != c.says {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	const maskless = `{"added_tokens":[],"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"lowercase":true},
		"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"BertProcessing","sep":["[SEP]",2],"cls":["[CLS]",1]},
		"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"cat":3}}}`
	if err := os.WriteFile(path, []byte(maskless), 0o644); err != nil {
		t.Fatal(err)
	}
	tokenizer, err := data.LoadTokenizer(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Encode(task.Encoder{Tokenizer: tokenizer, MaxLength: 8}, &data.Set{}, nil)
	if err == nil || !strings.Contains(err.Error(), path+": the tokenizer has neither [MASK] nor <mask>") {
		t.Error(err)
	}
}

// The bias starts at the logarithm of how often a token occurs.
func TestMaskedLMStarts(t *testing.T) {
	d := encoded(t, maskedLM(t, nil), true, 32, "the cat", "the dog")
	got := maskedLM(t, nil).Start(d, nil)
	if len(got) != 18 || got[5] != float32(math.Log(3)) || got[6] != float32(math.Log(2)) || got[7] != 0 {
		t.Errorf("%v", got)
	}
}

// A label column is no matter to it, nor are rows without one.
func TestMaskedLMReadsTextsAlone(t *testing.T) {
	for name, content := range map[string]string{
		"labelled.csv":   "label,text\n,the cat\nx,the dog\n",
		"unlabelled.tsv": "sentence\nthe cat\nthe dog\n",
		"one.tsv":        "the cat\nthe dog\n",
		"lines.txt":      "the cat\nthe dog\n",
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		set, err := data.Read(path, data.Options{Schema: maskedLM(t, nil).Schema()})
		if err != nil {
			t.Error(err)
			continue
		}
		if len(set.Examples) != 2 || set.Examples[1].Text != "the dog" || set.LabelColumn != "" || !set.Learn {
			t.Errorf("%s: %+v", name, set)
		}
	}
	path := filepath.Join(t.TempDir(), "two.tsv")
	if err := os.WriteFile(path, []byte("the cat\tx\nthe dog\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	set, err := data.Read(path, data.Options{TextColumn: "2", NoHeader: true, Schema: maskedLM(t, nil).Schema()})
	if err == nil || !strings.Contains(err.Error(), path+":2: ") {
		t.Errorf("%v, %v: want the file and the row", set, err)
	}
}
