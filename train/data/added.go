package data

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is looked for in the text before any word is cut.
type addedToken struct {
	ID         int64  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"` // takes the white space before it along
	RStrip     bool   `json:"rstrip"` // takes the white space after it along
	Normalized bool   `json:"normalized"`
}

// matcher finds added tokens in text, by their first byte.
type matcher struct {
	tokens map[byte][]addedToken
	first  [256]bool // whether tokens has the byte: a lookup for every byte of a text would cost more than cutting words
}

func (m *matcher) add(tok addedToken) {
	if m.tokens == nil {
		m.tokens = map[byte][]addedToken{}
	}
	c := tok.Content[0]
	m.tokens[c], m.first[c] = append(m.tokens[c], tok), true
}

// split calls yield with where the parts of text start and end, in bytes and in order:
// an added token with its id, or what stands between two with id -1. The leftmost token
// wins, then the longest.
func (m *matcher) split(text string, yield func(start, end int, id int64)) {
	if len(m.tokens) == 0 {
		yield(0, len(text), -1)
		return
	}
	done := 0
	for i := 0; i < len(text); {
		var tok *addedToken
		if m.first[text[i]] {
			tok = m.at(text, i)
		}
		if tok == nil {
			i++
			continue
		}
		start, end := i, i+len(tok.Content)
		i = end // white space that rstrip takes doesn't hide a token that starts with it
		if tok.SingleWord && (endsWord(text[:start]) || startsWord(text[end:])) {
			continue
		}
		if tok.LStrip {
			start = max(done, len(strings.TrimRightFunc(text[:start], isSpace)))
		}
		if tok.RStrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], isSpace))
		}
		if done < start {
			yield(done, start, -1)
		}
		yield(start, end, tok.ID)
		done = end
	}
	if done < len(text) {
		yield(done, len(text), -1)
	}
}

// at returns the longest token that text holds at byte i, nil if none.
func (m *matcher) at(text string, i int) *addedToken {
	var best *addedToken
	toks := m.tokens[text[i]]
	for k := range toks {
		if (best == nil || len(toks[k].Content) > len(best.Content)) && strings.HasPrefix(text[i:], toks[k].Content) {
			best = &toks[k]
		}
	}
	return best
}

func endsWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWordRune(r)
}

func startsWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWordRune(r)
}

// isWordRune is \w of Unicode's regular expressions (UTS 18, annex C).
func isWordRune(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}
