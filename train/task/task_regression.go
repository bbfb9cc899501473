package task

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/metric"
)

func init() {
	register("regression", "one number for each text or pair of texts; squared error", func() Task { return &Regression{} })
}

// Regression gives each text, or pair of texts, a number.
type Regression struct{}

// Head is a classifier of texts with one output.
func (*Regression) Head() models.Task { return models.SequenceClassification }

// Schema is the usual one.
func (*Regression) Schema() *data.Schema { return nil }

// Labels are none.
func (*Regression) Labels(_ *data.Set, given []string) ([]string, error) {
	return nil, noLabels("regression", given)
}

// Targets are the numbers.
func (*Regression) Targets([]string) []data.TargetSpec {
	return []data.TargetSpec{{Name: "score", DType: graph.Float}}
}

// Encode makes a text one encoding.
func (*Regression) Encode(e Encoder, set *data.Set, _ []string) (*data.Dataset, error) {
	d := data.NewDataset(e.Tokenizer, set.Examples, e.MaxLength)
	if set.LabelColumn == "" {
		return d, nil
	}
	scores, err := set.Scores()
	if err != nil {
		return nil, err
	}
	d.Targets = []data.Target{data.Scores("score", scores)}
	return d, nil
}

// Start is the scores' mean: from zero, the head would spend its first steps on it.
func (*Regression) Start(d *data.Dataset, _ []string) []float32 {
	return []float32{float32(mean(scores(d, "score")))}
}

// Loss is the squared error.
func (*Regression) Loss(l *Loss) *graph.Value {
	diff := l.Op("Sub", l.Op("Squeeze", l.Output, l.Ints(1)), l.Targets["score"])
	return l.weighted(l.Op("Mul", diff, diff))
}

// Metrics are correlations.
func (*Regression) Metrics() []string { return []string{"pearson", "spearman"} }

// Evaluate correlates outputs and scores.
func (*Regression) Evaluate(r *Results) (Scores, error) {
	x, y := r.firsts(), scores(r.Data, "score")
	return Scores{"pearson": metric.Pearson(x, y), "spearman": metric.Spearman(x, y), "mse": metric.MSE(y, x), "mae": metric.MAE(y, x)}, nil
}

// Warn says when all answers are one number.
func (*Regression) Warn(r *Results) []string {
	x, y := r.firsts(), scores(r.Data, "score")
	if len(x) == 0 || spread(y) == 0 || spread(x) > 1e-6*spread(y) {
		return nil
	}
	return []string{fmt.Sprintf("all %d answers are %.4f, whatever the text", len(x), x[0])}
}

func spread(x []float64) float64 { return slices.Max(x) - slices.Min(x) }

// A ValueAnswer is a text's number.
type ValueAnswer struct {
	Value  float64   `json:"value"`
	Logits []float32 `json:"logits"`
}

// Lines are the number.
func (a ValueAnswer) Lines() []string { return []string{strconv.FormatFloat(a.Value, 'f', 4, 64)} }

// Answer is the output.
func (*Regression) Answer(r *Results, _ int, windows []int) Answer {
	row := r.Rows[windows[0]]
	return ValueAnswer{float64(row[0]), row}
}

// Same is always true: how far numbers may differ is the threshold's matter.
func (*Regression) Same(_, _ []float32, _ int) bool { return true }
