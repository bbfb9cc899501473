package task

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/metric"
)

// negativeField is the third text of a row.
const negativeField = "negative"

// Schema is two texts, or one to embed, with a score or a label where there is one and a third text where there is one.
func (*Embedding) Schema() *data.Schema {
	return &data.Schema{
		Texts: []data.TextNames{
			{Text: "anchor", Pair: "positive"}, {Text: "query", Pair: "positive"}, {Text: "sentence1", Pair: "sentence2"},
			{Text: "sentence_A", Pair: "sentence_B"}, {Text: "premise", Pair: "hypothesis"}, {Text: "question1", Pair: "question2"},
			{Text: "text1", Pair: "text2"}, {Text: "text_a", Pair: "text_b"}, {Text: "query", Pair: "document"},
			{Text: "query", Pair: "passage"}, {Text: "query", Pair: "answer"}, {Text: "question", Pair: "answer"},
			{Text: "question", Pair: "passage"}, {Text: "question", Pair: "sentence"}, {Text: "title", Pair: "body"},
			{Text: "text"}, {Text: "sentence"}, {Text: "content"}, {Text: "sentence1"}, {Text: "query"}, {Text: "question"}, {Text: "title"},
		},
		Labels:     []string{"score", "similarity", "similarity_score", "relatedness_score", "label", "labels", "gold_label"},
		Unlabelled: true,
		Fields:     []data.Field{{Name: negativeField, Columns: []string{"negative", "hard_negative", "negative_1", "sentence3"}}},
	}
}

// Choose takes the loss that the columns are for, and finds out what the scores go from and to.
func (t *Embedding) Choose(set *data.Set) (said []string, err error) {
	pairs := len(set.Examples) > 0 && set.Examples[0].HasPair
	third := slices.ContainsFunc(set.Examples, func(e data.Example) bool { return e.Fields[negativeField] != nil })
	labels := labelsOf(set)
	if t.Objective == "" {
		t.Objective = RankingLoss
		why := "pairs without a score"
		switch {
		case !pairs:
			return nil, fmt.Errorf("task: %s: the rows have one text each, and embeddings learn from pairs; name the second text's column with --pair-column", set.Path)
		case labels == scoreLabels && !third:
			t.Objective, why = CosineLoss, "column "+set.LabelColumn+" has scores"
		case labels == wordLabels:
			why = fmt.Sprintf("pairs whose %s is %q; the others are left out", set.LabelColumn, t.Positives)
		}
		said = append(said, fmt.Sprintf("--loss %s: %s", t.Objective, why))
	}
	if third && !t.scored() && !t.Negatives {
		t.Negatives = true
		said = append(said, "--hard-negatives: the rows have a third text")
	}
	if _, err := strconv.ParseFloat(t.Positives, 64); err != nil && labels == scoreLabels && !t.scored() {
		return nil, fmt.Errorf("task: %s: column %q has scores, and %s wants pairs that belong together; say from which score on they do, as in --positives 4, or take --loss %s",
			set.Path, set.LabelColumn, t.Objective, CosineLoss)
	}
	if labels == scoreLabels && t.scored() && t.Range.IsZero() {
		if t.Range, err = t.Range.of(set); err != nil {
			return nil, err
		}
		said = append(said, fmt.Sprintf("--score-range %s: from the scores", t.Range))
	}
	return said, t.validate()
}

// What a set's labels are.
const (
	noneLabels = iota
	scoreLabels
	wordLabels
)

func labelsOf(set *data.Set) int {
	if set.LabelColumn == "" {
		return noneLabels
	}
	for _, e := range set.Examples {
		if _, err := strconv.ParseFloat(e.Label, 64); err != nil {
			return wordLabels
		}
	}
	return scoreLabels
}

// Encode makes each text of a row one encoding. Rows that all have two texts, or three, are groups; rows of texts and of pairs, as
// prediction may have them, are not.
func (t *Embedding) Encode(e Encoder, set *data.Set, _ []string) (*data.Dataset, error) {
	texts := make([][]string, len(set.Examples))
	for i, ex := range set.Examples {
		var err error
		if texts[i], err = t.textsOf(set, ex); err != nil {
			return nil, err
		}
	}
	group := 0
	var flat []data.Example
	var origin []int
	for i, row := range texts {
		if group == 0 {
			group = len(row)
		} else if group != len(row) {
			group = -1
		}
		for _, text := range row {
			flat, origin = append(flat, data.Example{Text: text}), append(origin, i)
		}
	}
	d := data.NewDataset(e.Tokenizer, flat, e.MaxLength)
	d.Examples, d.Group = set.Examples, max(group, 1)
	switch {
	case group < 0:
		d.Origin = origin
		fallthrough
	case group < 2:
		return d, nil
	}
	d.Targets = []data.Target{t.sameTexts(texts, group)}
	return d, t.label(d, set)
}

// textsOf returns the texts of a row that the loss compares.
func (t *Embedding) textsOf(set *data.Set, ex data.Example) ([]string, error) {
	out, names := []string{ex.Text}, []string{"first text", "second text", "third text"}
	if !ex.HasPair {
		return out, nil
	}
	out = append(out, ex.Pair)
	negatives := ex.Fields[negativeField]
	switch {
	case t.scored():
	case len(negatives) > 1:
		return nil, fmt.Errorf("task: %s: %d texts that should not be found; a row has one, so give the others rows of their own", set.Where(ex), len(negatives))
	default:
		out = append(out, negatives...)
	}
	if t.Group() > len(out) && slices.ContainsFunc(set.Examples, func(e data.Example) bool { return e.Fields[negativeField] != nil }) {
		return nil, fmt.Errorf("task: %s: the row has no text that should not be found, and others have; give it one or take it out", set.Where(ex))
	}
	for i, text := range out {
		if strings.TrimSpace(text) == "" {
			return nil, fmt.Errorf("task: %s: the %s is empty: it is similar to nothing; take the row out", set.Where(ex), names[i])
		}
	}
	return out, nil
}

// sameTexts numbers the texts, equal ones alike.
func (t *Embedding) sameTexts(rows [][]string, group int) data.Target {
	out := data.Target{TargetSpec: t.texts(group)}
	numbers := map[string]int64{}
	for _, row := range rows {
		ids := make([]int64, group)
		for k, text := range row {
			if _, known := numbers[text]; !known {
				numbers[text] = int64(len(numbers))
			}
			ids[k] = numbers[text]
		}
		out.Ints = append(out.Ints, ids)
	}
	return out
}

// label adds the scores and, for a loss that knows only what belongs together, weights of 0 for what doesn't. Scores alone are no
// error for such a loss: it can be judged by them.
func (t *Embedding) label(d *data.Dataset, set *data.Set) error {
	kind := labelsOf(set)
	if kind == noneLabels {
		return nil
	}
	if kind == wordLabels && t.scored() {
		_, err := set.Scores() // says which row has no number
		return err
	}
	least := math.Inf(1)
	if kind == scoreLabels {
		values, err := t.scores(set)
		if err != nil {
			return err
		}
		d.Targets = append(d.Targets, data.Scores(scoreTarget, values))
		if x, err := strconv.ParseFloat(t.Positives, 64); err == nil {
			least = x
		}
	}
	if t.scored() {
		return nil
	}
	for _, ex := range set.Examples {
		score, err := strconv.ParseFloat(ex.Label, 64)
		weight := float32(0)
		if ex.Label == t.Positives || kind == scoreLabels && err == nil && score >= least {
			weight = 1
		}
		d.Weights = append(d.Weights, []float32{weight})
	}
	return nil
}

// scores are the pairs' scores as cosines should be.
func (t *Embedding) scores(set *data.Set) ([]float32, error) {
	values, err := set.Scores()
	if err != nil {
		return nil, err
	}
	by := t.Range
	if by.IsZero() {
		if by, err = by.of(set); err != nil {
			return nil, err
		}
	}
	for i, v := range values {
		if x := float64(v); x < by.Lowest || x > by.Highest {
			return nil, fmt.Errorf("task: %s: the score %v is outside of --score-range %s", set.Where(set.Examples[i]), v, by)
		}
		values[i] = by.scale(v)
	}
	return values, nil
}

// retrieval is how well each distinct first text finds the second texts that rows of weight have with it, among all distinct
// second texts.
func (r *Results) retrieval(group int) (Scores, error) {
	texts := r.Data.Target(textsTarget)
	queries, documents := numbering{}, numbering{}
	var relevant []map[int]bool
	for i, ids := range texts.Ints {
		q, d := queries.of(ids[0], r.Rows[i*group]), documents.of(ids[1], r.Rows[i*group+1])
		if q == len(relevant) {
			relevant = append(relevant, map[int]bool{})
		}
		if r.Data.Weights == nil || r.Data.Weights[i][0] > 0 {
			relevant[q][d] = true
		}
	}
	found, err := metric.Retrieval(nearest(queries.rows, documents.rows, 10), relevant, 1, 5, 10)
	if err != nil {
		return nil, err
	}
	return Scores{"recall@1": found[0].Recall, "recall@5": found[1].Recall, "recall@10": found[2].Recall, "mrr@10": found[2].MRR}, nil
}

// A numbering collects the rows of distinct texts.
type numbering struct {
	at   map[int64]int
	rows [][]float32
}

func (n *numbering) of(text int64, row []float32) int {
	if n.at == nil {
		n.at = map[int64]int{}
	}
	i, known := n.at[text]
	if !known {
		i = len(n.rows)
		n.at[text], n.rows = i, append(n.rows, row)
	}
	return i
}

// A ScoreRange is the lowest and the highest score that there can be.
type ScoreRange struct{ Lowest, Highest float64 }

// IsZero reports whether the scores are to say it.
func (s ScoreRange) IsZero() bool { return s == ScoreRange{} }

// String is the inverse of ParseSetting.
func (s ScoreRange) String() string {
	if s.IsZero() {
		return ""
	}
	return fmt.Sprintf("%g,%g", s.Lowest, s.Highest)
}

// ParseSetting reads LOWEST,HIGHEST.
func (s *ScoreRange) ParseSetting(text string) error {
	lowest, highest, _ := strings.Cut(text, ",")
	lo, errLo := strconv.ParseFloat(strings.TrimSpace(lowest), 64)
	hi, errHi := strconv.ParseFloat(strings.TrimSpace(highest), 64)
	if errLo != nil || errHi != nil || !(lo < hi) || math.IsInf(hi-lo, 0) {
		return fmt.Errorf("want the lowest and the highest score, such as 0,5")
	}
	*s = ScoreRange{lo, hi}
	return nil
}

// MarshalJSON writes the command line's form.
func (s ScoreRange) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads it.
func (s *ScoreRange) UnmarshalJSON(text []byte) error {
	var form string
	if err := json.Unmarshal(text, &form); err != nil {
		return err
	}
	return s.ParseSetting(form)
}

// scale makes a score a cosine: the lowest 0 and the highest 1, but for scores that are cosines already.
func (s ScoreRange) scale(v float32) float32 {
	if s == (ScoreRange{-1, 1}) {
		return v
	}
	return float32((float64(v) - s.Lowest) / (s.Highest - s.Lowest))
}

// usualRanges are those of people's judgements, the narrowest first.
var usualRanges = []ScoreRange{{0, 1}, {-1, 1}, {1, 5}, {0, 5}, {0, 10}, {0, 100}}

// of is the first usual range that a set's scores lie in.
func (ScoreRange) of(set *data.Set) (ScoreRange, error) {
	values, err := set.Scores()
	if err != nil {
		return ScoreRange{}, err
	}
	lo, hi := float64(slices.Min(values)), float64(slices.Max(values))
	for _, r := range usualRanges {
		if r.Lowest <= lo && hi <= r.Highest {
			return r, nil
		}
	}
	return ScoreRange{}, fmt.Errorf("task: %s: column %q has scores from %g to %g; say what they can be with --score-range LOWEST,HIGHEST", set.Path, set.LabelColumn, lo, hi)
}
