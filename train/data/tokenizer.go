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
// token is attended to. EncodeAligned, EncodeWords and EncodeWindows also say where each
// token comes from, as Hugging Face's offset_mapping, word_ids and sequence_ids do; from
// Encode, those three are nil.
type Encoding struct {
	IDs, TypeIDs []int64
	Truncated    bool // tokens were cut to meet the length asked for

	// Offsets are where each token starts and ends in its original text, or in its own
	// word for EncodeWords, in code points; {0, 0} for a special token. White space,
	// and accents that normalization removes, may lie outside.
	Offsets [][2]int
	// Words is the place of each token's word in its text: what white space and
	// punctuation part, or the words that EncodeWords was given. -1 for a special token.
	Words []int
	// Sequence is 0 for the first text, 1 for its pair, -1 for a special token.
	Sequence []int8
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

// MaskID is the id of the token that stands for one to be guessed, [MASK] or <mask>; false where there is none.
func (t *Tokenizer) MaskID() (int64, bool) {
	for _, name := range []string{"[MASK]", "<mask>"} {
		if id, ok := t.ids[name]; ok {
			return id, true
		}
	}
	return 0, false
}

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
	return t.encode(text, pair, hasPair, maxLen, false)
}

// EncodeAligned is Encode with Offsets, Words and Sequence.
func (t *Tokenizer) EncodeAligned(text, pair string, hasPair bool, maxLen int) Encoding {
	return t.encode(text, pair, hasPair, maxLen, true)
}

func (t *Tokenizer) encode(text, pair string, hasPair bool, maxLen int, aligned bool) Encoding {
	a := t.tokenize(text, aligned)
	if !hasPair {
		return t.single.fit(a, pieces{}, maxLen)
	}
	return t.pair.fit(a, t.tokenize(pair, aligned), maxLen)
}

// EncodeAll encodes examples, by their words where they are cut into some, on all cores and keeps their order; truncated
// counts the encodings that maxLen cut.
func (t *Tokenizer) EncodeAll(examples []Example, maxLen int) (encodings []Encoding, truncated int) {
	return t.encodeAll(examples, maxLen, false)
}

// EncodeAllAligned is EncodeAll with Offsets, Words and Sequence.
func (t *Tokenizer) EncodeAllAligned(examples []Example, maxLen int) (encodings []Encoding, truncated int) {
	return t.encodeAll(examples, maxLen, true)
}

func (t *Tokenizer) encodeAll(examples []Example, maxLen int, aligned bool) (encodings []Encoding, truncated int) {
	encodings = make([]Encoding, len(examples))
	onAllCores(len(examples), func(i int) {
		ex := &examples[i]
		if ex.Words != nil {
			encodings[i] = t.EncodeWords(ex.Words, nil, false, maxLen)
		} else {
			encodings[i] = t.encode(ex.Text, ex.Pair, ex.HasPair, maxLen, aligned)
		}
	})
	for _, e := range encodings {
		if e.Truncated {
			truncated++
		}
	}
	return encodings, truncated
}

// onAllCores calls do with 0 … n−1, on all cores.
func onAllCores(n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	const chunk = 64
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				lo := int(next.Add(chunk)) - chunk
				if lo >= n {
					return
				}
				for i := lo; i < min(lo+chunk, n); i++ {
					do(i)
				}
			}
		})
	}
	wg.Wait()
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

// fit lays out a and b, cut as Encode says.
func (t template) fit(a, b pieces, maxLen int) Encoding {
	cut := false
	if maxLen > 0 {
		na, nb := truncate(len(a.ids), len(b.ids), max(maxLen-t.specials(), 0))
		cut = na < len(a.ids) || nb < len(b.ids)
		a, b = a.slice(0, na), b.slice(0, nb)
	}
	enc := t.build(a, b)
	enc.Truncated = cut
	return enc
}

func (t template) build(a, b pieces) Encoding {
	n := t.specials() + len(a.ids) + len(b.ids)
	enc := Encoding{IDs: make([]int64, 0, n), TypeIDs: make([]int64, 0, n)}
	for _, p := range t {
		switch p.text {
		case 'A':
			enc.IDs = append(enc.IDs, a.ids...)
		case 'B':
			enc.IDs = append(enc.IDs, b.ids...)
		default:
			enc.IDs = append(enc.IDs, p.special)
		}
		for len(enc.TypeIDs) < len(enc.IDs) {
			enc.TypeIDs = append(enc.TypeIDs, p.typeID)
		}
	}
	if a.aligned {
		t.align(&enc, a, b)
	}
	return enc
}

// align adds where the tokens come from to an encoding that build made of a and b.
func (t template) align(enc *Encoding, a, b pieces) {
	n := len(enc.IDs)
	enc.Offsets, enc.Words, enc.Sequence = make([][2]int, 0, n), make([]int, 0, n), make([]int8, 0, n)
	for _, p := range t {
		from, sequence := pieces{offsets: [][2]int{{}}, words: []int{-1}}, int8(-1)
		switch p.text {
		case 'A':
			from, sequence = a, 0
		case 'B':
			from, sequence = b, 1
		}
		enc.Offsets = append(enc.Offsets, from.offsets...)
		enc.Words = append(enc.Words, from.words...)
		for range from.words {
			enc.Sequence = append(enc.Sequence, sequence)
		}
	}
}
