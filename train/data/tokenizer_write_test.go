package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// A tokenizer.json that is made of a vocabulary, or written anew, gives the ids that Hugging Face's library gave.
func TestWrittenTokenizerGivesTheSameIDs(t *testing.T) {
	texts := []string{"", "Hello, World!", "Ärger über Café naïve", "[CLS] in [MASK] text", "中文字", "a\u200bb \t tab", "don't 3.14 <tag> & \"quotes\""}
	for _, text := range readFixture(t).Texts {
		texts = append(texts, text)
	}
	for _, file := range []string{"vocab-uncased.txt", "vocab-cased.txt", "tokenizer.json"} {
		want := load(t, file)
		out, err := want.JSON(0)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		write(t, dir, "tokenizer.json", string(out))
		got, err := LoadTokenizer(dir)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for i, text := range texts {
			pair := texts[(i+1)%len(texts)]
			a, b := want.Encode(text, pair, true, 0), got.Encode(text, pair, true, 0)
			if !slices.Equal(a.IDs, b.IDs) || !slices.Equal(a.TypeIDs, b.TypeIDs) {
				t.Errorf("%s: %q and %q: ids %v, want %v", file, text, pair, b.IDs, a.IDs)
			}
		}
		if got.VocabSize() != want.VocabSize() || got.PadID() != want.PadID() {
			t.Errorf("%s: %d tokens and padding %d, want %d and %d", file, got.VocabSize(), got.PadID(), want.VocabSize(), want.PadID())
		}
		if a, b := fmt.Sprint(want.Specials()), fmt.Sprint(got.Specials()); a != b {
			t.Errorf("%s: special tokens %s, want %s", file, b, a)
		}
	}
}

// Texts are cut where it says, and no longer padded to a fixed length.
func TestWrittenTokenizerCuts(t *testing.T) {
	tok := load(t, "vocab-uncased.txt")
	for _, limit := range []int{0, 7} {
		out, err := tok.JSON(limit)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		write(t, dir, "tokenizer.json", string(out))
		got, err := LoadTokenizer(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got.MaxLength() != limit {
			t.Errorf("cut at %d, want %d", got.MaxLength(), limit)
		}
	}
	dir := t.TempDir()
	write(t, dir, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nab\n")
	whole, err := LoadTokenizer(dir)
	if err != nil {
		t.Fatal(err)
	}
	out, err := whole.JSON(5)
	if err != nil {
		t.Fatal(err)
	}
	var padded map[string]any
	if err := json.Unmarshal(out, &padded); err != nil {
		t.Fatal(err)
	}
	padded["padding"] = map[string]any{"strategy": map[string]int{"Fixed": 9}, "pad_id": 0}
	text, err := json.Marshal(padded)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "tokenizer.json", string(text))
	if whole, err = LoadTokenizer(dir); err != nil {
		t.Fatal(err)
	}
	again, err := whole.JSON(5)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := errors.Join(json.Unmarshal(again, &got), json.Unmarshal(out, &want)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("written anew it is\n%s\nwant\n%s", again, out)
	}
}

// What is made of bert-base-uncased's vocabulary is what Hugging Face has in its tokenizer.json.
func TestWrittenTokenizerIsBERTs(t *testing.T) {
	dir := filepath.Dir(graphtest.Shared(t, "vocab/bert-base-uncased-vocab.txt", "TestWrittenTokenizerGivesTheSameIDs")[0])
	tok, err := LoadTokenizer(filepath.Join(dir, "bert-base-uncased-vocab.txt"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := tok.JSON(0)
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	graphtest.ReadJSON(t, filepath.Join(dir, "bert-base-uncased-tokenizer.json"), &want)
	want["model"].(map[string]any)["type"] = "WordPiece" // which the file is too old to say
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	n := got["normalizer"].(map[string]any)
	if n["strip_accents"] != true {
		t.Errorf("strip_accents is %v", n["strip_accents"])
	}
	n["strip_accents"] = nil // which says: as lowercase
	for key := range want {
		if a, b := fmt.Sprint(got[key]), fmt.Sprint(want[key]); a != b {
			t.Errorf("%s is %.300s, want %.300s", key, a, b)
		}
	}
}
