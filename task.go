package peftgraph

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// What this package asks a task is in this file.

// NewTask returns a task by its registered name ([task.Names]), with settings as the command line has them:
// "label-smoothing=0.1".
func NewTask(name string, settings ...string) (task.Task, error) {
	t, err := task.New(name)
	if err != nil {
		return nil, err
	}
	err = set("task "+name, settings, func(key, value string) (bool, error) { return task.Set(t, key, value) })
	if err != nil {
		return nil, err
	}
	return t, task.Validate(t)
}

// task is what the head is to be for; nil is classification.
func (opt InjectOptions) task() (task.Task, error) {
	if opt.Task != nil {
		return opt.Task, nil
	}
	return task.New("classification")
}

// head checks the labels: a head for unnamed classes can't be right by chance.
func (opt InjectOptions) head() (inject.Task, error) {
	if opt.NoHead {
		if opt.Labels != nil {
			return inject.Task{}, settingf("Labels", "without a head there are no classes")
		}
		return inject.Task{}, nil
	}
	t, err := opt.task()
	if err != nil {
		return inject.Task{}, err
	}
	labels, err := t.Labels(nil, opt.Labels)
	if err != nil {
		return inject.Task{}, &SettingError{"", err.Error()}
	}
	return task.ForInjection(t, labels)
}

// relabel gives an adapter's classes names, unless there are none given.
func relabel(a *format.Adapter, labels []string) error {
	if labels == nil {
		return nil
	}
	if a.Task.Type == "" {
		return settingf("Labels", "the adapter has no classes")
	}
	t, err := task.Of(a.Task)
	if err != nil {
		return err
	}
	if labels, err = t.Labels(nil, labels); err != nil {
		return &SettingError{"", err.Error()}
	}
	if len(labels) != a.Task.Outputs() {
		return settingf("Labels", "%d names for a classifier of %d classes", len(labels), a.Task.Outputs())
	}
	a.Task.Labels = labels
	return nil
}

// storeLabels writes the classes' names where Hugging Face's programs look for them in an ONNX file.
func storeLabels(g *graph.Graph, of inject.Task) error {
	if len(of.Labels) == 0 {
		return nil
	}
	byID := map[string]string{}
	for i, name := range of.Labels {
		byID[strconv.Itoa(i)] = name
	}
	text, err := json.Marshal(byID)
	if err != nil {
		return err
	}
	g.SetMeta("id2label", string(text))
	return nil
}

// schema says which columns a plan's task reads; nil is the usual ones.
func schema(of inject.Task) *data.Schema {
	t, err := task.Of(of)
	if err != nil {
		return nil
	}
	return t.Schema()
}

// encode turns a set into what a model is fed.
func encode(e task.Encoder, set *data.Set, of inject.Task) (*data.Dataset, error) {
	t, err := task.Of(of)
	if err != nil {
		return nil, err
	}
	return t.Encode(e, set, of.Labels)
}

// evaluate judges rows of outputs by the data set's targets.
func evaluate(of inject.Task, d *data.Dataset, rows [][]float32) (*Evaluation, error) {
	t, err := task.Of(of)
	if err != nil {
		return nil, err
	}
	if err := task.CheckTargets(t, d, of.Labels); err != nil {
		return nil, err
	}
	r := &task.Results{Data: d, Rows: rows, Width: of.Outputs(), Labels: of.Labels}
	out := &Evaluation{Examples: len(d.Windows()), Truncated: d.Truncated}
	if out.Metrics, err = t.Evaluate(r); err != nil {
		return nil, err
	}
	if t, ok := t.(task.Warner); ok {
		out.Warnings = t.Warn(r)
	}
	if t, ok := t.(task.Detailer); ok {
		out.Detail, err = t.Detail(r)
	}
	return out, err
}

// A Prediction is a model's answer to a request. Its JSON form is a line of what the predict command prints: the answer's
// fields beside the task and the text.
type Prediction struct {
	Task       string // the adapter's name, where there are several
	ID         string // the request's
	Text, Pair string
	Answer     task.Answer // as its task has it: a [task.ClassAnswer], a [task.ValueAnswer], …
	Truncated  bool        // the text was cut to the run's length
}

// predict reads the outputs for one example, whose windows are the encodings at the indices.
func predict(of task.Task, t multitask.Task, d *data.Dataset, rows [][]float32, example int, windows []int) Prediction {
	e := d.Examples[example]
	r := &task.Results{Data: d, Rows: rows, Width: t.Outputs(), Labels: t.Labels}
	p := Prediction{Task: t.Name, Text: e.Text, Pair: e.Pair, Answer: of.Answer(r, example, windows)}
	for _, w := range windows {
		p.Truncated = p.Truncated || d.Encodings[w].Truncated
	}
	return p
}

// MarshalJSON puts the answer's fields after the task's name and the text.
func (p Prediction) MarshalJSON() ([]byte, error) {
	head, err := json.Marshal(struct {
		Task string `json:"task,omitempty"`
		ID   string `json:"id,omitempty"`
		Text string `json:"text"`
		Pair string `json:"pair,omitempty"`
	}{p.Task, p.ID, p.Text, p.Pair})
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(p.Answer)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s,%s", head[:len(head)-1], body[1:]), nil
}

// oneLine makes a text one line.
var oneLine = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ")

// Lines are the prediction as the predict command prints it: the answer with the text behind it or, where an answer is a list, the
// text with the answer's lines below it, which begin with a tab.
func (p Prediction) Lines() []string {
	text, pair := oneLine.Replace(p.Text), oneLine.Replace(p.Pair)
	name, both := p.Task, text
	if name != "" {
		name += "\t"
	}
	if pair != "" {
		both += " | " + pair
	}
	switch a := p.Answer.(type) {
	case task.Listed:
		out := []string{name + both}
		for _, line := range a.Lines() {
			out = append(out, "\t"+oneLine.Replace(line))
		}
		return out
	case task.OfPair:
		both = text
	}
	var out []string
	for _, line := range p.Answer.Lines() {
		out = append(out, name+line+"\t"+both)
	}
	return out
}

// A sameness says whether two rows of outputs, of a text of so many tokens, are the same answer.
type sameness func(a, b []float64, tokens int) bool

// sameAnswer is a task's sameness; nil for one whose answers are numbers, which don't flip.
func sameAnswer(t multitask.Task) (sameness, error) {
	of, err := task.Of(t.Task)
	perToken, width := t.Head().PerToken(), t.Outputs()
	if err != nil || t.Head() == models.FeatureExtraction || !perToken && width < 2 {
		return nil, err
	}
	return func(a, b []float64, tokens int) bool {
		if perToken {
			a, b = a[:tokens*width], b[:tokens*width]
		}
		return of.Same(numeric.Narrow(a), numeric.Narrow(b), width)
	}, nil
}

// looksLikeLogits reports whether an output whose task isn't known has a class's logits in each row.
func looksLikeLogits(output string) bool { return output == inject.LogitsName }

// sameLargest compares rows of logits.
func sameLargest(a, b []float64, _ int) bool { return numeric.Argmax(a) == numeric.Argmax(b) }
