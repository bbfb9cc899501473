package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
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
	m, err := injected(c, o, path)
	if err != nil {
		return err
	}
	out, plan := c.String("output"), m.Plan
	if out == "" {
		out = defaultOutput(path, plan)
	}
	saved, err := m.Save(out, peftgraph.SaveOptions{SelfContained: c.Bool("self-contained")})
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
		fmt.Fprintf(w, "%s: %s, %s bytes%s\n", out, planText(plan), thousands(int(saved.Bytes)), weightsStay(saved.WeightsIn))
	})
}

// injected is the model with what the flags ask for in it: methods at their start, or an adapter.
func injected(c *cli.Context, o *console, path string) (*peftgraph.Model, error) {
	if adapter := c.String("adapter"); adapter != "" {
		return withAdapter(c, o, path, adapter)
	}
	opt, err := injectOptions(c)
	if err != nil {
		return nil, err
	}
	m, err := peftgraph.Open(path)
	if err != nil {
		return nil, err
	}
	return m.Inject(opt)
}

// withAdapter puts an adapter on the model. What it is, it says itself.
func withAdapter(c *cli.Context, o *console, path, adapter string) (*peftgraph.Model, error) {
	for _, f := range methodFlags() {
		if name := f.Names()[0]; c.IsSet(name) && name != "labels" {
			return nil, usagef("--%s: the adapter says that itself; leave one of --adapter and --%s away", name, name)
		}
	}
	m, err := peftgraph.Open(path)
	if err != nil {
		return nil, err
	}
	return m.WithAdapter(adapter, placementFrom(c, o))
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
