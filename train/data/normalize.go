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

// normalize applies the steps in Hugging Face's order. Text that isn't UTF-8 loses
// its invalid bytes where cleanText is on, and has U+FFFD in their place where not.
func (n *normalizer) normalize(text string) string {
	if s, ok := n.normalizeASCII(text); ok {
		return s
	}
	rs := make([]rune, 0, len(text)+8)
	for _, r := range text {
		if n.cleanText {
			if r = cleanRune(r); r < 0 {
				continue
			}
		}
		if n.chineseChars && isChinese(r) {
			rs = append(rs, ' ', r, ' ')
			continue
		}
		rs = append(rs, r)
	}
	if n.stripAccents {
		rs = slices.DeleteFunc(decompose(rs), func(r rune) bool { return unicode.Is(bertMark, r) })
	}
	out := make([]byte, 0, len(text))
	for _, r := range rs {
		if n.lowercase {
			out = appendLower(out, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return string(out)
}

// normalizeASCII is normalize for text that is ASCII only, most text that BERT sees;
// ok is false for other text.
func (n *normalizer) normalizeASCII(text string) (s string, ok bool) {
	out := make([]byte, 0, len(text))
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= utf8.RuneSelf:
			return "", false
		case n.cleanText && (c == '\t' || c == '\n' || c == '\r'):
			c = ' '
		case n.cleanText && (c < ' ' || c == 0x7f):
			continue
		case n.lowercase && 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return string(out), true
}

// cleanRune returns what clean_text makes of r: r, a space, or -1 where it goes.
func cleanRune(r rune) rune {
	switch {
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

// decompose returns rs in normalization form D. It isn't norm.NFD.String, because that
// one inserts U+034F into long runs of marks and knows code points that Hugging Face
// doesn't.
func decompose(rs []rune) []rune {
	out := make([]rune, 0, len(rs))
	for _, r := range rs {
		if 0xAC00 <= r && r <= 0xD7A3 || unicode.Is(bertDecomposed, r) {
			for _, d := range norm.NFD.String(string(r)) {
				out = append(out, d)
			}
			continue
		}
		out = append(out, r)
	}
	orderMarks(out)
	return out
}

// orderMarks puts each run of combining marks in the order of their classes
// (Unicode's Canonical Ordering Algorithm, D109).
func orderMarks(rs []rune) {
	for i := 0; i < len(rs); i++ {
		if !unicode.Is(bertReordered, rs[i]) {
			continue
		}
		j := i + 1
		for j < len(rs) && unicode.Is(bertReordered, rs[j]) {
			j++
		}
		slices.SortStableFunc(rs[i:j], func(a, b rune) int { return int(markClass(a)) - int(markClass(b)) })
		i = j
	}
}

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
