package metric

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Span is an entity: tokens [Start, End) of a sentence.
type Span struct {
	Type  string `json:"type"`
	Start int    `json:"start"`
	End   int    `json:"end"`
}

// A Reading says how tags become entities.
type Reading struct {
	Scheme Scheme
	// Strict counts only entities that keep to the scheme, as seqeval does with mode="strict" and a scheme. Otherwise a stray I- starts
	// an entity as in conlleval, and the scheme matters only where it is BILOU or Plain.
	Strict bool
}

// Entities returns the entities of a sentence in their order. It is an error when a tag is empty or, in a strict reading, not of the
// scheme. The types are what follows the first letter and its dash; a tag that is a letter alone has the type "_".
func (r Reading) Entities(tags []string) ([]Span, error) {
	out, err := r.entities(tags)
	if err != nil {
		return nil, fmt.Errorf("metric: %w", err)
	}
	return out, nil
}

func (r Reading) entities(tags []string) ([]Span, error) {
	for i, t := range tags {
		if t == "" {
			return nil, fmt.Errorf("token %d: its tag is empty; a token outside entities is tagged O", i)
		}
	}
	if r.Scheme == Plain {
		return plainSpans(tags), nil
	}
	if r.Strict {
		return strictSpans(tags, r.Scheme)
	}
	return lenientSpans(tags, r.Scheme == BILOU), nil
}

func plainSpans(tags []string) []Span {
	var out []Span
	for i, t := range tags {
		if t != "O" {
			out = append(out, Span{t, i, i + 1})
		}
	}
	return out
}

// A tag is a letter and the type of the entity.
type tag struct{ letter, kind string }

var outside = tag{"O", "_"}

// split parts a tag from its type; typeOf says how the two modes of seqeval read the rest behind the letter, for they differ.
func split(t string, typeOf func(string) string) tag {
	_, size := utf8.DecodeRuneInString(t)
	kind := typeOf(t[size:])
	if kind == "" {
		kind = "_"
	}
	return tag{t[:size], kind}
}

func lenientType(rest string) string {
	if _, after, ok := strings.Cut(rest, "-"); ok {
		return after
	}
	return rest
}

func strictType(rest string) string { return strings.Trim(rest, "-") }

// lenientSpans is seqeval's get_entities. That knows neither L nor U: they are read as what they mean.
func lenientSpans(tags []string, bilou bool) []Span {
	var out []Span
	prev, begin := outside, 0
	for i := 0; i <= len(tags); i++ {
		cur := outside
		if i < len(tags) {
			cur = split(tags[i], lenientType)
		}
		if bilou {
			cur.letter = strings.NewReplacer("L", "E", "U", "S").Replace(cur.letter)
		}
		if endsBetween(prev, cur) {
			out = append(out, Span{prev.kind, begin, i})
		}
		if startsBetween(prev, cur) {
			begin = i
		}
		prev = cur
	}
	return out
}

func endsBetween(prev, cur tag) bool {
	switch prev.letter {
	case "E", "S":
		return true
	case "O", ".":
		return false
	case "B", "I":
		return prev.kind != cur.kind || strings.Contains("BSO", cur.letter)
	}
	return prev.kind != cur.kind
}

func startsBetween(prev, cur tag) bool {
	switch cur.letter {
	case "B", "S":
		return true
	case "O", ".":
		return false
	case "I", "E":
		return prev.kind != cur.kind || strings.Contains("ESO", prev.letter)
	}
	return prev.kind != cur.kind
}

// strictSpans is seqeval.scheme's Tokens.entities.
func strictSpans(tags []string, scheme Scheme) ([]Span, error) {
	g, ok := grammars[scheme]
	if !ok {
		return nil, fmt.Errorf("tag scheme %q: unknown; the schemes are %v", scheme, Schemes)
	}
	all := make([]tag, 0, len(tags)+1)
	for i, t := range tags {
		all = append(all, split(t, strictType))
		if !strings.Contains(g.letters, all[i].letter) {
			return nil, fmt.Errorf("token %d: tag %q isn't of scheme %s, whose letters are %s", i, t, scheme, g.letters)
		}
	}
	all = append(all, outside)
	var out []Span
	prev := outside
	for i := 0; i < len(all); {
		next := i + 1
		if matches(g.start, prev, all[i]) {
			for next < len(all) && matches(g.inside, all[next-1], all[next]) {
				next++
			}
			if matches(g.end, all[next-1], all[next]) {
				out = append(out, Span{all[i].kind, i, next})
			}
		}
		prev, i = all[next-1], next
	}
	return out, nil
}

// An EntityReport is what seqeval reports. Micro is over all entities, Macro and Weighted are means over the types.
type EntityReport struct {
	Micro    Score            `json:"micro"`
	Macro    Score            `json:"macro"`
	Weighted Score            `json:"weighted"`
	Types    map[string]Score `json:"types"` // every type that is true or predicted anywhere
	// Accuracy is the share of tokens with the true tag.
	Accuracy float64 `json:"accuracy"`
}

// EntityScores compares the tags of sentences. An entity is found when its type and both of its ends are right. truth and predicted
// have one list of tags per sentence; it is an error when a sentence has not as many of both.
func EntityScores(truth, predicted [][]string, r Reading) (EntityReport, error) {
	sameLength("entity scores", len(truth), len(predicted))
	byType := map[string]*counts{}
	right, tokens := 0, 0
	for s := range truth {
		if len(truth[s]) != len(predicted[s]) {
			return EntityReport{}, fmt.Errorf("metric: sentence %d: %d true and %d predicted tags", s, len(truth[s]), len(predicted[s]))
		}
		if err := countEntities(byType, truth[s], predicted[s], r); err != nil {
			return EntityReport{}, fmt.Errorf("metric: sentence %d: %w", s, err)
		}
		for i := range truth[s] {
			if truth[s][i] == predicted[s][i] {
				right++
			}
		}
		tokens += len(truth[s])
	}
	report := EntityReport{Types: map[string]Score{}, Accuracy: share(right, tokens)}
	var all []counts
	for _, kind := range slices.Sorted(maps.Keys(byType)) {
		all = append(all, *byType[kind])
		report.Types[kind] = byType[kind].score()
	}
	report.Micro, report.Macro, report.Weighted = micro(all), macro(all), weighted(all)
	return report, nil
}

func countEntities(byType map[string]*counts, truth, predicted []string, r Reading) error {
	of := func(kind string) *counts {
		if byType[kind] == nil {
			byType[kind] = &counts{}
		}
		return byType[kind]
	}
	actual, err := r.entities(truth)
	if err != nil {
		return fmt.Errorf("true tags: %w", err)
	}
	found, err := r.entities(predicted)
	if err != nil {
		return fmt.Errorf("predicted tags: %w", err)
	}
	is := map[Span]bool{}
	for _, s := range actual {
		of(s.Type).actual++
		is[s] = true
	}
	for _, s := range found {
		of(s.Type).predicted++
		if is[s] {
			of(s.Type).hits++
		}
	}
	return nil
}
