package task

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/metric"
)

func init() {
	register("token-classification", "a tag for each word: entities in BIO, IOB1, IOBES or BILOU, or plain tags such as parts of speech; cross entropy",
		func() Task { return &TokenClassification{} })
}

// TokenClassification gives each word a tag. A word is what its first token is, as in Hugging Face's examples: the other tokens
// have no target, unless AllPieces is set, and no say.
type TokenClassification struct {
	Scheme    string `json:"scheme,omitempty" flag:"scheme" usage:"how tags make entities: bio, iob1, iobes, bilou, or plain for tags of single words (default: by the tags, where iob1 passes for bio)"`
	Strict    bool   `json:"strict_entities,omitempty" flag:"strict-entities" usage:"count only entities whose tags keep to the scheme, as seqeval's strict mode does"`
	AllPieces bool   `json:"label_all_pieces,omitempty" flag:"label-all-pieces" usage:"learn the tag from all pieces of a word (those behind the first have I- for B-), not from the first alone"`
}

// Head is a classifier of tokens.
func (*TokenClassification) Head() models.Task { return models.TokenClassification }

// Schema is words and as many tags.
func (*TokenClassification) Schema() *data.Schema {
	return &data.Schema{Words: true, List: true,
		Texts:  []data.TextNames{{Text: "tokens"}, {Text: "words"}, {Text: "form"}, {Text: "text"}, {Text: "sentence"}},
		Labels: []string{"tags", "ner_tags", "labels", "upos", "pos_tags", "ner", "pos", "tag", "label", "chunk_tags"}}
}

// Labels are the tags.
func (t *TokenClassification) Labels(set *data.Set, given []string) ([]string, error) {
	names := given
	if given == nil && set == nil {
		return nil, &NoLabelsError{}
	}
	var err error
	if given == nil {
		names, err = data.InferListed(set)
	} else if set != nil {
		_, err = data.ResolveLabels(set, given)
	}
	if err != nil {
		return nil, err
	}
	if _, err := data.NewLabels(names); err != nil {
		if given == nil {
			err = fmt.Errorf("task: %s: column %q holds %q only: %w", set.Path, set.LabelColumn, names, err)
		}
		return nil, err
	}
	return names, t.fits(names, set, given != nil)
}

// fits refuses tags that aren't of the scheme, and those that would be taken for something else than was meant.
func (t *TokenClassification) fits(names []string, set *data.Set, given bool) error {
	where := "task"
	if set != nil {
		where = fmt.Sprintf("task: %s: column %q", set.Path, set.LabelColumn)
	}
	s, err := t.scheme(names)
	if err == nil {
		err = s.Check(names)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", where, err)
	case t.Scheme != "" || set == nil:
		return nil
	case s == metric.Plain && !given && !slices.ContainsFunc(names, noNumber):
		return &SchemeError{where, "the tags are numbers: nothing says what they stand for",
			"name them with --labels O,B-PER,… in the order of their numbers, or --scheme plain if they are meant as they are"}
	case s == metric.Plain && slices.ContainsFunc(names, entityTag) && slices.Contains(names, "O"):
		odd := names[slices.IndexFunc(names, func(n string) bool { return n != "O" && !entityTag(n) })]
		return &SchemeError{where, fmt.Sprintf("there are tags of entities and others such as %q", odd),
			"correct them, or --scheme plain if each tag is a class of its own"}
	case s == metric.BIO && t.Strict && looksLikeIOB1(set):
		return &SchemeError{where, "the tags are of bio or of iob1: entities begin with I-, and B- is only where one follows another of its type",
			"say which with --scheme"}
	}
	return nil
}

func noNumber(tag string) bool {
	_, err := strconv.Atoi(tag)
	return err != nil
}

// entityTag reports whether a tag is a scheme's letter and a type.
func entityTag(tag string) bool {
	letter, kind, _ := strings.Cut(tag, "-")
	return kind != "" && strings.Contains("B I E S L U", letter) && len(letter) == 1
}

// looksLikeIOB1 reports whether entities begin with I-, and with B- only behind one of their own type.
func looksLikeIOB1(set *data.Set) bool {
	begins := false
	for _, ex := range set.Examples {
		previous := ""
		for _, tag := range ex.Labels {
			letter, kind, _ := strings.Cut(tag, "-")
			if letter == "B" && kind != previous {
				return false
			}
			begins = begins || letter == "I" && kind != previous
			previous = kind
		}
	}
	return begins
}

// A SchemeError says that tags may mean several things.
type SchemeError struct{ Where, What, Try string }

func (e *SchemeError) Error() string { return e.Where + ": " + e.What }

// Hint says what to try.
func (e *SchemeError) Hint() string { return e.Try }

func (t *TokenClassification) scheme(labels []string) (metric.Scheme, error) {
	if t.Scheme != "" {
		return metric.ParseScheme(t.Scheme)
	}
	return metric.DetectScheme(labels)
}

func (t *TokenClassification) validate() error {
	if t.Scheme == "" {
		return nil
	}
	if _, err := metric.ParseScheme(t.Scheme); err != nil {
		return fmt.Errorf("--scheme: %w", err)
	}
	return nil
}

// Targets are a class for each token.
func (*TokenClassification) Targets(labels []string) []data.TargetSpec {
	return []data.TargetSpec{{Name: "tag", DType: graph.Int64, PerToken: true, Classes: len(labels)}}
}

// Encode tokenizes the words, or the text whose words the tokenizer then finds, in windows where it is long. Tokens without a
// target weigh nothing.
func (t *TokenClassification) Encode(e Encoder, set *data.Set, labels []string) (*data.Dataset, error) {
	for _, ex := range set.Examples {
		if err := checkWords(set, ex); err != nil {
			return nil, err
		}
	}
	d, err := data.NewWordDataset(e.Tokenizer, set, e.MaxLength)
	if err != nil || set.LabelColumn == "" {
		return d, err
	}
	classes, err := data.NewLabels(labels)
	if err != nil {
		return nil, err
	}
	target := data.Target{TargetSpec: t.Targets(labels)[0]}
	for _, n := range d.Lengths() {
		target.Ints, d.Weights = append(target.Ints, make([]int64, n)), append(d.Weights, make([]float32, n))
	}
	for i, windows := range d.Windows() {
		ex := d.Examples[i]
		for w, p := range d.FirstPieces(windows, len(ex.Words)) {
			class, err := classes.Of(set, ex, ex.Labels[w])
			if err != nil {
				return nil, err
			}
			if p.Encoding < 0 {
				continue
			}
			target.Ints[p.Encoding][p.Token], d.Weights[p.Encoding][p.Token] = class, 1
			for k := p.Token + 1; t.AllPieces && k < len(d.Encodings[p.Encoding].Words) && d.Encodings[p.Encoding].Words[k] == w; k++ {
				target.Ints[p.Encoding][k], d.Weights[p.Encoding][k] = inside(labels, class), 1
			}
		}
	}
	d.Targets = []data.Target{target}
	return d, nil
}

func checkWords(set *data.Set, ex data.Example) error {
	words, tags := len(ex.Words), len(ex.Labels)
	switch {
	case ex.HasPair:
		return fmt.Errorf("task: %s: token classification reads one text, and there is a second one", set.Where(ex))
	case ex.Words != nil && words == 0:
		return fmt.Errorf("task: %s: the sentence has no words", set.Where(ex))
	case set.LabelColumn != "" && words != tags:
		return fmt.Errorf("task: %s: %d tags for %d words: each word needs one", set.Where(ex), tags, words)
	}
	return nil
}

// inside is the class of a word's further tokens: where the word begins an entity, that which continues it.
func inside(labels []string, class int64) int64 {
	if kind, ok := strings.CutPrefix(labels[class], "B-"); ok {
		if i := slices.Index(labels, "I-"+kind); i >= 0 {
			return int64(i)
		}
	}
	return class
}

// Loss is the cross entropy of the tokens that have a target.
func (*TokenClassification) Loss(l *Loss) *graph.Value {
	return l.weighted(l.crossEntropy(l.Output, l.Targets["tag"], 2, 0))
}

// Metrics are those of entities.
func (*TokenClassification) Metrics() []string {
	return []string{"f1", "precision", "recall", "accuracy"}
}

// Evaluate compares entities as seqeval does, and says what its strict mode finds beside its default; accuracy is that of the
// words. Words that give no token, such as control characters, don't count.
func (t *TokenClassification) Evaluate(r *Results) (Scores, error) {
	s, err := t.scheme(r.Labels)
	if err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	strict, err := t.report(r, metric.Reading{Scheme: s, Strict: true})
	if err != nil {
		return nil, err
	}
	m := strict
	if !t.Strict {
		if m, err = t.report(r, metric.Reading{Scheme: s}); err != nil {
			return nil, err
		}
	}
	out := Scores{"precision": m.Micro.Precision, "recall": m.Micro.Recall, "f1": m.Micro.F1, "accuracy": m.Accuracy}
	if s != metric.Plain {
		out["strict_f1"] = strict.Micro.F1
	}
	return out, nil
}

func (t *TokenClassification) report(r *Results, reading metric.Reading) (metric.EntityReport, error) {
	target := r.Data.Target("tag")
	var truth, found [][]string
	for i, windows := range r.Data.Windows() {
		var is, said []string
		for _, p := range r.Data.FirstPieces(windows, len(r.Data.Examples[i].Words)) {
			if p.Encoding >= 0 {
				is = append(is, r.Labels[target.Ints[p.Encoding][p.Token]])
				said = append(said, r.Labels[numeric.Argmax(r.token(p))])
			}
		}
		truth, found = append(truth, is), append(found, said)
	}
	return metric.EntityScores(truth, found, reading)
}

// token is the outputs for one token.
func (r *Results) token(p data.Piece) []float32 {
	return r.Rows[p.Encoding][p.Token*r.Width : (p.Token+1)*r.Width]
}

// EntityDetail is what each type of entities comes to.
type EntityDetail struct {
	Types    []TypeScore `json:"types"`
	Micro    TypeScore   `json:"micro"`
	Macro    TypeScore   `json:"macro"`
	Weighted TypeScore   `json:"weighted"`
}

// A TypeScore is one type's, or a mean over the types.
type TypeScore struct {
	Type string `json:"type"`
	metric.Score
}

// Lines are a table of the types.
func (d EntityDetail) Lines() []string {
	out := []string{"type\tprecision\trecall\tf1\tentities"}
	for _, s := range append(slices.Clone(d.Types), d.Micro, d.Macro, d.Weighted) {
		out = append(out, fmt.Sprintf("%s\t%.4f\t%.4f\t%.4f\t%d", s.Type, s.Precision, s.Recall, s.F1, s.Support))
	}
	return out
}

// Detail is precision and recall of each type of entities, or of each plain tag but O.
func (t *TokenClassification) Detail(r *Results) (Answer, error) {
	s, err := t.scheme(r.Labels)
	if err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	m, err := t.report(r, metric.Reading{Scheme: s, Strict: t.Strict})
	if err != nil {
		return nil, err
	}
	d := EntityDetail{Micro: TypeScore{"micro", m.Micro}, Macro: TypeScore{"macro", m.Macro}, Weighted: TypeScore{"weighted", m.Weighted}}
	for _, kind := range slices.Sorted(maps.Keys(m.Types)) {
		d.Types = append(d.Types, TypeScore{kind, m.Types[kind]})
	}
	return d, nil
}

// A Tagged is a part of a text with its label: from code point Start up to End. Score is the mean of its words' probabilities.
type Tagged struct {
	Label string  `json:"label"`
	Score float64 `json:"score"`
	Start int     `json:"start"`
	End   int     `json:"end"`
	Text  string  `json:"text"`
}

// An EntitiesAnswer is the entities of a text.
type EntitiesAnswer struct {
	Entities []Tagged `json:"entities"`
}

// Lines are one for each entity.
func (a EntitiesAnswer) Lines() []string {
	if len(a.Entities) == 0 {
		return []string{"no entity"}
	}
	return taggedLines(a.Entities)
}

// Listed says that there may be several.
func (EntitiesAnswer) Listed() {}

// A WordsAnswer is the words of a text with their plain tags.
type WordsAnswer struct {
	Words []Tagged `json:"words"`
}

// Lines are one for each word.
func (a WordsAnswer) Lines() []string {
	if len(a.Words) == 0 {
		return []string{"no word"}
	}
	return taggedLines(a.Words)
}

// Listed says that there may be several.
func (WordsAnswer) Listed() {}

func taggedLines(parts []Tagged) []string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = fmt.Sprintf("%s\t%.4f\t%d-%d\t%s", p.Label, p.Score, p.Start, p.End, p.Text)
	}
	return out
}

// Answer is the entities, or the tagged words, of a text: what Hugging Face's pipeline answers with aggregation_strategy
// "first". A word's tag is that of its first token, and an entity's score the mean of its words'. The words are those given,
// or what white space and punctuation part.
func (t *TokenClassification) Answer(r *Results, example int, windows []int) Answer {
	text := []rune(r.Data.Examples[example].Text)
	extents := r.Data.Extents(example, windows)
	var tags []string
	words := []Tagged{}
	for w, p := range r.Data.FirstPieces(windows, 0) {
		if p.Encoding < 0 {
			continue
		}
		row, at := r.token(p), extents[w]
		best := numeric.Argmax(row)
		tags = append(tags, r.Labels[best])
		words = append(words, Tagged{r.Labels[best], softmax(row, 1)[best], at[0], at[1], string(text[at[0]:at[1]])})
	}
	s, err := t.scheme(r.Labels)
	if s == metric.Plain {
		return WordsAnswer{words}
	}
	spans, spanErr := metric.Reading{Scheme: s}.Entities(tags)
	if cmp.Or(err, spanErr) != nil {
		return WordsAnswer{words} // of tags that Labels refuses
	}
	out := EntitiesAnswer{Entities: []Tagged{}}
	for _, span := range spans {
		score := 0.0
		for _, word := range words[span.Start:span.End] {
			score += word.Score / float64(span.End-span.Start)
		}
		start, end := words[span.Start].Start, words[span.End-1].End
		out.Entities = append(out.Entities, Tagged{span.Type, score, start, end, string(text[start:end])})
	}
	return out
}

// Same compares the tags of all tokens.
func (*TokenClassification) Same(a, b []float32, width int) bool {
	for at := 0; at+width <= len(a); at += width {
		if numeric.Argmax(a[at:at+width]) != numeric.Argmax(b[at:at+width]) {
			return false
		}
	}
	return true
}
