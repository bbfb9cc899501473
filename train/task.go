package train

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

// A Task is what a head is trained for: its labels, its loss and its metrics.
type Task struct {
	Name    string
	Summary string
	// LabelType is the element type of the labels input [batch]: Int64 for class indices, Float for targets.
	LabelType graph.DType
	// Loss appends Σ weights·loss(logits, labels), shape [1], for logits [batch, outputs], labels and weights [batch].
	Loss func(b *graph.Builder, logits, labels, weights *graph.Value, outputs int) *graph.Value
	// Metrics names the registered metrics that apply, the one by which the best model is chosen first.
	Metrics []string
}

var tasks = map[string]Task{}

func registerTask(t Task) {
	if _, dup := tasks[t.Name]; dup {
		panic("train: task " + t.Name + " registered twice")
	}
	tasks[t.Name] = t
}

// TaskNames returns the registered tasks, sorted.
func TaskNames() []string { return slices.Sorted(maps.Keys(tasks)) }

// NewTask returns a task by name.
func NewTask(name string) (Task, error) {
	t, ok := tasks[name]
	if !ok {
		return Task{}, fmt.Errorf("train: task %q: unknown; the tasks are %s", name, strings.Join(TaskNames(), ", "))
	}
	return t, nil
}

// Predictions are what metrics compare: one row of logits and one label per example.
type Predictions struct {
	Logits  []float32 // [examples, Outputs]
	Outputs int
	Labels  []float64 // class index or target
}

// Len returns the number of examples.
func (p Predictions) Len() int { return len(p.Labels) }

// Row returns the logits of example i.
func (p Predictions) Row(i int) []float32 { return p.Logits[i*p.Outputs : (i+1)*p.Outputs] }

// Class returns the index of the largest logit of example i, the first of equals.
func (p Predictions) Class(i int) int {
	best := 0
	for k, v := range p.Row(i) {
		if v > p.Row(i)[best] {
			best = k
		}
	}
	return best
}

// A Metric is a number by which predictions are judged; larger is better.
type Metric func(Predictions) float64

var metrics = map[string]Metric{}

func registerMetric(name string, m Metric) {
	if _, dup := metrics[name]; dup {
		panic("train: metric " + name + " registered twice")
	}
	metrics[name] = m
}

// MetricNames returns the registered metrics, sorted.
func MetricNames() []string { return slices.Sorted(maps.Keys(metrics)) }

// Evaluate returns the task's metrics by name.
func (t Task) Evaluate(p Predictions) map[string]float64 {
	out := map[string]float64{}
	for _, name := range t.Metrics {
		out[name] = metrics[name](p)
	}
	return out
}
