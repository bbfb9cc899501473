package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "say what a model is: architecture, sizes, inputs, targets, trainable parameters per method",
		ArgsUsage: "MODEL.onnx",
		Flags:     outputFlags(),
		Action: func(c *cli.Context) error {
			path, err := onePath(c, "model")
			if err != nil {
				return err
			}
			return inspect(newConsole(c), path)
		},
	}
}

// inspection is the JSON form of what inspect prints.
type inspection struct {
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
	Methods      map[string]int `json:"trainable_by_method,omitempty"`
	Plan         *inject.Plan   `json:"plan,omitempty"`
	// Tasks are those of a model that export --adapter wrote, by their place in the task input.
	Tasks []multitask.Task `json:"tasks,omitempty"`
}

func inspect(o *console, path string) error {
	g, plan, err := loadModel(path)
	if err != nil {
		return err
	}
	in := inspection{Path: path, Opset: g.Opset(), Producer: g.Producer, Nodes: len(g.Nodes()), Inputs: described(g.Inputs()), Outputs: described(g.Outputs()), Plan: plan}
	if plan != nil {
		in.Info = plan.Encoder
		return o.result(in, in.print)
	}
	if in.Tasks, err = multitask.ReadTasks(g); err != nil {
		return err
	}
	if in.Tasks != nil {
		if in.Info, err = models.Describe(g); err != nil {
			return err
		}
		return o.result(in, in.print)
	}
	enc, err := recognise(path, g)
	if err != nil {
		return err
	}
	in.Info, in.Heads, in.Intermediate, in.Activation = enc.Info(), enc.Heads, enc.Intermediate, enc.Activation
	in.Head = enc.Task
	in.Pooler, in.Targets, in.Methods = enc.Pooler != nil, enc.Targets(), parametersByMethod(enc)
	if enc.Classifier != nil {
		in.Classifier = enc.Classifier.Out
	}
	return o.result(in, in.print)
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

func (in inspection) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	row := func(k string, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", k, fmt.Sprintf(format, args...))
	}
	row("model", "%s", in.Path)
	row("family", "%s", in.Family)
	row("size", "%d layers, hidden %d%s", in.Layers, in.Hidden, in.detail())
	row("vocabulary", "%d tokens, texts of up to %d", in.Vocab, in.Positions)
	row("parameters", "%s", thousands(int(in.Parameters)))
	row("graph", "opset %d, %d nodes, written by %s", in.Opset, in.Nodes, orUnknown(in.Producer))
	for _, v := range in.Inputs {
		row("input", "%s", v)
	}
	for _, v := range in.Outputs {
		row("output", "%s", v)
	}
	if in.Plan != nil {
		row("injected", "%s", planText(in.Plan))
		return
	}
	for i, t := range in.Tasks {
		row("task", "%s %d is %s: %s; batches of up to %d tokens", multitask.TaskInput, i, t.Name, taskText(t.Task), t.Positions)
	}
	if in.Tasks != nil {
		return
	}
	row("head", "%s", in.headText())
	row("targets", "%s", strings.Join(in.Targets, ", "))
	for _, name := range inject.Names() {
		if n, ok := in.Methods[name]; ok {
			row(name, "%s trainable with its defaults (%.2f %%): %s", thousands(n), 100*float64(n)/float64(in.Parameters), inject.Summary(name))
		}
	}
}

// detail is what only recognition knows.
func (in inspection) detail() string {
	if in.Plan != nil || in.Tasks != nil {
		return ""
	}
	return fmt.Sprintf(", heads %d, intermediate %d, %s", in.Heads, in.Intermediate, in.Activation)
}

// headTasks says what heads do that files come with.
var headTasks = map[models.Task]string{
	models.SequenceClassification: "whole texts (sequence classification)",
	models.TokenClassification:    "every token (token classification)",
	models.QuestionAnswering:      "the start and end of an answer (extractive question answering)",
}

func (in inspection) headText() string {
	switch {
	case in.Classifier > 0:
		return fmt.Sprintf("a classifier with %d outputs for %s", in.Classifier, headTasks[in.Head])
	case in.Head == models.MaskedLM:
		return "a masked language model's, which predicts tokens"
	case in.Pooler:
		return "a pooler, no classifier"
	}
	return "none"
}

// planText describes an injection in one line.
func planText(p *inject.Plan) string {
	var names []string
	for _, m := range p.Methods {
		names = append(names, m.Name)
	}
	text := fmt.Sprintf("%s, %s trainable parameters (%.2f %%)", strings.Join(names, "+"), thousands(p.Parameters()), 100*float64(p.Parameters())/float64(p.Encoder.Parameters))
	if p.Task.Type != "" {
		text += fmt.Sprintf(", %s head on %s", p.Task.Type, p.Head.Kind)
	}
	if len(p.Task.Labels) > 0 {
		text += " for " + strings.Join(p.Task.Labels, ", ")
	}
	return text
}

// taskText is "classification of neg, pos".
func taskText(t inject.Task) string {
	if len(t.Labels) == 0 {
		return t.Type
	}
	return t.Type + " of " + strings.Join(t.Labels, ", ")
}

func orUnknown(s string) string {
	if s == "" {
		return "an unknown exporter"
	}
	return s
}

// thousands writes 109482240 as 109,482,240.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
