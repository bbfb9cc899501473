package task

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/metric"
)

func init() {
	register("embedding", "a vector for each text, near those of similar texts; learns from pairs, triplets or scored pairs", func() Task {
		return &Embedding{Positives: "entailment", Scale: 20, Distance: CosineDistance, Margin: 0.5, Normalize: true}
	})
}

// Embedding gives each text a vector that is near those of similar texts (Reimers and Gurevych 2019). What it learns from is
// what the columns are: a score makes pairs that should be as similar as it says; a second text without one is what the first
// should find among the second texts of the batch; a third text is one that it shouldn't find.
type Embedding struct {
	Objective EmbeddingLoss `json:"loss,omitempty" flag:"loss" usage:"multiple-negatives-ranking (mnrl), cosine-similarity, cosent or triplet (default: by the columns, cosine-similarity for scored pairs, else multiple-negatives-ranking)"`
	Range     ScoreRange    `json:"score_range,omitzero" flag:"score-range" usage:"the lowest and the highest score there can be, such as 0,5 (default: by the scores)"`
	Positives string        `json:"positives,omitempty" flag:"positives" usage:"of pairs with labels, for multiple-negatives-ranking: the label of those that belong together, or the score from which on they do"`
	Negatives bool          `json:"hard_negatives,omitempty" flag:"hard-negatives" usage:"each row has a third text that the first should not find (set where the data have such a column)"`
	Symmetric bool          `json:"symmetric,omitempty" flag:"symmetric" usage:"of multiple-negatives-ranking: second texts find first ones too"`
	Scale     float64       `json:"scale" flag:"scale" usage:"what cosines are multiplied by in multiple-negatives-ranking and cosent, an inverse temperature"`
	Distance  Distance      `json:"distance" flag:"distance" usage:"of triplet: cosine or euclidean"`
	Margin    float64       `json:"margin" flag:"margin" usage:"of triplet: by how much the third text should be farther from the first than the second is"`
	Normalize bool          `json:"normalize" flag:"normalize" usage:"scale vectors to length 1"`
}

// An EmbeddingLoss is what makes vectors of similar texts similar.
type EmbeddingLoss string

// The losses, those of sentence-transformers.
const (
	RankingLoss EmbeddingLoss = "multiple-negatives-ranking"
	CosineLoss  EmbeddingLoss = "cosine-similarity"
	CoSENTLoss  EmbeddingLoss = "cosent"
	TripletLoss EmbeddingLoss = "triplet"
)

// ParseSetting reads a loss by its name or a short one.
func (l *EmbeddingLoss) ParseSetting(text string) error {
	switch *l = EmbeddingLoss(text); *l {
	case RankingLoss, CosineLoss, CoSENTLoss, TripletLoss:
		return nil
	case "mnrl":
		*l = RankingLoss
		return nil
	case "cosine":
		*l = CosineLoss
		return nil
	}
	return fmt.Errorf("the losses are %s, %s, %s and %s", RankingLoss, CosineLoss, CoSENTLoss, TripletLoss)
}

// A Distance is how far two vectors are from each other in a triplet.
type Distance string

// The distances.
const (
	CosineDistance    Distance = "cosine" // 1 − cosine
	EuclideanDistance Distance = "euclidean"
)

// ParseSetting reads a distance.
func (d *Distance) ParseSetting(text string) error {
	if *d = Distance(text); *d != CosineDistance && *d != EuclideanDistance {
		return fmt.Errorf("the distances are %s and %s", CosineDistance, EuclideanDistance)
	}
	return nil
}

func (t *Embedding) validate() error {
	switch {
	case !(t.Scale > 0 && t.Scale <= 1e4):
		return fmt.Errorf("--scale %v: must be above 0 and at most 10000", t.Scale)
	case !(t.Margin >= 0 && t.Margin <= 1e3):
		return fmt.Errorf("--margin %v: must be from 0 to 1000", t.Margin)
	case t.Symmetric && t.Objective != "" && t.Objective != RankingLoss:
		return fmt.Errorf("--symmetric: it is for %s, not for %s", RankingLoss, t.Objective)
	case t.Negatives && t.scored():
		return fmt.Errorf("--hard-negatives: %s compares two texts", t.Objective)
	}
	return nil
}

// scored reports whether the loss compares with a score.
func (t *Embedding) scored() bool { return t.Objective == CosineLoss || t.Objective == CoSENTLoss }

// ranking reports whether texts are to be found among those of the batch. That needs the fewest columns, so it is what an open
// choice stands for.
func (t *Embedding) ranking() bool { return t.Objective == RankingLoss || t.Objective == "" }

// Head is the hidden states' pooling.
func (*Embedding) Head() models.Task { return models.FeatureExtraction }

// Shape says whether vectors have length 1.
func (t *Embedding) Shape(of *inject.Task) { of.Normalize = t.Normalize }

// Group is how many texts the loss compares at once.
func (t *Embedding) Group() int {
	if t.Objective == TripletLoss || t.Negatives {
		return 3
	}
	return 2
}

// Labels are none.
func (*Embedding) Labels(_ *data.Set, given []string) ([]string, error) {
	return nil, noLabels("embedding", given)
}

// The targets.
const (
	scoreTarget = "score" // how similar two texts are, as the cosine should be
	textsTarget = "texts" // equal numbers for equal texts
)

// Targets are the scores or, for ranking, which texts are the same.
func (t *Embedding) Targets([]string) []data.TargetSpec {
	switch {
	case t.scored():
		return []data.TargetSpec{{Name: scoreTarget, DType: graph.Float}}
	case t.ranking():
		return []data.TargetSpec{t.texts(t.Group())}
	}
	return nil
}

// texts is the target of groups of that many texts.
func (*Embedding) texts(group int) data.TargetSpec {
	const many = 1 << 30
	return data.TargetSpec{Name: textsTarget, DType: graph.Int64, Width: group, Classes: many}
}

// Metrics are correlations with scores, and otherwise how well first texts find their second ones.
func (t *Embedding) Metrics() []string {
	correlations, retrieval := []string{"spearman", "pearson"}, []string{"mrr@10", "recall@1", "recall@5", "recall@10", "triplet_accuracy"}
	if t.scored() {
		return slices.Concat(correlations, retrieval)
	}
	return slices.Concat(retrieval, correlations)
}

// Evaluate correlates cosines with scores, where the pairs have some. Otherwise each first text looks for its second ones
// among all distinct second texts of the set; triplet_accuracy is the share of rows whose second text is nearer than the third.
func (*Embedding) Evaluate(r *Results) (Scores, error) {
	group := max(r.Data.Group, 1)
	if group < 2 || r.Data.Origin != nil {
		return nil, fmt.Errorf("task: the rows have one text each, and embeddings are judged by pairs; name the second text's column with --pair-column")
	}
	if r.Data.Target(scoreTarget) != nil {
		x, y := make([]float64, r.Data.Units()), scores(r.Data, scoreTarget)
		for i := range x {
			x[i] = metric.Cosine(r.Rows[i*group], r.Rows[i*group+1])
		}
		return Scores{"spearman": metric.Spearman(x, y), "pearson": metric.Pearson(x, y)}, nil
	}
	out, err := r.retrieval(group)
	if err == nil && group > 2 {
		nearer := 0.0
		for i := 0; i < len(r.Rows); i += group {
			if metric.Cosine(r.Rows[i], r.Rows[i+1]) > metric.Cosine(r.Rows[i], r.Rows[i+2]) {
				nearer++
			}
		}
		out["triplet_accuracy"] = nearer / float64(r.Data.Units())
	}
	return out, err
}

// An EmbeddingAnswer is a text's vector, and that of the second text where there are two.
type EmbeddingAnswer struct {
	Embedding []float32 `json:"embedding"`
	Pair      []float32 `json:"pair_embedding,omitempty"`
	Cosine    *float64  `json:"cosine,omitempty"` // of the two
}

// Lines are the cosine of two texts, and of one the beginning of its vector.
func (a EmbeddingAnswer) Lines() []string {
	if a.Cosine != nil {
		return []string{strconv.FormatFloat(*a.Cosine, 'f', 4, 64)}
	}
	const most = 4
	var first []string
	for _, x := range a.Embedding[:min(most, len(a.Embedding))] {
		first = append(first, strconv.FormatFloat(float64(x), 'f', 4, 64))
	}
	return []string{fmt.Sprintf("[%s, … %d numbers]", strings.Join(first, ", "), len(a.Embedding))}
}

// Answer is the vectors of one row's texts.
func (*Embedding) Answer(r *Results, _ int, windows []int) Answer {
	a := EmbeddingAnswer{Embedding: r.Rows[windows[0]]}
	if len(windows) > 1 {
		a.Pair = r.Rows[windows[1]]
		cosine := metric.Cosine(a.Embedding, a.Pair)
		a.Cosine = &cosine
	}
	return a
}

// Same is always true: how far vectors may differ is the threshold's matter.
func (*Embedding) Same(_, _ []float32, _ int) bool { return true }
