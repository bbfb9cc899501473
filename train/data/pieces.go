package data

import "unicode/utf8"

// pieces are the tokens of one text without special tokens around them and, where
// aligned is set, where each comes from, as Encoding has it. The rest is where
// tokenization stands.
type pieces struct {
	ids     []int64
	aligned bool
	offsets [][2]int
	words   []int

	word     int     // the word that the next token belongs to
	presplit bool    // words are given: the tokenizer's own don't count
	at       cursor  // the place in the text
	base     int     // where the part that is being tokenized starts in the text, in code points
	from     []int32 // the code points of that part which its normalized bytes come from
}

// add appends a token that covers bytes start to end of the normalized part.
func (p *pieces) add(id int64, start, end int) {
	p.ids = append(p.ids, id)
	if p.aligned {
		p.place(p.base+int(p.from[start]), p.base+int(p.from[end-1])+1)
	}
}

func (p *pieces) place(start, end int) {
	p.offsets = append(p.offsets, [2]int{start, end})
	p.words = append(p.words, p.word)
}

// cut takes back what was added after the first n tokens.
func (p *pieces) cut(n int) { *p = p.slice(0, n) }

// slice returns tokens i to j.
func (p *pieces) slice(i, j int) pieces {
	out := *p
	out.ids = p.ids[i:j]
	if p.aligned {
		out.offsets, out.words = p.offsets[i:j], p.words[i:j]
	}
	return out
}

func (p *pieces) endWord() {
	if !p.presplit {
		p.word++
	}
}

// tokenize returns the tokens of text.
func (t *Tokenizer) tokenize(text string, aligned bool) pieces {
	p := pieces{ids: make([]int64, 0, len(text)/4+4), aligned: aligned}
	t.appendText(&p, text)
	return p
}

// tokenizeWords returns the tokens of words, each tokenized alone.
func (t *Tokenizer) tokenizeWords(words []string) pieces {
	p := pieces{aligned: true, presplit: true}
	for i, word := range words {
		p.word = i
		t.appendText(&p, word)
	}
	return p
}

// appendText adds the tokens of text. Added tokens ("[SEP]" written in the text, for
// one) are taken out first, those that match raw text before those that match
// normalized text.
func (t *Tokenizer) appendText(p *pieces, text string) {
	p.at = cursor{text: text}
	t.rawAdded.split(text, func(start, end int, id int64) {
		if p.aligned {
			p.base = p.at.codePoints(start)
		}
		if id < 0 {
			t.appendPart(p, text[start:end])
			return
		}
		p.ids = append(p.ids, id)
		if p.aligned {
			p.place(p.base, p.at.codePoints(end))
		}
		p.endWord()
	})
}

// appendPart adds the tokens of a part of a text that no raw added token is in.
func (t *Tokenizer) appendPart(p *pieces, part string) {
	normalized, from := t.normalizer.apply(part, p.aligned)
	p.from = from
	part = string(normalized)
	t.normAdded.split(part, func(start, end int, id int64) {
		if id >= 0 {
			p.add(id, start, end)
			p.endWord()
			return
		}
		words(part[start:end], func(i, j int) {
			t.model.append(p, part[start+i:start+j], start+i)
			p.endWord()
		})
	})
}

// cursor turns places in a text, which mostly rise, from bytes to code points.
type cursor struct {
	text         string
	bytes, runes int
}

func (c *cursor) codePoints(bytes int) int {
	if bytes >= c.bytes {
		c.runes += utf8.RuneCountInString(c.text[c.bytes:bytes])
	} else {
		c.runes -= utf8.RuneCountInString(c.text[bytes:c.bytes])
	}
	c.bytes = bytes
	return c.runes
}
