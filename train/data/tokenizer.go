package data

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Tokenizer is a BERT WordPiece tokenizer whose ids equal those of Hugging Face's
// tokenizers 0.22.2. It doesn't change once loaded, so goroutines may share it.
type Tokenizer struct {
	path      string
	note      string // what LoadTokenizer had to decide by itself
	ids       map[string]int64
	tokens    map[int64]string
	size      int
	padID     int64
	maxLength int

	normalizer normalizer
	model      *wordPiece
	rawAdded   matcher // added tokens that match the text as it is
	normAdded  matcher // added tokens that match the normalized text
	single     template
	pair       template
}

// Encoding is a tokenized text or pair of texts, special tokens included. IDs and
// TypeIDs (the segment of each token) have the same length; before padding, every
// token is attended to.
type Encoding struct {
	IDs, TypeIDs []int64
	Truncated    bool // tokens were cut to meet the length asked for
}

// Path is the file that the tokenizer was read from.
func (t *Tokenizer) Path() string { return t.path }

// Note says in one line what kind of tokenizer this is and, for a vocab.txt, whence
// its letter case was known.
func (t *Tokenizer) Note() string { return t.note }

// VocabSize is the largest id plus one: the least number of rows that the model's
// word embedding must have.
func (t *Tokenizer) VocabSize() int { return t.size }

// MaxLength is the longest encoding, in tokens, that the tokenizer's files ask for; 0
// if they don't say.
func (t *Tokenizer) MaxLength() int { return t.maxLength }

// PadID is the id of the padding token: what tokenizer.json's padding section says, else
// that of [PAD] or <pad>, else 0.
func (t *Tokenizer) PadID() int64 { return t.padID }

// ID returns the id of a token, which must be written as in the vocabulary ("##ing").
func (t *Tokenizer) ID(token string) (int64, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// Tokens returns the tokens of ids; an id that the vocabulary lacks reads "<id 123>".
func (t *Tokenizer) Tokens(ids []int64) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		token, ok := t.tokens[id]
		if !ok {
			token = fmt.Sprintf("<id %d>", id)
		}
		out[i] = token
	}
	return out
}

// Encode tokenizes text, and pair where hasPair is set, and adds the special tokens:
// [CLS] text [SEP] or [CLS] text [SEP] pair [SEP]. An encoding longer than maxLen is
// cut at the end of the longer text, as Hugging Face's "longest_first" does; the
// special tokens stay, also if maxLen leaves no room for anything else. maxLen ≤ 0
// means no limit.
func (t *Tokenizer) Encode(text, pair string, hasPair bool, maxLen int) Encoding {
	a, b, tmpl := t.tokenize(text), []int64(nil), t.single
	if hasPair {
		b, tmpl = t.tokenize(pair), t.pair
	}
	cut := false
	if maxLen > 0 {
		na, nb := truncate(len(a), len(b), max(maxLen-tmpl.specials(), 0))
		cut = na < len(a) || nb < len(b)
		a, b = a[:na], b[:nb]
	}
	enc := tmpl.build(a, b)
	enc.Truncated = cut
	return enc
}

// EncodeAll encodes examples on all cores and keeps their order; truncated counts the
// encodings that maxLen cut.
func (t *Tokenizer) EncodeAll(examples []Example, maxLen int) (encodings []Encoding, truncated int) {
	encodings = make([]Encoding, len(examples))
	var next, cut atomic.Int64
	var wg sync.WaitGroup
	const chunk = 64
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				lo := int(next.Add(chunk)) - chunk
				if lo >= len(examples) {
					return
				}
				for i := lo; i < min(lo+chunk, len(examples)); i++ {
					ex := &examples[i]
					encodings[i] = t.Encode(ex.Text, ex.Pair, ex.HasPair, maxLen)
					if encodings[i].Truncated {
						cut.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	return encodings, int(cut.Load())
}

// tokenize returns the ids of text without special tokens around it. Added tokens
// ("[SEP]" written in the text, for one) are taken out first, those that match raw text
// before those that match normalized text.
func (t *Tokenizer) tokenize(text string) []int64 {
	ids := make([]int64, 0, len(text)/4+4)
	t.rawAdded.split(text, func(part string, id int64) {
		if id >= 0 {
			ids = append(ids, id)
			return
		}
		t.normAdded.split(t.normalizer.normalize(part), func(part string, id int64) {
			if id >= 0 {
				ids = append(ids, id)
				return
			}
			words(part, func(word string) { ids = t.model.append(ids, word) })
		})
	})
	return ids
}

// truncate returns how many of a and b tokens to keep so that they are at most limit
// together. It shortens the longer one first and then both, the second getting the odd
// token (truncate_encodings in Hugging Face's tokenizers).
func truncate(a, b, limit int) (na, nb int) {
	if a+b <= limit {
		return a, b
	}
	short := min(a, b)
	long := max(short, limit-short)
	if short+long > limit {
		short = limit / 2
		long = limit - short
	}
	if a > b {
		return long, short
	}
	return short, long
}

// template lays out an encoding: special tokens and the two texts, each with a type id.
type template []templatePiece

type templatePiece struct {
	text    byte  // 'A' or 'B' for a text, 0 for a special token
	special int64 // the special token's id
	typeID  int64
}

func (t template) specials() int {
	n := 0
	for _, p := range t {
		if p.text == 0 {
			n++
		}
	}
	return n
}

func (t template) build(a, b []int64) Encoding {
	n := t.specials() + len(a) + len(b)
	enc := Encoding{IDs: make([]int64, 0, n), TypeIDs: make([]int64, 0, n)}
	for _, p := range t {
		switch p.text {
		case 'A':
			enc.IDs = append(enc.IDs, a...)
		case 'B':
			enc.IDs = append(enc.IDs, b...)
		default:
			enc.IDs = append(enc.IDs, p.special)
		}
		for len(enc.TypeIDs) < len(enc.IDs) {
			enc.TypeIDs = append(enc.TypeIDs, p.typeID)
		}
	}
	return enc
}
