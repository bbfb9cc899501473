package task

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/metric"
)

func init() {
	register("classification", "one label out of several for each text or pair of texts; cross entropy", func() Task { return &Classification{} })
}

// Classification gives each text, or pair of texts, one label out of several.
type Classification struct {
	Smoothing   float64      `json:"label_smoothing,omitempty" flag:"label-smoothing" usage:"share of the target that is spread over all classes"`
	Focal       float64      `json:"focal_gamma,omitempty" flag:"focal-gamma" usage:"weigh an example by (1−p)^γ, p being its class's probability: easy ones count less (Lin et al. 2017); 0 is cross entropy"`
	Weights     ClassWeights `json:"class_weights,omitzero" flag:"class-weights" usage:"what an example of a class counts: balanced (all classes alike) or NAME=NUMBER, several with commas"`
	Temperature float64      `json:"temperature,omitempty"` // fitted; 0 is 1
}

// Head is a classifier of texts.
func (*Classification) Head() models.Task { return models.SequenceClassification }

// Schema is the usual one.
func (*Classification) Schema() *data.Schema { return nil }

// Labels are the classes.
func (*Classification) Labels(set *data.Set, given []string) ([]string, error) {
	if given == nil && set == nil {
		return nil, &NoLabelsError{}
	}
	l, err := data.ResolveLabels(set, given)
	if err != nil {
		return nil, err
	}
	return l.Names(), nil
}

// NoLabelsError says that a classifier's classes aren't known.
type NoLabelsError struct{}

func (*NoLabelsError) Error() string {
	return "task: --labels: name the classes in the order of the logits, such as --labels neg,pos (or --task none for no head)"
}

// Targets are the class indices.
func (*Classification) Targets(labels []string) []data.TargetSpec {
	return []data.TargetSpec{{Name: "label", DType: graph.Int64, Classes: len(labels)}}
}

// Encode makes a text one encoding.
func (c *Classification) Encode(e Encoder, set *data.Set, labels []string) (*data.Dataset, error) {
	d := data.NewDataset(e.Tokenizer, set.Examples, e.MaxLength)
	if set.LabelColumn == "" {
		return d, nil
	}
	classes, err := data.NewLabels(labels)
	if err != nil {
		return nil, err
	}
	ids, err := classes.IDs(set)
	if err != nil {
		return nil, err
	}
	d.Targets = []data.Target{data.Scalars("label", ids)}
	weights, err := c.Weights.of(labels, ids)
	if err != nil || weights == nil {
		return d, err
	}
	for _, id := range ids {
		d.Weights = append(d.Weights, weights[id:id+1])
	}
	return d, nil
}

// Loss is the cross entropy. A class's weight is its examples', so that it counts for all of their loss: PyTorch's weighs what
// smoothing spreads over the other classes by theirs.
func (c *Classification) Loss(l *Loss) *graph.Value {
	loss := l.crossEntropy(l.Output, l.Targets["label"], 1, c.Smoothing)
	if c.Focal > 0 {
		p := l.Op("Exp", l.Op("Neg", l.crossEntropy(l.Output, l.Targets["label"], 1, 0)))
		loss = l.Op("Mul", loss, l.Op("Pow", l.Op("Sub", l.constant(1), p), l.constant(c.Focal)))
	}
	return l.weighted(loss)
}

func (c *Classification) validate() error {
	if !(c.Focal >= 0 && c.Focal <= 10) {
		return fmt.Errorf("--focal-gamma %v: must be from 0 to 10", c.Focal)
	}
	return checkSmoothing(c.Smoothing)
}

// Metrics are those of classes.
func (*Classification) Metrics() []string { return []string{"accuracy", "f1", "mcc"} }

// Evaluate compares the largest logits with the labels. f1 is the mean over the classes; log_loss and ece, the expected
// calibration error, are those of the probabilities.
func (c *Classification) Evaluate(r *Results) (Scores, error) {
	truth := r.target("label")
	m, err := metric.NewConfusion(truth, r.largest(), r.Width)
	if err != nil {
		return nil, err
	}
	var p [][]float64
	for _, row := range r.Rows {
		p = append(p, softmax(row, c.Temperature))
	}
	return Scores{"accuracy": m.Accuracy(), "f1": m.Macro().F1, "mcc": m.MCC(),
		"log_loss": metric.LogLoss(p, truth), "ece": metric.ECE(p, truth, metric.CalibrationBins)}, nil
}

// Fit chooses the temperature by which the logits are divided, so that probabilities are what they say (Guo et al. 2017).
func (c *Classification) Fit(r *Results) error {
	c.Temperature = metric.Temperature(r.wide(), r.target("label"))
	return nil
}

// Warn says when all answers are of one class.
func (*Classification) Warn(r *Results) []string {
	truth, answers := r.target("label"), r.largest()
	same := 0
	for i, v := range answers {
		if v != answers[0] {
			return nil
		}
		if truth[i] == v {
			same++
		}
	}
	if same == len(truth) {
		return nil
	}
	return []string{fmt.Sprintf("all %d answers are %q, which %d of the examples are", len(answers), r.Labels[answers[0]], same)}
}

// ClassDetail is what each class comes to.
type ClassDetail struct {
	Classes   []ClassScore `json:"classes"`
	Confusion [][]int      `json:"confusion"` // by the true class, then by the answer
}

// A ClassScore is one class's.
type ClassScore struct {
	Label     string  `json:"label"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Support   int     `json:"support"`
}

// Lines are a table of the classes, and the confusion matrix where it is no larger than a screen.
func (d ClassDetail) Lines() []string {
	out := []string{"class\tprecision\trecall\tf1\texamples"}
	for _, c := range d.Classes {
		out = append(out, fmt.Sprintf("%s\t%.4f\t%.4f\t%.4f\t%d", c.Label, c.Precision, c.Recall, c.F1, c.Support))
	}
	const most = 12
	if len(d.Confusion) > most {
		return out
	}
	head := "true \\ answered"
	for _, c := range d.Classes {
		head += "\t" + c.Label
	}
	out = append(out, "", head)
	for i, row := range d.Confusion {
		out = append(out, d.Classes[i].Label+"\t"+strings.Trim(strings.ReplaceAll(fmt.Sprint(row), " ", "\t"), "[]"))
	}
	return out
}

// Detail is precision and recall of each class, and which is taken for which.
func (*Classification) Detail(r *Results) (Answer, error) {
	m, err := metric.NewConfusion(r.target("label"), r.largest(), r.Width)
	if err != nil {
		return nil, err
	}
	d := ClassDetail{Confusion: m}
	for i, s := range m.Classes() {
		d.Classes = append(d.Classes, ClassScore{r.Labels[i], s.Precision, s.Recall, s.F1, s.Support})
	}
	return d, nil
}

// A ClassAnswer is a text's class.
type ClassAnswer struct {
	Label       string    `json:"label"`
	Probability float64   `json:"probability"`
	Logits      []float32 `json:"logits"`
}

// Lines are the label and its probability.
func (a ClassAnswer) Lines() []string {
	return []string{a.Label + "\t" + strconv.FormatFloat(a.Probability, 'f', 4, 64)}
}

// Answer is the class of the largest logit.
func (c *Classification) Answer(r *Results, _ int, windows []int) Answer {
	row := r.Rows[windows[0]]
	p := softmax(row, c.Temperature)
	best := numeric.Argmax(row)
	return ClassAnswer{r.Labels[best], p[best], row}
}

// Temper is the temperature.
func (c *Classification) Temper() (by float64, after Task) {
	cold := *c
	cold.Temperature = 0
	return c.Temperature, &cold
}

// Same compares the classes.
func (*Classification) Same(a, b []float32, _ int) bool {
	return numeric.Argmax(a) == numeric.Argmax(b)
}

// ClassWeights are what examples of a class count: by name, or Balanced.
type ClassWeights struct {
	Balanced bool
	ByName   map[string]float64
}

// ParseSetting reads balanced, or NAME=NUMBER,NAME=NUMBER.
func (w *ClassWeights) ParseSetting(text string) error {
	*w = ClassWeights{Balanced: text == "balanced"}
	if w.Balanced {
		return nil
	}
	w.ByName = map[string]float64{}
	for part := range strings.SplitSeq(text, ",") {
		at := strings.LastIndex(part, "=")
		if at < 1 {
			return fmt.Errorf("want balanced, or NAME=NUMBER, several separated by commas")
		}
		x, err := strconv.ParseFloat(part[at+1:], 64)
		if err != nil || !(x >= 0) || x > 1e6 {
			return fmt.Errorf("%s: the weight must be a number from 0 to a million", part)
		}
		w.ByName[strings.TrimSpace(part[:at])] = x
	}
	return nil
}
