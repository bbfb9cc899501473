package peftgraph

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

// All that this package knows of a task's labels, logits and metrics is in this file.

const classification = "classification"

// task checks the labels: a head for unnamed classes can't be right by chance.
func (opt InjectOptions) task() (inject.Task, error) {
	name := opt.Task
	switch {
	case name == NoTask:
		name = ""
	case name == "":
		name = classification
	}
	if name != classification {
		if opt.Labels != nil {
			return inject.Task{}, settingf("Labels", "a %s task has no classes", opt.Task)
		}
		return inject.Task{Type: name}, nil
	}
	if opt.Labels == nil {
		return inject.Task{}, settingf("Labels", "name the classes in the order of the logits, such as neg,pos (or take the task %s, for no head)", NoTask)
	}
	if _, err := data.NewLabels(opt.Labels); err != nil {
		return inject.Task{}, settingf("Labels", "%v", err)
	}
	return inject.Task{Type: name, Labels: opt.Labels}, nil
}

// labelsFrom finds the classes in the training data, where the task has any and they weren't named.
func (opt *InjectOptions) labelsFrom(set *data.Set) error {
	if opt.Labels != nil || opt.Task != "" && opt.Task != classification {
		return nil
	}
	classes, err := data.InferLabels(set)
	if err == nil {
		opt.Labels = classes.Names()
	}
	return err
}

// relabel gives an adapter's classes names, unless there are none given.
func relabel(a *format.Adapter, labels []string) error {
	switch {
	case labels == nil:
		return nil
	case a.Task.Type != classification:
		return settingf("Labels", "the adapter has no classes")
	case len(labels) != a.Task.Outputs():
		return settingf("Labels", "%d names for a classifier of %d classes", len(labels), a.Task.Outputs())
	}
	a.Task.Labels = labels
	return nil
}

// storeLabels writes the classes' names where Hugging Face's programs look for them in an ONNX file.
func storeLabels(g *graph.Graph, task inject.Task) error {
	if len(task.Labels) == 0 {
		return nil
	}
	byID := map[string]string{}
	for i, name := range task.Labels {
		byID[strconv.Itoa(i)] = name
	}
	text, err := json.Marshal(byID)
	if err != nil {
		return err
	}
	g.SetMeta("id2label", string(text))
	return nil
}

// attach attaches a set's labels to its encodings.
func attach(d *data.Dataset, set *data.Set, task inject.Task) error {
	if set.LabelColumn == "" || task.Type == "" {
		return nil
	}
	t, err := train.NewTask(task.Type)
	if err != nil {
		return err
	}
	if t.LabelType == graph.Float {
		d.Scores, err = set.Scores()
		return err
	}
	classes, err := data.NewLabels(task.Labels)
	if err != nil {
		return err
	}
	if d.Labels, err = classes.IDs(set); err != nil {
		return hinted(err, "correct the row, or name its label too when the model is injected, with setting Labels")
	}
	return nil
}

// madeUpTargets gives examples that were made up some targets of any task.
func madeUpTargets(d *data.Dataset, task inject.Task) {
	for i := range d.Encodings {
		d.Labels = append(d.Labels, int64(i%task.Outputs()))
		d.Scores = append(d.Scores, float32(i))
	}
}

// metrics judges rows of logits by the data set's labels.
func metrics(task inject.Task, d *data.Dataset, rows [][]float32) (map[string]float64, error) {
	t, err := train.NewTask(task.Type)
	if err != nil {
		return nil, err
	}
	p := train.Predictions{Outputs: task.Outputs()}
	for _, r := range rows {
		p.Logits = append(p.Logits, r...)
	}
	for _, l := range d.Labels {
		p.Labels = append(p.Labels, float64(l))
	}
	for _, s := range d.Scores {
		p.Labels = append(p.Labels, float64(s))
	}
	return t.Evaluate(p), nil
}

// A Prediction is a model's answer to a text. Its JSON form is a line of what the predict command prints.
type Prediction struct {
	Task        string    `json:"task,omitempty"` // the adapter's name, where there are several
	Text        string    `json:"text"`
	Pair        string    `json:"pair,omitempty"`
	Label       string    `json:"label,omitempty"`
	Probability float64   `json:"probability,omitempty"`
	Value       *float64  `json:"value,omitempty"` // of a regression
	Logits      []float32 `json:"logits"`
	Truncated   bool      `json:"-"` // the text was cut to the run's length
}

// newPrediction reads logits as a class, where there are labels, else as a value.
func newPrediction(r Request, task multitask.Task, logits []float32) Prediction {
	out := Prediction{Task: task.Name, Text: r.Text, Pair: r.Pair, Logits: logits}
	if len(task.Labels) == 0 {
		v := float64(logits[0])
		out.Value = &v
		return out
	}
	p := softmax(logits)
	class := largest(p)
	out.Label, out.Probability = task.Labels[class], p[class]
	return out
}

// Line is the prediction as the predict command prints it.
func (p Prediction) Line() string {
	text := p.Text
	if p.Pair != "" {
		text += " | " + p.Pair
	}
	line := fmt.Sprintf("%s\t%.4f\t%s\n", p.Label, p.Probability, text)
	if p.Value != nil {
		line = fmt.Sprintf("%.4f\t%s\n", *p.Value, text)
	}
	if p.Task != "" {
		line = p.Task + "\t" + line
	}
	return line
}

// flips counts the rows of an output whose answer is another in the other model; −1 for an output that isn't one of answers.
func flips(name string, dims []int64, a, b []float64) int {
	isLogits := name == inject.LogitsName || strings.HasPrefix(name, multitask.OutputPrefix)
	if !isLogits || len(dims) != 2 || dims[1] < 2 {
		return -1
	}
	count, n := 0, int(dims[1])
	for i := 0; i+n <= len(a); i += n {
		if largest(a[i:i+n]) != largest(b[i:i+n]) {
			count++
		}
	}
	return count
}

func softmax(x []float32) []float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	out := make([]float64, len(x))
	sum := 0.0
	for i, v := range x {
		out[i] = math.Exp(float64(v) - top)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

func largest(x []float64) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
