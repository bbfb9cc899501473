package metric

import (
	"fmt"
	"slices"
	"strings"
)

// A Scheme is a way of writing entities as one tag per token.
type Scheme string

// The schemes. Plain tags have no prefix: each is a class of its own (parts of speech, for example), and each token whose tag isn't
// O counts as an entity of one token.
const (
	BIO   Scheme = "BIO"   // every entity begins with B-; also called IOB2
	IOB1  Scheme = "IOB1"  // B- only where an entity follows one of its own type
	IOBES Scheme = "IOBES" // E- ends an entity, S- is one of a single token
	BILOU Scheme = "BILOU" // IOBES with L- for E- and U- for S-
	Plain Scheme = "plain"
)

// Schemes are all of them.
var Schemes = []Scheme{BIO, IOB1, IOBES, BILOU, Plain}

// ParseScheme returns the scheme of a name; upper and lower case are equal, and IOB2 is BIO, BIOES is IOBES.
func ParseScheme(name string) (Scheme, error) {
	switch strings.ToUpper(name) {
	case "IOB2":
		return BIO, nil
	case "BIOES":
		return IOBES, nil
	}
	for _, s := range Schemes {
		if strings.EqualFold(name, string(s)) {
			return s, nil
		}
	}
	return "", fmt.Errorf("metric: tag scheme %q: unknown; the schemes are %v", name, Schemes)
}

// DetectScheme tells the scheme of a set of tags by their prefixes. Tags of which one has no prefix at all are Plain. A set with B-
// and I- only is BIO: IOB1 has the same tags, so that it must be named; without B-, only IOB1 can mean it. Tags that are letters
// alone, B and O among them, are of entities of one type that has no name.
func DetectScheme(tags []string) (Scheme, error) {
	letters := map[string]bool{}
	alone := slices.Contains(tags, "B") && slices.Contains(tags, "O")
	for _, t := range tags {
		alone = alone && len(t) == 1
	}
	for _, t := range tags {
		if t == "O" {
			continue
		}
		prefix, _, dash := strings.Cut(t, "-")
		if !slices.Contains([]string{"B", "I", "E", "S", "L", "U"}, prefix) || !dash && !alone {
			return Plain, nil
		}
		letters[prefix] = true
	}
	ends, lasts := letters["E"] || letters["S"], letters["L"] || letters["U"]
	switch {
	case ends && lasts:
		return "", fmt.Errorf("metric: tags mix E-/S- (IOBES) with L-/U- (BILOU); name one scheme and write all tags in it")
	case letters["E"] && !letters["B"] && !letters["S"]:
		return "", fmt.Errorf("metric: tags with I- and E- alone (IOE) aren't supported; write them as BIO")
	case ends:
		return IOBES, nil
	case lasts:
		return BILOU, nil
	case letters["I"] && !letters["B"]:
		return IOB1, nil
	case len(letters) == 0:
		return Plain, nil
	}
	return BIO, nil
}

// Check fails for a set of tags of which one isn't of the scheme: a letter that it has, with or without a type. Plain has any.
func (s Scheme) Check(tags []string) error {
	g, ok := grammars[s]
	for _, t := range tags {
		letter, _, _ := strings.Cut(t, "-")
		if ok && (len(letter) != 1 || !strings.Contains(g.letters, letter)) {
			return fmt.Errorf("metric: tag %q isn't of scheme %s, whose tags are O and, before a dash and a type, %s", t, s, strings.ReplaceAll(g.letters, "O", ""))
		}
	}
	return nil
}

// A pattern matches a pair of neighbouring tags: the letters that the first and the second may have, and how their types compare.
type pattern struct {
	first, second string
	types         comparison
}

type comparison int

const (
	anyType comparison = iota
	sameType
	otherType
)

// A grammar is what seqeval.scheme calls a Token: which letters there are, and which pairs start, continue and end an entity.
type grammar struct {
	letters            string
	start, inside, end []pattern
}

var insideBI = []pattern{{"BI", "I", sameType}}

var grammars = map[Scheme]grammar{
	BIO: {
		letters: "BIO",
		start:   []pattern{{"BIO", "B", anyType}},
		inside:  insideBI,
		end:     []pattern{{"BI", "OB", anyType}, {"BI", "I", otherType}},
	},
	IOB1: {
		letters: "BIO",
		start:   []pattern{{"OB", "I", anyType}, {"I", "I", otherType}, {"IB", "B", sameType}},
		inside:  insideBI,
		end:     []pattern{{"BI", "O", anyType}, {"BI", "I", otherType}, {"I", "B", anyType}, {"B", "B", sameType}},
	},
	IOBES: {
		letters: "BIOES",
		start:   []pattern{{"BIOES", "BS", anyType}},
		inside:  []pattern{{"BI", "IE", sameType}},
		end:     []pattern{{"ES", "BIOES", anyType}},
	},
	BILOU: {
		letters: "BIOLU",
		start:   []pattern{{"BIOLU", "BU", anyType}},
		inside:  []pattern{{"BI", "IL", sameType}},
		end:     []pattern{{"LU", "BIOLU", anyType}},
	},
}

func matches(patterns []pattern, prev, cur tag) bool {
	for _, p := range patterns {
		if strings.Contains(p.first, prev.letter) && strings.Contains(p.second, cur.letter) &&
			(p.types == anyType || (p.types == sameType) == (prev.kind == cur.kind)) {
			return true
		}
	}
	return false
}
