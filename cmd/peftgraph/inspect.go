package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "say what a model is: architecture, sizes, inputs, targets, trainable parameters per method",
		ArgsUsage: "MODEL.onnx or its folder",
		Flags:     outputFlags(),
		Action: withPath("model", func(_ *cli.Context, o *console, path string) error {
			m, err := peftgraph.Open(path)
			if err != nil {
				return err
			}
			in := inspection{m.Inspect()}
			return o.result(in, in.print)
		}),
	}
}

type inspection struct{ *peftgraph.Inspection }

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
	if in.Task != nil {
		row("task", "%s", taskText(*in.Task))
	}
	if in.Targets == nil {
		return // a deployed model whose adapter stays beside its weights
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
	if in.Targets == nil {
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
