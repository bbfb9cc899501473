package task

import (
	"fmt"
	"math"
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
	register("multi-label", "any number of labels, or none, for each text or pair of texts; binary cross entropy of each", func() Task { return &MultiLabel{} })
}

// MultiLabel gives each text, or pair of texts, any number of labels: each is a question of its own.
type MultiLabel struct {
	Threshold  Threshold    `json:"threshold,omitzero" flag:"threshold" usage:"the probability from which a text has a label: auto (the one with the best micro F1 on the evaluation data), each (one for each label, with its best F1 there), or a number"`
	Smoothing  float64      `json:"label_smoothing,omitempty" flag:"label-smoothing" usage:"share of the target that is spread over yes and no"`
	Weights    ClassWeights `json:"class_weights,omitzero" flag:"class-weights" usage:"what a text that has a label counts for it: balanced (texts without it for each with it) or NAME=NUMBER, several with commas"`
	Thresholds []float64    `json:"thresholds,omitempty"` // fitted, by label
}

// Head is a classifier of texts.
func (*MultiLabel) Head() models.Task { return models.SequenceClassification }

// Schema reads the label as a list.
func (*MultiLabel) Schema() *data.Schema { return &data.Schema{List: true} }

// Labels are those of the lists; one is enough.
func (*MultiLabel) Labels(set *data.Set, given []string) ([]string, error) {
	if given == nil && set == nil {
		return nil, &NoLabelsError{}
	}
	l, err := data.ResolveListed(set, given)
	if err != nil {
		return nil, err
	}
	return l.Names(), nil
}

// hasTarget is 1 where a text has a label; countsTarget is what its having it counts.
const (
	hasTarget    = "labels"
	countsTarget = "label_weights"
)

// Targets are yes or no for each label, and what a yes counts where that isn't 1.
func (m *MultiLabel) Targets(labels []string) []data.TargetSpec {
	out := []data.TargetSpec{{Name: hasTarget, DType: graph.Float, Width: len(labels)}}
	if !m.Weights.IsZero() {
		out = append(out, data.TargetSpec{Name: countsTarget, DType: graph.Float, Width: len(labels)})
	}
	return out
}

// Encode makes a text one encoding.
func (m *MultiLabel) Encode(e Encoder, set *data.Set, labels []string) (*data.Dataset, error) {
	d := data.NewDataset(e.Tokenizer, set.Examples, e.MaxLength)
	if set.LabelColumn == "" {
		return d, nil
	}
	names, err := data.NewListed(labels)
	if err != nil {
		return nil, err
	}
	hot, err := names.Hot(set)
	if err != nil {
		return nil, err
	}
	specs := m.Targets(labels)
	d.Targets = []data.Target{{TargetSpec: specs[0], Floats: hot}}
	weights, err := m.Weights.ofPositives(labels, hot)
	if err != nil || weights == nil {
		return d, err
	}
	d.Targets = append(d.Targets, data.Target{TargetSpec: specs[1], Floats: slices.Repeat([][]float32{weights}, len(hot))})
	return d, nil
}

// Loss is −mean over the labels of w·y·log σ(x) + (1−y)·log(1−σ(x)), as PyTorch's BCEWithLogitsLoss has it with pos_weight w;
// −log σ(x) is softplus(−x), which doesn't overflow. Smoothing ε makes y (1−ε)·y + ε/2.
func (m *MultiLabel) Loss(l *Loss) *graph.Value {
	yes := l.Targets[hasTarget]
	if m.Smoothing > 0 {
		yes = l.Op("Add", l.Op("Mul", yes, l.constant(1-m.Smoothing)), l.constant(m.Smoothing/2))
	}
	no := l.Op("Sub", l.constant(1), yes)
	if !m.Weights.IsZero() {
		yes = l.Op("Mul", yes, l.Targets[countsTarget])
	}
	each := l.Op("Add", l.Op("Mul", yes, l.Op("Softplus", l.Op("Neg", l.Output))), l.Op("Mul", no, l.Op("Softplus", l.Output)))
	return l.weighted(l.Op("Mul", l.sumLast(each, 2), l.constant(1/float64(l.Outputs))))
}

func (m *MultiLabel) validate() error { return checkSmoothing(m.Smoothing) }

// Start is where a bias alone would end: the log odds of each label, of which half a text is added to both sides (Anscombe
// 1956), so that a label that no text has, or each, has them too.
func (m *MultiLabel) Start(d *data.Dataset, labels []string) []float32 {
	hot := d.Target(hasTarget).Floats
	weights := d.Target(countsTarget)
	out := make([]float32, len(labels))
	const most = 7 // a share of about one in a thousand: a rarer label starts there
	for k := range out {
		n := positives(hot, k)
		odds := (n + 0.5) / (float64(len(hot)) - n + 0.5)
		if weights != nil && len(hot) > 0 && weights.Floats[0][k] > 0 {
			odds *= float64(weights.Floats[0][k])
		}
		out[k] = float32(min(max(math.Log(odds), -most), most))
	}
	return out
}

func positives(hot [][]float32, label int) (n float64) {
	for _, row := range hot {
		n += float64(row[label])
	}
	return n
}

// Metrics are those of labels; micro takes all labels as one list of yes and no, macro is the mean over the labels.
func (*MultiLabel) Metrics() []string {
	return []string{"micro_f1", "macro_f1", "micro_map", "macro_map", "subset_accuracy", "hamming_loss"}
}

// LowerIsBetter is true of the share of wrong labels.
func (*MultiLabel) LowerIsBetter(name string) bool { return name == "hamming_loss" }

// probabilities are those of each row's labels.
func (*MultiLabel) probabilities(r *Results) [][]float64 {
	var out [][]float64
	for _, row := range r.Rows {
		out = append(out, sigmoid(row))
	}
	return out
}

func sigmoid(x []float32) []float64 {
	out := numeric.Widen(x)
	for i, v := range out {
		out[i] = 1 / (1 + math.Exp(-v))
	}
	return out
}

// has is what each text has.
func (*MultiLabel) has(r *Results) [][]bool {
	var out [][]bool
	for _, row := range r.Data.Target(hasTarget).Floats {
		has := make([]bool, len(row))
		for k, v := range row {
			has[k] = v > 0.5
		}
		out = append(out, has)
	}
	return out
}

// thresholds are the fitted ones, those given, or 0.5.
func (m *MultiLabel) thresholds(labels int) []float64 {
	switch {
	case m.Threshold.Fixed > 0:
		return slices.Repeat([]float64{m.Threshold.Fixed}, labels)
	case len(m.Thresholds) == labels:
		return m.Thresholds
	}
	return slices.Repeat([]float64{unfitted}, labels)
}

// unfitted is the threshold where nothing says more.
const unfitted = 0.5

// Fit chooses the thresholds, unless they are given.
func (m *MultiLabel) Fit(r *Results) error {
	p, truth := m.probabilities(r), m.has(r)
	switch {
	case m.Threshold.Fixed > 0:
		m.Thresholds = nil
	case !m.Threshold.Each:
		t, _ := metric.BestSharedThreshold(p, truth, unfitted)
		m.Thresholds = slices.Repeat([]float64{t}, r.Width)
	default:
		m.Thresholds = metric.BestThresholds(p, truth, unfitted)
	}
	return nil
}

// Evaluate compares the labels at the thresholds with the true ones; the average precisions are of the probabilities alone.
func (m *MultiLabel) Evaluate(r *Results) (Scores, error) {
	p, truth := m.probabilities(r), m.has(r)
	s := metric.LabelScores(truth, metric.Positive(p, m.thresholds(r.Width)))
	_, macro, micro := metric.AveragePrecisions(p, truth)
	return Scores{"micro_f1": s.Micro.F1, "macro_f1": s.Macro.F1, "micro_map": micro, "macro_map": macro,
		"subset_accuracy": s.Accuracy, "hamming_loss": s.Hamming}, nil
}

// LabelDetail is what each label comes to.
type LabelDetail struct {
	Labels []LabelScore `json:"labels"`
}

// A LabelScore is one label's.
type LabelScore struct {
	ClassScore
	AveragePrecision float64 `json:"average_precision"`
	Threshold        float64 `json:"threshold"`
}

// Lines are a table of the labels.
func (d LabelDetail) Lines() []string {
	out := []string{"label\tprecision\trecall\tf1\taverage precision\tthreshold\texamples"}
	for _, l := range d.Labels {
		out = append(out, fmt.Sprintf("%s\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%d", l.Label, l.Precision, l.Recall, l.F1, l.AveragePrecision, l.Threshold, l.Support))
	}
	return out
}

// Detail is precision and recall of each label at its threshold.
func (m *MultiLabel) Detail(r *Results) (Answer, error) {
	p, truth, at := m.probabilities(r), m.has(r), m.thresholds(r.Width)
	precisions, _, _ := metric.AveragePrecisions(p, truth)
	var d LabelDetail
	for k, s := range metric.LabelScores(truth, metric.Positive(p, at)).Labels {
		d.Labels = append(d.Labels, LabelScore{ClassScore{r.Labels[k], s.Precision, s.Recall, s.F1, s.Support}, precisions[k], at[k]})
	}
	return d, nil
}

// Warn says which labels are answered for no text, or for all, though that isn't so.
func (m *MultiLabel) Warn(r *Results) (out []string) {
	truth := m.has(r)
	answered := metric.Positive(m.probabilities(r), m.thresholds(r.Width))
	var never, always []string
	for k, name := range r.Labels {
		have, said := count(truth, k), count(answered, k)
		if said == 0 && have > 0 {
			never = append(never, name)
		}
		if said == len(truth) && have < len(truth) {
			always = append(always, name)
		}
	}
	for _, c := range []struct {
		what  string
		names []string
	}{{"no text is given %s, which some have", never}, {"every text is given %s, which some haven't", always}} {
		if c.names != nil {
			out = append(out, fmt.Sprintf(c.what, some(c.names, len(r.Labels))))
		}
	}
	return out
}

func count(rows [][]bool, label int) (n int) {
	for _, row := range rows {
		if row[label] {
			n++
		}
	}
	return n
}

// some is "2 of 9 labels (a, b)".
func some(names []string, of int) string {
	const most = 5
	text := strings.Join(names[:min(most, len(names))], ", ")
	if len(names) > most {
		text += ", …"
	}
	return fmt.Sprintf("%d of %d labels (%s)", len(names), of, text)
}

// A LabelsAnswer is which labels a text has.
type LabelsAnswer struct {
	Labels        []string           `json:"labels"`
	Probabilities map[string]float64 `json:"probabilities"` // of every label
	Logits        []float32          `json:"logits"`
}

// Lines are the labels and their probabilities.
func (a LabelsAnswer) Lines() []string {
	if len(a.Labels) == 0 {
		return []string{"(none)\t-"}
	}
	var p []string
	for _, name := range a.Labels {
		p = append(p, strconv.FormatFloat(a.Probabilities[name], 'f', 4, 64))
	}
	return []string{strings.Join(a.Labels, ",") + "\t" + strings.Join(p, ",")}
}

// Answer is the labels whose probabilities reach their thresholds.
func (m *MultiLabel) Answer(r *Results, _ int, windows []int) Answer {
	row := r.Rows[windows[0]]
	a := LabelsAnswer{Labels: []string{}, Probabilities: map[string]float64{}, Logits: row}
	p, at := sigmoid(row), m.thresholds(r.Width)
	for k, name := range r.Labels {
		if a.Probabilities[name] = p[k]; p[k] >= at[k] {
			a.Labels = append(a.Labels, name)
		}
	}
	return a
}

// Same compares which labels reach their thresholds.
func (m *MultiLabel) Same(a, b []float32, width int) bool {
	answers := metric.Positive([][]float64{sigmoid(a), sigmoid(b)}, m.thresholds(width))
	return slices.Equal(answers[0], answers[1])
}

// A Threshold is how the thresholds are chosen: one for all labels, one for each, or Fixed, a probability above 0. Where
// probabilities are what they say, one for all is best for micro F1, and it has more examples to be chosen by. On two headlines
// of AG-News a text, thresholds of 300 examples, and of 50, gave on the others a micro F1 of 0.812 and 0.805 with one for all,
// 0.807 and 0.792 with one for each, and 0.806 and 0.805 with 0.5 (means over 200 draws of 900 examples).
type Threshold struct {
	Each  bool
	Fixed float64
}
