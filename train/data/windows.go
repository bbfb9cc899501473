package data

import (
	"fmt"
	"unicode/utf8"
)

// EncodeWords encodes texts that are cut into words already, pair where hasPair is set:
// each word is tokenized alone, Words are the places of the words given, and Offsets are
// relative to the word (Hugging Face's is_split_into_words=True); WordStarts leads on to
// the words' line. A word may give no token. maxLen is as for Encode.
func (t *Tokenizer) EncodeWords(words, pair []string, hasPair bool, maxLen int) Encoding {
	a := t.tokenizeWords(words)
	if !hasPair {
		return t.single.fit(a, pieces{}, maxLen)
	}
	return t.pair.fit(a, t.tokenizeWords(pair), maxLen)
}

// WordStarts returns where each word starts, in code points, in the text that the words
// make when joined by single spaces: WordStarts(words)[e.Words[i]] is what to add to
// e.Offsets[i].
func WordStarts(words []string) []int {
	starts, at := make([]int, len(words)), 0
	for i, word := range words {
		starts[i] = at
		at += utf8.RuneCountInString(word) + 1
	}
	return starts
}

// EncodeWindows encodes a text that may be longer than the model takes as windows of at
// most maxLen tokens, each of which starts with the stride last tokens of the one before
// it (Hugging Face's return_overflowing_tokens). Where hasPair is set, the windows are of
// the pair, and each has the whole text before it, as for a question and its context
// ("only_second"). The encodings are in order and aligned; Offsets and Words refer to the
// whole text. maxLen ≤ 0 means no limit, hence one window.
//
// It is an error if tokens must be cut and maxLen leaves a window no more room than
// stride, which may be 0.
func (t *Tokenizer) EncodeWindows(text, pair string, hasPair bool, maxLen, stride int) ([]Encoding, error) {
	if stride < 0 {
		return nil, fmt.Errorf("data: windows overlap by %d tokens; take 0 or more", stride)
	}
	if hasPair {
		return t.pair.windows(t.tokenize(text, true), t.tokenize(pair, true), true, maxLen, stride)
	}
	return t.single.windows(t.tokenize(text, true), pieces{}, false, maxLen, stride)
}

// EncodeWordWindows is EncodeWindows for a text that is cut into words already, each of which is tokenized alone: Offsets and
// Words are as EncodeWords has them.
func (t *Tokenizer) EncodeWordWindows(words []string, maxLen, stride int) ([]Encoding, error) {
	return t.single.windows(t.tokenizeWords(words), pieces{}, false, maxLen, stride)
}

// windows lays out a and b as EncodeWindows says, the windows being of b where hasPair is set.
func (t template) windows(a, b pieces, hasPair bool, maxLen, stride int) ([]Encoding, error) {
	long, fixed := &a, 0
	if hasPair {
		long, fixed = &b, len(a.ids)
	}
	n, room := len(long.ids), maxLen-t.specials()-fixed
	if maxLen <= 0 || n <= room {
		return []Encoding{t.build(a, b)}, nil
	}
	if room <= stride {
		return nil, noRoom(room, fixed, maxLen, stride)
	}
	var out []Encoding
	whole := *long
	for start, stop := 0, 0; stop < n; start += room - stride {
		stop = min(start+room, n)
		*long = whole.slice(start, stop)
		out = append(out, t.build(a, b))
	}
	return out, nil
}

// noRoom says why windows of maxLen tokens can't be cut: room is what special tokens and
// the fixed tokens of the first text leave.
func noRoom(room, fixed, maxLen, stride int) error {
	beside := "special tokens"
	if fixed > 0 {
		beside = fmt.Sprintf("special tokens and the %d tokens of the first text (the question)", fixed)
	}
	if room <= 0 {
		return fmt.Errorf("data: %s leave no room in %d tokens; shorten that text or raise the length limit", beside, maxLen)
	}
	return fmt.Errorf("data: windows of %d tokens have room for %d beside %s, no more than the %d that should overlap; lower the overlap, "+
		"shorten the first text or raise the length limit", maxLen, room, beside, stride)
}

// NewWindows encodes pairs of texts as windows of the second ones (see [Tokenizer.EncodeWindows]) that overlap by stride
// tokens, or by half of the room beside the first text where that is less; the data set's Origin says which is whose. Its
// encodings have offsets and no words. An error names the row whose first text leaves too little room.
func NewWindows(t *Tokenizer, set *Set, maxLen, stride int) (*Dataset, error) {
	windows, errs := make([][]Encoding, len(set.Examples)), make([]error, len(set.Examples))
	onAllCores(len(set.Examples), func(i int) { windows[i], errs[i] = t.windowsOf(&set.Examples[i], maxLen, stride) })
	d := &Dataset{Examples: set.Examples, PadID: t.PadID()}
	for i, ws := range windows {
		if errs[i] != nil {
			return nil, set.At(i, errs[i])
		}
		for _, w := range ws {
			w.Words = nil
			d.Encodings, d.Origin = append(d.Encodings, w), append(d.Origin, i)
		}
	}
	return d, nil
}

func (t *Tokenizer) windowsOf(e *Example, maxLen, stride int) ([]Encoding, error) {
	const least = 8 // tokens of the second text that make a window worth the while
	fixed := len(t.Encode(e.Text, "", true, 0).IDs)
	room := maxLen - fixed
	if maxLen > 0 {
		stride = max(0, min(stride, room/2))
	}
	windows, err := t.EncodeWindows(e.Text, e.Pair, true, maxLen, stride)
	if err != nil || len(windows) > 1 && room < least {
		return nil, fmt.Errorf("the first text (the question) has %d tokens with the special ones, of %d that may be in all; shorten it or raise --max-length", fixed, maxLen)
	}
	return windows, nil
}
