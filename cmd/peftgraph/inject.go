package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
)

func injectCommand() *cli.Command {
	flags := append(methodFlags(),
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "the model to write; beside MODEL.onnx unless --self-contained (default: MODEL.<methods>.onnx)"},
		&cli.StringFlag{Name: "adapter", Usage: "a trained adapter to put on the model, in place of --method: a folder or file in any format of peftgraph adapters list"},
		forceFlag(),
		&cli.BoolFlag{Name: "self-contained", Usage: "write one whole file instead of a small one that refers to MODEL.onnx"})
	return &cli.Command{
		Name:      "inject",
		Usage:     "add a method's trainable parameters and a head to a model",
		ArgsUsage: "MODEL.onnx",
		Flags:     append(flags, outputFlags()...),
		Action:    withPath("model", runInject),
	}
}

func runInject(c *cli.Context, o *console, path string) error {
	g, plan, err := injected(c, path)
	if err != nil {
		return err
	}
	out := c.String("output")
	if out == "" {
		out = defaultOutput(path, plan)
	}
	opt := onnxfile.Options{Weights: onnxfile.Reference}
	if c.Bool("self-contained") {
		opt.Weights = onnxfile.SelfContained
	}
	saved, err := saveModel(g, out, opt)
	if err != nil {
		return err
	}
	v := struct {
		Output     string       `json:"output"`
		Bytes      int64        `json:"bytes"`
		Parameters int          `json:"trainable_parameters"`
		Share      float64      `json:"trainable_share"`
		Plan       *inject.Plan `json:"plan"`
	}{out, saved.Bytes, plan.Parameters(), float64(plan.Parameters()) / float64(plan.Encoder.Parameters), plan}
	return o.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s, %s bytes%s\n", out, planText(plan), thousands(int(saved.Bytes)), weightsStay(saved.Refers))
	})
}

// injected loads the model and injects what the flags ask for: methods at their start, or an adapter.
func injected(c *cli.Context, path string) (*graph.Graph, *inject.Plan, error) {
	if c.String("adapter") != "" {
		return injectedAdapter(c, path)
	}
	labels, err := injectLabels(c)
	if err != nil {
		return nil, nil, err
	}
	g, plan, err := loadModel(path)
	if err != nil {
		return nil, nil, err
	}
	if plan != nil {
		return nil, nil, hintedError{fmt.Errorf("%s is injected already", path), "inject into the original model; several methods at once with --method lora,bitfit"}
	}
	enc, err := recognise(path, g)
	if err != nil {
		return nil, nil, err
	}
	plan, err = injectInto(c, enc, labels)
	return g, plan, err
}

// injectedAdapter puts an adapter on the model. What it is, it says itself.
func injectedAdapter(c *cli.Context, path string) (*graph.Graph, *inject.Plan, error) {
	for _, f := range methodFlags() {
		if name := f.Names()[0]; c.IsSet(name) && name != "labels" {
			return nil, nil, usagef("--%s: the adapter says that itself; leave one of --adapter and --%s away", name, name)
		}
	}
	p, err := placeAdapter(c.String("adapter"), placement{path, labelsFrom(c), c.Bool("force"), newConsole(c).note})
	if err != nil {
		return nil, nil, err
	}
	if p.graph == nil {
		return nil, nil, hintedError{fmt.Errorf("%s is a model", c.String("adapter")), "take the adapter out with peftgraph adapters convert"}
	}
	if err := p.copyValues(); err != nil {
		return nil, nil, err
	}
	return p.graph, p.plan, p.plan.SetValues(p.graph, p.values)
}

// injectLabels checks the labels before anything is loaded: a head for unnamed classes can't be right by chance.
func injectLabels(c *cli.Context) ([]string, error) {
	labels := labelsFrom(c)
	t, err := taskFrom(c)
	if err != nil {
		return nil, wrongUsage(c, err)
	}
	if t == nil {
		if labels != nil {
			return nil, usagef("--labels: a none task has no classes")
		}
		return nil, nil
	}
	if labels, err = t.Labels(nil, labels); err != nil {
		return nil, usageError{err.Error()}
	}
	return labels, nil
}

// defaultOutput is model.lora.onnx for model.onnx.
func defaultOutput(path string, p *inject.Plan) string {
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	for _, m := range p.Methods {
		stem += "." + m.Name
	}
	if len(p.Methods) == 0 {
		stem += ".head"
	}
	return stem + ".onnx"
}
