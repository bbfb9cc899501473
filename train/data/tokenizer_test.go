package data

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const tokenizerDir = "testdata/tokenizer"

// pairCase is one row of the fixture: two texts' indices, the length limit, and what
// Hugging Face gives for the pair (ids, type ids) and for the first text alone.
type pairCase struct {
	a, b, maxLen         int
	ids, types, firstIDs []int64
}

func (p *pairCase) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(raw, &[]any{&p.a, &p.b, &p.maxLen, &p.ids, &p.types, &p.firstIDs})
}

type fixtureCase struct {
	IDs   [][]int64
	Pairs []pairCase
}

type tokenizerFixture struct {
	Digests                     map[string]string
	Texts                       []string
	Uncased, Cased, JSON, MPNet fixtureCase
}

func readFixture(t testing.TB) *tokenizerFixture {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(tokenizerDir, "fixture.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := new(tokenizerFixture)
	if err := json.Unmarshal(raw, f); err != nil {
		t.Fatal(err)
	}
	return f
}

func load(t testing.TB, file string) *Tokenizer {
	t.Helper()
	tok, err := LoadTokenizer(filepath.Join(tokenizerDir, file))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestTokenizerEqualsHuggingFace(t *testing.T) {
	f := readFixture(t)
	for file, want := range map[string]fixtureCase{
		"vocab-uncased.txt": f.Uncased, "vocab-cased.txt": f.Cased, "tokenizer.json": f.JSON, "tokenizer-mpnet.json": f.MPNet,
	} {
		tok := load(t, file)
		if len(want.IDs) != len(f.Texts) {
			t.Fatalf("%s: %d encodings for %d texts", file, len(want.IDs), len(f.Texts))
		}
		for i, text := range f.Texts {
			if got := tok.Encode(text, "", false, 0); !slices.Equal(got.IDs, want.IDs[i]) {
				t.Errorf("%s: %q:\n got %q\nwant %q", file, text, tok.Tokens(got.IDs), tok.Tokens(want.IDs[i]))
			}
		}
		for _, p := range want.Pairs {
			got := tok.Encode(f.Texts[p.a], f.Texts[p.b], true, p.maxLen)
			if !slices.Equal(got.IDs, p.ids) || !slices.Equal(got.TypeIDs, p.types) {
				t.Errorf("%s: pair %d, %d at length %d:\n got %v %v\nwant %v %v", file, p.a, p.b, p.maxLen, got.IDs, got.TypeIDs, p.ids, p.types)
			}
			full := tok.Encode(f.Texts[p.a], f.Texts[p.b], true, 0)
			if got.Truncated != (len(full.IDs) > p.maxLen) {
				t.Errorf("%s: pair %d, %d at length %d of %d: Truncated is %v", file, p.a, p.b, p.maxLen, len(full.IDs), got.Truncated)
			}
			if got := tok.Encode(f.Texts[p.a], "", false, p.maxLen); !slices.Equal(got.IDs, p.firstIDs) {
				t.Errorf("%s: text %d at length %d: got %v, want %v", file, p.a, p.maxLen, got.IDs, p.firstIDs)
			}
		}
	}
}

// TestEveryCodePoint compares what each code point of Unicode becomes between two
// letters with a digest that Hugging Face's library gave.
func TestEveryCodePoint(t *testing.T) {
	f := readFixture(t)
	for name, lower := range map[string]bool{"uncased": true, "cased": false} {
		n := normalizer{cleanText: true, chineseChars: true, stripAccents: lower, lowercase: lower}
		h := sha256.New()
		for r := rune(0); r <= 0x10FFFF; r++ {
			if 0xD800 <= r && r <= 0xDFFF {
				continue
			}
			var ws []string
			text := n.normalize("A" + string(r) + "b")
			words(text, func(i, j int) { ws = append(ws, text[i:j]) })
			h.Write([]byte(strings.Join(ws, "\n") + "\n\n"))
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != f.Digests[name] {
			t.Errorf("%s: digest %s, Hugging Face's is %s", name, got, f.Digests[name])
		}
	}
}

// TestCompare compares with ids that make_tokenizer_fixture.py --compare wrote for a
// corpus that is too large to commit; without such a file it compares the fixture.
func TestCompare(t *testing.T) {
	file, vocab := os.Getenv("PEFTGRAPH_TOKENIZER_IDS"), os.Getenv("PEFTGRAPH_TOKENIZER")
	type row struct {
		Text string
		IDs  []int64
	}
	var rows []row
	if file == "" {
		f := readFixture(t)
		vocab = filepath.Join(tokenizerDir, "vocab-uncased.txt")
		for i, text := range f.Texts {
			rows = append(rows, row{text, f.Uncased.IDs[i]})
		}
	} else {
		in, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		sc := bufio.NewScanner(in)
		sc.Buffer(nil, 1<<26)
		for sc.Scan() {
			var r row
			if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, r)
		}
	}
	tok, err := LoadTokenizer(vocab)
	if err != nil {
		t.Fatal(err)
	}
	examples := make([]Example, len(rows))
	for i, r := range rows {
		examples[i].Text = r.Text
	}
	got, _ := tok.EncodeAll(examples, 0)
	bad := 0
	for i, r := range rows {
		if !slices.Equal(got[i].IDs, r.IDs) {
			if bad++; bad <= 5 {
				t.Errorf("%q: got %v, want %v", r.Text, got[i].IDs, r.IDs)
			}
		}
	}
	t.Logf("%s: %d of %d lines differ", tok.Note(), bad, len(rows))
	if bad > 0 || len(rows) == 0 {
		t.Errorf("%d of %d lines differ", bad, len(rows))
	}
}

func TestTokenizerAccessors(t *testing.T) {
	tok := load(t, "vocab-uncased.txt")
	if id, ok := tok.ID("[CLS]"); !ok || id != 2 {
		t.Errorf("ID([CLS]) = %d, %v", id, ok)
	}
	if _, ok := tok.ID("no such token"); ok {
		t.Error("ID found a token that isn't there")
	}
	if tok.PadID() != 0 || tok.VocabSize() != len(tok.ids) {
		t.Errorf("PadID %d, VocabSize %d of %d tokens", tok.PadID(), tok.VocabSize(), len(tok.ids))
	}
	if got := tok.Tokens([]int64{2, 3, 1 << 20}); !slices.Equal(got, []string{"[CLS]", "[SEP]", "<id 1048576>"}) {
		t.Errorf("Tokens: %q", got)
	}
	if dir := load(t, "."); dir.Path() != filepath.Join(tokenizerDir, "tokenizer.json") {
		t.Errorf("a folder gave %q", dir.Path())
	}
	// Too small a limit leaves the special tokens.
	if e := tok.Encode("a b c", "d e", true, 1); len(e.IDs) != 3 || !e.Truncated {
		t.Errorf("maxLen 1: %v", e)
	}
}

func TestEncodeAllKeepsOrderAndCounts(t *testing.T) {
	f := readFixture(t)
	tok := load(t, "tokenizer.json")
	var examples []Example
	for range 3 {
		for i, text := range f.Texts {
			examples = append(examples, Example{Text: text, Pair: "a b", HasPair: i%2 == 1})
		}
	}
	got, cut := tok.EncodeAll(examples, 9)
	want := 0
	for i, ex := range examples {
		one := tok.Encode(ex.Text, ex.Pair, ex.HasPair, 9)
		if one.Truncated {
			want++
		}
		if !slices.Equal(got[i].IDs, one.IDs) || len(one.IDs) > 9 {
			t.Fatalf("example %d: %v, alone %v", i, got[i], one)
		}
	}
	if cut != want || want == 0 {
		t.Errorf("truncated %d, want %d > 0", cut, want)
	}
}

func TestConcurrentEncode(t *testing.T) {
	tok := load(t, "tokenizer.json")
	want := tok.Encode("Große Größe [SEP] 中文", "", false, 0).IDs
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := tok.Encode("Große Größe [SEP] 中文", "", false, 0).IDs; !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	wg.Wait()
}

func TestTokenizerConfigGivesCase(t *testing.T) {
	vocab := "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nab\nÉ\ne\né\n"
	for _, c := range []struct {
		name, vocab, conf string
		text              string
		want              []string
	}{
		{"no capital: uncased", vocab, "", "AB É", []string{"ab", "e"}},
		{"a capital: cased", vocab + "Z\n", "", "AB É", []string{"[UNK]", "É"}},
		{"the config wins", vocab + "Z\n", `{"do_lower_case": true}`, "AB É", []string{"ab", "e"}},
		{"accents kept", vocab, `{"do_lower_case": true, "strip_accents": false}`, "AB É", []string{"ab", "é"}},
		{"chinese in one word", vocab + "中文\n", `{"tokenize_chinese_chars": false}`, "中文", []string{"中文"}},
		{"CRLF", strings.ReplaceAll(vocab, "\n", "\r\n"), "", "ab", []string{"ab"}},
	} {
		dir := t.TempDir()
		write(t, dir, "vocab.txt", c.vocab)
		if c.conf != "" {
			write(t, dir, "tokenizer_config.json", c.conf)
		}
		tok, err := LoadTokenizer(dir)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		ids := tok.Encode(c.text, "", false, 0).IDs
		if got := tok.Tokens(ids[1 : len(ids)-1]); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLoadTokenizerRefuses(t *testing.T) {
	good, err := os.ReadFile(filepath.Join(tokenizerDir, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("the fixture lacks %s", old)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	for _, c := range []struct{ name, file, content, want string }{
		{"not JSON", "tokenizer.json", "hello", "not a tokenizer.json"},
		{"no model", "tokenizer.json", "{}", `model is of type "none"`},
		{"BPE", "tokenizer.json", edit(`"type":"WordPiece","unk_token"`, `"type":"BPE","unk_token"`), `model is of type "BPE"`},
		{"other normalizer", "tokenizer.json", edit("BertNormalizer", "Precompiled"), `normalizer is of type "Precompiled"`},
		{"other pre-tokenizer", "tokenizer.json", edit("BertPreTokenizer", "ByteLevel"), `pre_tokenizer is of type "ByteLevel"`},
		{"other post-processor", "tokenizer.json", edit("TemplateProcessing", "ByteLevel"), `post_processor is of type "ByteLevel"`},
		{"unknown token missing", "tokenizer.json", edit(`"unk_token":"[UNK]"`, `"unk_token":"<unk>"`), `"<unk>" isn't in the vocabulary`},
		{"negative id", "tokenizer.json", edit(`"[unused1]":5`, `"[unused1]":-5`), "id -5"},
		{"not a vocabulary", "vocab.txt", "hello\n", "no [PAD]"},
		{"empty vocabulary", "vocab.txt", "", "no [PAD]"},
		{"empty folder", "other", "", "neither tokenizer.json nor vocab.txt"},
	} {
		dir := t.TempDir()
		write(t, dir, c.file, c.content)
		_, err := LoadTokenizer(dir)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want %q and the file's name", c.name, err, c.want)
		}
	}
	if _, err := LoadTokenizer(filepath.Join(t.TempDir(), "nowhere")); err == nil {
		t.Error("a missing path is accepted")
	}
}

func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func FuzzEncode(f *testing.F) {
	for _, text := range readFixture(f).Texts {
		f.Add(text, "pair", 16)
	}
	f.Add("\xff\xfe", "\xc3", 0)
	toks := []*Tokenizer{load(f, "tokenizer.json"), load(f, "vocab-cased.txt")}
	f.Fuzz(func(t *testing.T, text, pair string, maxLen int) {
		for _, tok := range toks {
			for _, hasPair := range []bool{false, true} {
				e := tok.Encode(text, pair, hasPair, maxLen)
				if len(e.IDs) != len(e.TypeIDs) || maxLen > 2 && len(e.IDs) > maxLen {
					t.Fatalf("%d ids, %d type ids, limit %d", len(e.IDs), len(e.TypeIDs), maxLen)
				}
				for _, id := range e.IDs {
					if id < 0 || int(id) >= tok.VocabSize() {
						t.Fatalf("id %d of %d", id, tok.VocabSize())
					}
				}
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	f := readFixture(b)
	tok := load(b, "vocab-uncased.txt")
	n := 0
	for _, text := range f.Texts {
		n += len(text)
	}
	b.SetBytes(int64(n))
	for b.Loop() {
		for _, text := range f.Texts {
			tok.Encode(text, "", false, 128)
		}
	}
}
