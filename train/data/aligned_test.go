package data

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// hfRow is an encoding as Hugging Face gives it.
type hfRow struct {
	ids, types []int64
	offsets    []int // flat
	words      []int
	sequence   []int8
}

func (r *hfRow) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(raw, &[]any{&r.ids, &r.types, &r.offsets, &r.words, &r.sequence})
}

// differs says in which list e isn't r; "" if in none.
func (r *hfRow) differs(e Encoding) string {
	var offsets []int
	for _, o := range e.Offsets {
		offsets = append(offsets, o[0], o[1])
	}
	switch {
	case !slices.Equal(e.IDs, r.ids):
		return fmt.Sprintf("ids are %v, want %v", e.IDs, r.ids)
	case !slices.Equal(e.TypeIDs, r.types):
		return fmt.Sprintf("type ids are %v, want %v", e.TypeIDs, r.types)
	case !slices.Equal(offsets, r.offsets):
		return fmt.Sprintf("offsets are %v, want %v", offsets, r.offsets)
	case !slices.Equal(e.Words, r.words):
		return fmt.Sprintf("words are %v, want %v", e.Words, r.words)
	case !slices.Equal(e.Sequence, r.sequence):
		return fmt.Sprintf("sequences are %v, want %v", e.Sequence, r.sequence)
	}
	return ""
}

// hfPair is a row of the fixture for the texts a and b, b < 0 for none, cut to limit.
type hfPair struct {
	a, b, limit int
	row         hfRow
}

func (p *hfPair) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(raw, &[]any{&p.a, &p.b, &p.limit, &p.row})
}

// hfWindows are the rows of the windows of the texts a and b, nil where Hugging Face
// refuses.
type hfWindows struct {
	a, b, limit, stride int
	rows                []hfRow
}

func (w *hfWindows) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(raw, &[]any{&w.a, &w.b, &w.limit, &w.stride, &w.rows})
}

type alignedFixture struct {
	Tokenizer map[string]any
	Texts     []string
	Given     [][]string
	Cases     []struct {
		Normalizer   map[string]any
		Texts        []hfRow
		Pairs, Words []hfPair
		Windows      []hfWindows
	}
}

func readAligned(t testing.TB) (*alignedFixture, []*Tokenizer) {
	t.Helper()
	raw, err := os.ReadFile("testdata/aligned/fixture.json")
	if err != nil {
		t.Fatal(err)
	}
	f := new(alignedFixture)
	if err := json.Unmarshal(raw, f); err != nil {
		t.Fatal(err)
	}
	var toks []*Tokenizer
	for _, c := range f.Cases {
		f.Tokenizer["normalizer"] = c.Normalizer
		raw, err := json.Marshal(f.Tokenizer)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := LoadTokenizer(write(t, t.TempDir(), "tokenizer.json", string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		toks = append(toks, tok)
	}
	return f, toks
}

func TestAlignedEqualsHuggingFace(t *testing.T) {
	f, toks := readAligned(t)
	for k, c := range f.Cases {
		tok := toks[k]
		if len(c.Texts) != len(f.Texts) || len(c.Pairs) == 0 || len(c.Words) == 0 || k == 0 && len(c.Windows) == 0 {
			t.Fatalf("case %d lacks rows", k)
		}
		for i, text := range f.Texts {
			e := tok.EncodeAligned(text, "", false, 0)
			if d := c.Texts[i].differs(e); d != "" {
				t.Errorf("%v: %q: %s", c.Normalizer, text, d)
			}
			if plain := tok.Encode(text, "", false, 0); !slices.Equal(plain.IDs, e.IDs) || plain.Offsets != nil || plain.Words != nil || plain.Sequence != nil {
				t.Errorf("%q: Encode gives %+v, EncodeAligned %+v", text, plain, e)
			}
		}
		for _, p := range c.Pairs {
			if d := p.row.differs(tok.EncodeAligned(f.Texts[p.a], f.Texts[p.b], true, p.limit)); d != "" {
				t.Errorf("%v: texts %d, %d at length %d: %s", c.Normalizer, p.a, p.b, p.limit, d)
			}
		}
		for _, p := range c.Words {
			var pair []string
			if p.b >= 0 {
				pair = f.Given[p.b]
			}
			if d := p.row.differs(tok.EncodeWords(f.Given[p.a], pair, p.b >= 0, p.limit)); d != "" {
				t.Errorf("%v: words %d, %d at length %d: %s", c.Normalizer, p.a, p.b, p.limit, d)
			}
		}
		for _, p := range c.Windows {
			pair := ""
			if p.b >= 0 {
				pair = f.Texts[p.b]
			}
			got, err := tok.EncodeWindows(f.Texts[p.a], pair, p.b >= 0, p.limit, p.stride)
			checkWindows(t, fmt.Sprintf("texts %d, %d in windows of %d, overlap %d", p.a, p.b, p.limit, p.stride), p.rows, got, err)
		}
	}
}

func checkWindows(t *testing.T, what string, want []hfRow, got []Encoding, err error) {
	t.Helper()
	if (err != nil) != (want == nil) || len(got) != len(want) {
		t.Errorf("%s: %d windows, want %d; error %v", what, len(got), len(want), err)
		return
	}
	for i := range got {
		if d := want[i].differs(got[i]); d != "" || got[i].Truncated {
			t.Errorf("%s: window %d: %s; truncated %v", what, i, d, got[i].Truncated)
		}
	}
}

func TestEncodeWindowsRefuses(t *testing.T) {
	tok := load(t, "tokenizer.json")
	for _, c := range []struct {
		text, pair     string
		hasPair        bool
		maxLen, stride int
		want           string
	}{
		{"a b c d e f", "a b", true, 8, 0, "the 6 tokens of the first text (the question) leave no room in 8 tokens"},
		{"a b", "a b c d e f", true, 8, 3, "windows of 8 tokens have room for 3 beside special tokens and the 2 tokens of the first text"},
		{"a b c", "", false, 2, 0, "special tokens leave no room in 2 tokens"},
		{"a b c", "", false, 4, 2, "room for 2 beside special tokens, no more than the 2"},
		{"a", "", false, 4, -1, "overlap by -1"},
	} {
		_, err := tok.EncodeWindows(c.text, c.pair, c.hasPair, c.maxLen, c.stride)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v", c, err)
		}
	}
	if got, err := tok.EncodeWindows("a b c", "d e", true, 0, 9); err != nil || len(got) != 1 || got[0].Truncated {
		t.Errorf("no limit: %v, %v", got, err)
	}
}

func TestWordStarts(t *testing.T) {
	words := []string{"né", "", "日本", "x"}
	joined := []rune(strings.Join(words, " "))
	for i, start := range WordStarts(words) {
		if got := string(joined[start : start+utf8.RuneCountInString(words[i])]); got != words[i] {
			t.Errorf("word %d: %q at %d", i, got, start)
		}
	}
}

// TestCompareAligned compares with what make_aligned_fixture.py --compare wrote for a
// corpus that is too large to commit.
func TestCompareAligned(t *testing.T) {
	file := os.Getenv("PEFTGRAPH_TOKENIZER_ALIGNED")
	if file == "" {
		t.Skip("SKIPPED: PEFTGRAPH_TOKENIZER_ALIGNED names no file; TestAlignedEqualsHuggingFace checks the same on the repository's texts")
	}
	tok, err := LoadTokenizer(os.Getenv("PEFTGRAPH_TOKENIZER"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 1<<28)
	n, bad := 0, 0
	for ; sc.Scan(); n++ {
		var text string
		var alone, words hfRow
		var windows []hfRow
		if err := json.Unmarshal(sc.Bytes(), &[]any{&text, &alone, &words, &windows}); err != nil {
			t.Fatal(err)
		}
		if d := compareLine(tok, text, alone, words, windows); d != "" {
			if bad++; bad <= 5 {
				t.Errorf("%q: %s", text, d)
			}
		}
	}
	t.Logf("%s: %d of %d lines differ", tok.Note(), bad, n)
	if err := sc.Err(); err != nil || bad > 0 || n == 0 {
		t.Errorf("%d of %d lines differ; %v", bad, n, err)
	}
}

func compareLine(tok *Tokenizer, text string, alone, words hfRow, windows []hfRow) string {
	if d := alone.differs(tok.EncodeAligned(text, "", false, 0)); d != "" {
		return d
	}
	if d := words.differs(tok.EncodeWords(strings.Split(text, " "), nil, false, 0)); d != "" {
		return "as words: " + d
	}
	got, err := tok.EncodeWindows("who is it?", text, true, 24, 7)
	if err != nil || len(got) != len(windows) {
		return fmt.Sprintf("%d windows, want %d; error %v", len(got), len(windows), err)
	}
	for i := range got {
		if d := windows[i].differs(got[i]); d != "" {
			return fmt.Sprintf("window %d: %s", i, d)
		}
	}
	return ""
}

func FuzzEncodeAligned(f *testing.F) {
	fixture, toks := readAligned(f)
	for i, text := range fixture.Texts {
		f.Add(text, fixture.Texts[len(fixture.Texts)-1-i], 16, 3)
	}
	f.Add("\xff\xfe e\xcc\x81\xcc", "\xc3", 0, 0)
	f.Fuzz(func(t *testing.T, text, pair string, maxLen, stride int) {
		texts := []string{text, pair}
		for _, tok := range toks {
			e := tok.EncodeAligned(text, pair, true, maxLen)
			if plain := tok.Encode(text, pair, true, maxLen); !slices.Equal(e.IDs, plain.IDs) {
				t.Fatalf("%v, plain %v", e.IDs, plain.IDs)
			}
			checkAligned(t, e, false, func(i int) string { return texts[e.Sequence[i]] })
			given := strings.Split(text, " ")
			w := tok.EncodeWords(given, nil, false, maxLen)
			checkAligned(t, w, true, func(i int) string { return given[w.Words[i]] })
			windows, err := tok.EncodeWindows(text, pair, true, maxLen, stride)
			if err == nil {
				checkCover(t, tok.EncodeAligned(text, pair, true, 0), windows, stride)
			}
		}
	})
}

// checkAligned checks that words rise, and offsets too, within the bounds of the text that
// each token comes from; of given words, each is a text of its own.
func checkAligned(t *testing.T, e Encoding, given bool, textOf func(i int) string) {
	t.Helper()
	if n := len(e.IDs); len(e.Offsets) != n || len(e.Words) != n || len(e.Sequence) != n || len(e.TypeIDs) != n {
		t.Fatalf("lists of different lengths: %+v", e)
	}
	for i, o := range e.Offsets {
		if e.Sequence[i] < 0 {
			if o != [2]int{} || e.Words[i] != -1 {
				t.Fatalf("special token %d: %v, word %d", i, o, e.Words[i])
			}
			continue
		}
		if o[0] < 0 || o[0] >= o[1] || o[1] > utf8.RuneCountInString(textOf(i)) {
			t.Fatalf("token %d at %v of %q", i, o, textOf(i))
		}
		if i == 0 || e.Sequence[i-1] != e.Sequence[i] {
			continue
		}
		if step := e.Words[i] - e.Words[i-1]; step < 0 || (step == 0 || !given) && o[0] < e.Offsets[i-1][0] {
			t.Fatalf("token %d of word %d at %v, after word %d at %v", i, e.Words[i], o, e.Words[i-1], e.Offsets[i-1])
		}
	}
}

// checkCover checks that windows, without their overlaps, give the pair of whole.
func checkCover(t *testing.T, whole Encoding, windows []Encoding, stride int) {
	t.Helper()
	second := func(e Encoding) (spans [][2]int) {
		for i, o := range e.Offsets {
			if e.Sequence[i] == 1 {
				spans = append(spans, o)
			}
		}
		return spans
	}
	var got [][2]int
	for i, w := range windows {
		spans := second(w)
		if i > 0 {
			spans = spans[stride:]
		}
		got = append(got, spans...)
	}
	if want := second(whole); !slices.Equal(got, want) {
		t.Fatalf("windows give %v, want %v", got, want)
	}
}
