// Package task knows what a head can be trained for. A task is one file and owns everything about it: the columns that it
// reads, how a row becomes what a model is fed, the head that it wants, the loss, the metrics and which of them decides, how
// outputs become answers, and when two outputs are the same answer.
//
// The loop, evaluation, prediction, export and the adapter formats ask the task, and know none by its name. A task's settings
// are the fields of its struct, tagged as a method's are.
package task

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/setting"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
)

// A Task is what a head is trained for.
type Task interface {
	// Head is what the head computes.
	Head() models.Task
	// Schema says which columns the task reads.
	Schema() *data.Schema
	// Labels returns the names of the outputs: those given, checked, or where given is nil what set has. A task whose outputs
	// have no names returns nil, and refuses given ones. set may be nil.
	Labels(set *data.Set, given []string) ([]string, error)
	// Targets are what the loss compares with.
	Targets(labels []string) []data.TargetSpec
	// Encode turns a set into what a model is fed, with targets where the set has labels.
	Encode(e Encoder, set *data.Set, labels []string) (*data.Dataset, error)
	// Loss appends Σ weights·loss, of one element.
	Loss(l *Loss) *graph.Value
	// Metrics are the names of what Evaluate returns that a run can be judged by: the first that it returned decides. Larger is
	// better, unless LowerIsBetter says otherwise.
	Metrics() []string
	// Evaluate judges outputs by the targets that they were to have; the set has some.
	Evaluate(r *Results) (Scores, error)
	// Answer is the outputs' meaning for one example, whose windows are the encodings at the indices.
	Answer(r *Results, example int, windows []int) Answer
	// Same reports whether two outputs of the same encoding are the same answer: what an export may not change.
	Same(a, b []float32, width int) bool
}

// An Encoder turns texts into tokens.
type Encoder struct {
	*data.Tokenizer
	MaxLength int // in tokens, special ones included
}

// A Loss is a loss under construction.
type Loss struct {
	*graph.Builder
	// Output is what the head computes: [batch, outputs], [batch, tokens, outputs] or, of embeddings, [batch, hidden]; of a
	// sparse task [1, chosen, outputs].
	Output  *graph.Value
	Targets map[string]*graph.Value // by the names of the task's targets
	Weights *graph.Value            // float [units], or for targets of tokens [batch, tokens], of a sparse task [chosen]
	Mask    *graph.Value            // the model's attention mask [batch, tokens], in the type that it has; nil for a model without one
	Outputs int
}

// Results are a model's outputs for a data set.
type Results struct {
	Data *data.Dataset
	// Rows are the outputs by encoding: Width values, or as many for each of its tokens, where the data set is sparse for each
	// of those chosen.
	Rows   [][]float32
	Width  int
	Labels []string
}

// An Answer is what a model says about one example. Its JSON form is for programs.
type Answer interface {
	// Lines are the answer for a person, each without the text that it is about.
	Lines() []string
}

// Listed is an answer of as many lines as there is to say, which a person reads below the text.
type Listed interface {
	Answer
	Listed()
}

// OfPair is an answer that is a part of the second text, which a person need not read again behind it.
type OfPair interface {
	Answer
	OfPair()
}

// A Fitter is a task that chooses a part of its settings on labelled examples once it is trained, such as thresholds.
type Fitter interface {
	// Fit changes the settings.
	Fit(r *Results) error
}

// A Warner is a task that knows outputs that are no use although their metrics may look well, such as one class for all.
type Warner interface {
	// Warn returns what is doubtful, in one line each; the set has targets.
	Warn(r *Results) []string
}

// A Chooser is a task with settings that the training data decide where nobody has: by the columns that a file has, for one.
type Chooser interface {
	// Choose settles what is open, and returns a line for a person about each choice. What is settled already stays.
	Choose(set *data.Set) (said []string, err error)
}

// Sparse is a task of tokens that learns from some of them only, so that the others' outputs need not be computed. Its data
// sets are sparse too.
type Sparse interface {
	// Share is about how many of the tokens count, from 0 to 1.
	Share() float64
}

// A Starter is a task that knows from the targets where the classifier's bias should start.
type Starter interface {
	Start(d *data.Dataset, labels []string) []float32
}

// A Reducer is a task whose outputs are too large to keep for a whole data set: it keeps less of each encoding's.
type Reducer interface {
	Reduce(d *data.Dataset, encoding int, out []float32, width int) []float32
}

// A Detailer is a task that has more to tell of outputs than numbers with a name: what each class comes to, for one.
type Detailer interface {
	// Detail has lines for a person; its JSON form is for programs.
	Detail(r *Results) (Answer, error)
}

// LowerIsBetter is a task whose deciding metric is better the lower it is.
type LowerIsBetter interface {
	LowerIsBetter(metric string) bool
}

// A Shaper is a task that says more of what is injected than its head: see [inject.Task].
type Shaper interface {
	Shape(t *inject.Task)
}

type registration struct {
	summary string
	build   func() Task
}

var tasks = map[string]registration{}

// register makes a task known; see task_<name>.go.
func register(name, summary string, build func() Task) {
	if _, dup := tasks[name]; dup {
		panic("task: " + name + " registered twice")
	}
	tasks[name] = registration{summary, build}
}

// Names returns the registered tasks, sorted.
func Names() []string { return slices.Sorted(maps.Keys(tasks)) }

// Summary returns one line about a registered task.
func Summary(name string) string { return tasks[name].summary }

// New returns a task with its default settings.
func New(name string) (Task, error) {
	r, ok := tasks[name]
	if !ok {
		return nil, fmt.Errorf("task: %q: unknown; the tasks are %s", name, strings.Join(Names(), ", "))
	}
	return r.build(), nil
}

// Of returns the task of a plan with the settings that stand there.
func Of(t inject.Task) (Task, error) {
	out, err := New(t.Type)
	if err != nil || t.Settings == nil {
		return out, err
	}
	if err := json.Unmarshal(t.Settings, out); err != nil {
		return nil, fmt.Errorf("task: settings of %q: %w", t.Type, err)
	}
	return out, nil
}

// Choose settles what a plan's task leaves to the training data, which changes nothing of the graph, and returns lines for a
// person about what was chosen.
func Choose(of *inject.Task, set *data.Set) (said []string, err error) {
	t, err := Of(*of)
	if err != nil {
		return nil, err
	}
	c, ok := t.(Chooser)
	if !ok {
		return nil, nil
	}
	if said, err = c.Choose(set); err != nil {
		return nil, err
	}
	if of.Settings, err = json.Marshal(t); err != nil {
		return nil, fmt.Errorf("task: settings: %w", err)
	}
	return said, nil
}

// NameOf returns the registered name of a task's type.
func NameOf(t Task) string {
	for name, r := range tasks {
		if fmt.Sprintf("%T", r.build()) == fmt.Sprintf("%T", t) {
			return name
		}
	}
	return ""
}

// ForInjection returns what a plan says of a task with these labels.
func ForInjection(t Task, labels []string) (inject.Task, error) {
	settings, err := json.Marshal(t)
	if err != nil {
		return inject.Task{}, fmt.Errorf("task: settings: %w", err)
	}
	out := inject.Task{Type: NameOf(t), Labels: labels}
	if head := t.Head(); head != models.SequenceClassification {
		out.Kind = head
	}
	if string(settings) != "{}" {
		out.Settings = settings
	}
	if s, ok := t.(Shaper); ok {
		s.Shape(&out)
	}
	return out, nil
}

// Settings lists a task's settings in the order of its fields.
func Settings(t Task) []setting.Setting { return setting.List(t) }

// Set sets the setting of that flag from its command-line form. ok is false when the task has no such setting.
func Set(t Task, flag, text string) (ok bool, err error) {
	if ok, err = setting.Set(t, flag, text); err != nil {
		err = fmt.Errorf("task: %w", err)
	}
	return ok, err
}

// Ordered are the names of scores as people want to read them: the metrics that a run is judged by first, in their order, then
// the others by name.
func Ordered(t Task, scores Scores) []string {
	var out []string
	for _, name := range t.Metrics() {
		if _, ok := scores[name]; ok {
			out = append(out, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(scores)) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// Decides is the metric by which scores are better or worse than others.
func Decides(t Task, scores Scores) string {
	for _, name := range t.Metrics() {
		if _, ok := scores[name]; ok {
			return name
		}
	}
	return ""
}

// CheckTargets reports a data set without what the task learns from and is judged by: one that was read without labels.
func CheckTargets(t Task, d *data.Dataset, labels []string) error {
	for _, spec := range t.Targets(labels) {
		if d.Target(spec.Name) == nil {
			return fmt.Errorf("task: the data has no labels: nothing says what its answers should be")
		}
	}
	return nil
}

// Better reports whether a metric's value is better than another; every value is better than an undefined one.
func Better(t Task, metric string, a, b float64) bool {
	if math.IsNaN(b) {
		return !math.IsNaN(a)
	}
	if l, ok := t.(LowerIsBetter); ok && l.LowerIsBetter(metric) {
		return a < b
	}
	return a > b
}

// noLabels is what a task without names for its outputs says to given ones.
func noLabels(name string, given []string) error {
	if given != nil {
		return fmt.Errorf("task: --labels: a %s task has no classes", name)
	}
	return nil
}

// Validate says which of t's settings is wrong, by the name of its flag.
func Validate(t Task) error {
	if v, ok := t.(interface{ validate() error }); ok {
		if err := v.validate(); err != nil {
			return fmt.Errorf("task: %w", err)
		}
	}
	return nil
}
