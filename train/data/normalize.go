package data

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer is Hugging Face's BertNormalizer: the text clean-up of BERT's
// BasicTokenizer (https://github.com/google-research/bert/blob/master/tokenization.py),
// with the Unicode tables of the tokenizers library.
type normalizer struct {
	cleanText    bool // drop control characters, turn white space into ' '
	chineseChars bool // put spaces around CJK ideographs
	stripAccents bool // decompose and drop nonspacing marks
	lowercase    bool
}

// char is a code point on its way to the normalized text.
type char struct {
	r     rune
	from  int32 // the code point of the original text that it comes from, by its place
	added bool  // by a decomposition, after its first code point
}

// normalize returns the normalized text.
func (n *normalizer) normalize(text string) string {
	out, _ := n.apply(text, false)
	return string(out)
}

// apply applies the steps in Hugging Face's order. Text that isn't UTF-8 loses its
// invalid bytes where cleanText is on, and has U+FFFD in their place where not. Where
// align is set, from[i] is the place, in code points, of the code point of text that
// byte i of out comes from; it never falls.
func (n *normalizer) apply(text string, align bool) (out []byte, from []int32) {
	if out, from, ok := n.applyASCII(text, align); ok {
		return out, from
	}
	cs := n.clean(text)
	if n.stripAccents {
		cs = slices.DeleteFunc(decompose(cs), func(c char) bool { return c.r >= firstMark && unicode.Is(bertMark, c.r) })
	}
	out = make([]byte, 0, len(text))
	for _, c := range cs {
		if n.lowercase {
			out = appendLower(out, c.r)
		} else {
			out = utf8.AppendRune(out, c.r)
		}
		if align {
			for len(from) < len(out) {
				from = append(from, c.from)
			}
		}
	}
	return out, from
}

// clean takes text apart, without what clean_text drops and with spaces around CJK
// ideographs, which count as the ideograph itself.
func (n *normalizer) clean(text string) []char {
	cs := make([]char, 0, len(text)+8)
	at := int32(-1)
	for _, r := range text {
		at++
		if n.cleanText {
			if r = cleanRune(r); r < 0 {
				continue
			}
		}
		if n.chineseChars && isChinese(r) {
			cs = append(cs, char{r: ' ', from: at}, char{r: r, from: at}, char{r: ' ', from: at})
			continue
		}
		cs = append(cs, char{r: r, from: at})
	}
	return cs
}

// applyASCII is apply for text that is ASCII only, most text that BERT sees; ok is
// false for other text.
func (n *normalizer) applyASCII(text string, align bool) (out []byte, from []int32, ok bool) {
	out = make([]byte, 0, len(text))
	if align {
		from = make([]int32, 0, len(text))
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= utf8.RuneSelf:
			return nil, nil, false
		case n.cleanText && (c == '\t' || c == '\n' || c == '\r'):
			c = ' '
		case n.cleanText && (c < ' ' || c == 0x7f):
			continue
		case n.lowercase && 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		out = append(out, c)
		if align {
			from = append(from, int32(i))
		}
	}
	return out, from, true
}

// cleanRune returns what clean_text makes of r: r, a space, or -1 where it goes.
func cleanRune(r rune) rune {
	switch {
	case ' ' <= r && r < 0x7f: // most, without a look into the tables
		return r
	case r == '\t' || r == '\n' || r == '\r':
		return ' '
	case r == 0 || r == unicode.ReplacementChar || unicode.Is(bertControl, r):
		return -1
	case isSpace(r):
		return ' '
	}
	return r
}

// isSpace reports whether r has Unicode's White_Space property, a set that no longer grows.
func isSpace(r rune) bool { return unicode.Is(unicode.White_Space, r) }

// isChinese reports whether r is in one of the blocks that BERT calls Chinese. The
// block that starts at U+2B920 starts at U+2B820 in BERT's own code and in Unicode;
// Hugging Face's ids follow from the former.
func isChinese(r rune) bool {
	return 0x4E00 <= r && r <= 0x9FFF || 0x3400 <= r && r <= 0x4DBF ||
		0x20000 <= r && r <= 0x2A6DF || 0x2A700 <= r && r <= 0x2B73F ||
		0x2B740 <= r && r <= 0x2B81F || 0x2B920 <= r && r <= 0x2CEAF ||
		0xF900 <= r && r <= 0xFAFF || 0x2F800 <= r && r <= 0x2FA1F
}

// firstMark is the least code point that is a mark or has a combining class.
const firstMark = 0x300

// decompose returns cs in normalization form D. It isn't norm.NFD.String, because that
// one inserts U+034F into long runs of marks and knows code points that Hugging Face
// doesn't.
func decompose(cs []char) []char {
	out := make([]char, 0, len(cs))
	for _, c := range cs {
		if c.r >= utf8.RuneSelf && (0xAC00 <= c.r && c.r <= 0xD7A3 || unicode.Is(bertDecomposed, c.r)) {
			for i, d := range norm.NFD.String(string(c.r)) {
				out = append(out, char{r: d, added: i > 0})
			}
			continue
		}
		out = append(out, char{r: c.r})
	}
	orderMarks(out)
	// Hugging Face counts through the original's code points after the marks moved, so
	// one that moved ahead comes from where it now stands.
	next := 0
	for i := range out {
		if !out[i].added {
			next++
		}
		out[i].from = cs[next-1].from
	}
	return out
}

// orderMarks puts each run of combining marks in the order of their classes
// (Unicode's Canonical Ordering Algorithm, D109).
func orderMarks(cs []char) {
	for i := 0; i < len(cs); i++ {
		if !hasClass(cs[i].r) {
			continue
		}
		j := i + 1
		for j < len(cs) && hasClass(cs[j].r) {
			j++
		}
		if j > i+1 {
			slices.SortStableFunc(cs[i:j], func(a, b char) int { return int(markClass(a.r)) - int(markClass(b.r)) })
		}
		i = j
	}
}

// hasClass reports whether r has a combining class other than zero.
func hasClass(r rune) bool { return r >= firstMark && unicode.Is(bertReordered, r) }

func markClass(r rune) uint8 { return norm.NFD.PropertiesString(string(r)).CCC() }

// lowerRun says that lo, lo+step, … hi have a lower case at the given distance.
type lowerRun struct{ lo, hi, step, delta rune }

func appendLower(out []byte, r rune) []byte {
	if r == 'İ' { // the one code point whose lower case is two
		return append(out, "i̇"...)
	}
	i, found := slices.BinarySearchFunc(bertLower, r, func(run lowerRun, r rune) int {
		switch {
		case run.hi < r:
			return -1
		case run.lo > r:
			return 1
		}
		return 0
	})
	if found && (r-bertLower[i].lo)%bertLower[i].step == 0 {
		r += bertLower[i].delta
	}
	return utf8.AppendRune(out, r)
}
