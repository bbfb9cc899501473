package peftgraph

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
)

// An Inspection is what is known of a model. Its JSON form is what the inspect command prints.
type Inspection struct {
	Path string `json:"path"`
	models.Info
	Heads        int            `json:"heads,omitempty"`
	Intermediate int            `json:"intermediate,omitempty"`
	Activation   string         `json:"activation,omitempty"`
	Opset        int64          `json:"opset"`
	Producer     string         `json:"producer,omitempty"`
	Nodes        int            `json:"nodes"`
	Inputs       []string       `json:"graph_inputs"`
	Outputs      []string       `json:"graph_outputs"`
	Pooler       bool           `json:"pooler,omitempty"`
	Classifier   int            `json:"classifier_outputs,omitempty"`
	Head         models.Task    `json:"head_task,omitempty"` // what the head that the file came with does
	Targets      []string       `json:"targets,omitempty"`
	Methods      map[string]int `json:"trainable_by_method,omitempty"` // parameters, with each method's defaults
	Plan         *inject.Plan   `json:"plan,omitempty"`
	// Tasks are those of a joint model, by their place in the task input.
	Tasks []multitask.Task `json:"tasks,omitempty"`
	Task  *inject.Task     `json:"task,omitempty"` // of a deployed model
}

// Inspect says what the model is and, of a base, what can be trained.
func (m *Model) Inspect() *Inspection {
	g := m.Graph
	in := &Inspection{Path: m.Path, Info: m.Info, Opset: g.Opset(), Producer: g.Producer, Nodes: len(g.Nodes()),
		Inputs: described(g.Inputs()), Outputs: described(g.Outputs()), Plan: m.Plan, Tasks: m.Tasks, Task: m.Task}
	enc := m.Encoder
	if enc == nil {
		return in
	}
	in.Heads, in.Intermediate, in.Activation = enc.Heads, enc.Intermediate, enc.Activation
	in.Head = enc.Task
	in.Pooler, in.Targets, in.Methods = enc.Pooler != nil, enc.Targets(), parametersByMethod(enc)
	if enc.Classifier != nil {
		in.Classifier = enc.Classifier.Out
	}
	return in
}

func described(vs []*graph.Value) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = fmt.Sprintf("%s %s%s", v.Name(), v.DType, v.Shape)
	}
	return out
}

// parametersByMethod injects each method with its defaults into a copy and counts.
func parametersByMethod(enc *models.Encoder) map[string]int {
	out := map[string]int{}
	for _, name := range inject.Names() {
		copied, err := models.Recognise(enc.Graph.Clone())
		if err != nil {
			continue
		}
		m, err := inject.New(name)
		if err != nil {
			continue
		}
		if plan, err := inject.Inject(copied, []inject.Method{m}, inject.Options{}); err == nil {
			out[name] = plan.Parameters()
		}
	}
	return out
}
