package metric

import (
	"strings"
	"unicode"
)

// What Python's str methods do and Go's strings don't, as far as the SQuAD scripts need it. The two know Unicode in the edition that
// they were built with (Python 3.11: 14, Go 1.26: 15), so that they differ in letters that one of them doesn't know yet.

// pythonSpace is str.isspace: unlike unicode.IsSpace it has the four separators below the space.
func pythonSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// pythonFields is str.split().
func pythonFields(s string) []string { return strings.FieldsFunc(s, pythonSpace) }

// pythonWordRune is \w of the re module: str.isalnum or an underscore. Combining marks are not words.
func pythonWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || r == '_' }

// pythonLower is str.lower, the full mapping of the Unicode standard: a capital I with a dot becomes two characters, and a capital
// sigma at the end of a word becomes the final one.
func pythonLower(s string) string {
	if !strings.ContainsAny(s, "İΣ") {
		return strings.ToLower(s)
	}
	var out strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		switch {
		case r == 'İ':
			out.WriteString("i\u0307")
		case r == 'Σ' && finalSigma(runes, i):
			out.WriteRune('ς')
		default:
			out.WriteRune(unicode.ToLower(r))
		}
	}
	return out.String()
}

// finalSigma is the condition Final_Sigma of the Unicode standard (section 3.13): behind a cased letter and not before one, whatever
// case-ignorable characters are between.
func finalSigma(runes []rune, at int) bool {
	before := at - 1
	for before >= 0 && caseIgnorable(runes[before]) {
		before--
	}
	after := at + 1
	for after < len(runes) && caseIgnorable(runes[after]) {
		after++
	}
	return before >= 0 && cased(runes[before]) && (after == len(runes) || !cased(runes[after]))
}

func cased(r rune) bool {
	return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Lowercase, unicode.Other_Uppercase)
}

// caseIgnorable has the general categories and, as characters, those whose Word_Break is MidLetter, MidNumLet or Single_Quote.
func caseIgnorable(r rune) bool {
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) ||
		strings.ContainsRune("'.:·\u0387\u055f\u05f4\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a", r)
}
