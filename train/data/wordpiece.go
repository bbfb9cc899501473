package data

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// isPunct reports whether BertPreTokenizer makes a word of r alone: ASCII symbols and
// Unicode punctuation.
func isPunct(r rune) bool { return unicode.Is(bertPunct, r) }

// words calls yield with where each word of a normalized text starts and ends, in
// bytes: what stands between white space, cut around punctuation.
func words(text string, yield func(start, end int)) {
	start := -1
	for i, r := range text {
		space, punct := isSpace(r), isPunct(r)
		if (space || punct) && start >= 0 {
			yield(start, i)
			start = -1
		}
		switch {
		case punct:
			yield(i, i+utf8.RuneLen(r))
		case !space && start < 0:
			start = i
		}
	}
	if start >= 0 {
		yield(start, len(text))
	}
}

// wordPiece is BERT's greedy longest-match-first subword model.
type wordPiece struct {
	whole    map[string]int64 // tokens, as they start a word
	rest     map[string]int64 // tokens that continue a word, without their prefix ("##")
	unk      int64
	maxRunes int // a longer word is unknown as a whole
	maxBytes int // of the longest token, to bound the search
}

// newWordPiece indexes vocab, in which prefix marks the tokens that continue a word.
func newWordPiece(vocab map[string]int64, unk int64, prefix string, maxRunes int) *wordPiece {
	m := &wordPiece{whole: vocab, rest: map[string]int64{}, unk: unk, maxRunes: maxRunes}
	for token, id := range vocab {
		m.maxBytes = max(m.maxBytes, len(token))
		if tail, ok := strings.CutPrefix(token, prefix); ok {
			m.rest[tail] = id
		}
	}
	return m
}

// append adds the tokens of one word, which stands in p's normalized part from byte at
// on: its pieces, or the unknown token where a part of the word matches no token.
func (m *wordPiece) append(p *pieces, word string, at int) {
	if len(word) > m.maxRunes && utf8.RuneCountInString(word) > m.maxRunes {
		p.add(m.unk, at, at+len(word))
		return
	}
	kept, vocab := len(p.ids), m.whole
	for start := 0; start < len(word); {
		id, n := m.longest(vocab, word[start:])
		if n == 0 {
			p.cut(kept)
			p.add(m.unk, at, at+len(word))
			return
		}
		p.add(id, at+start, at+start+n)
		start, vocab = start+n, m.rest
	}
}

// longest finds the longest prefix of word that vocab holds; n is its length in bytes,
// 0 if there is none.
func (m *wordPiece) longest(vocab map[string]int64, word string) (id int64, n int) {
	for end := min(len(word), m.maxBytes); end > 0; end-- {
		if end < len(word) && !utf8.RuneStart(word[end]) {
			continue
		}
		if id, ok := vocab[word[:end]]; ok {
			return id, end
		}
	}
	return 0, 0
}
