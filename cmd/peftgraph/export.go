package main

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/train/folder"
)

func exportCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "the model to write, or a folder: for model.onnx and, beside it, what other programs load it with; with --all for the models"},
		&cli.StringFlag{Name: "layout", Value: string(folder.Linked), Usage: "where in the folder model.onnx lies, of " + layouts() + ": linked has the link onnx too, where transformers.js looks",
			Action: oneOf("layout", strings.Split(layouts(), ", ")...)},
		&cli.BoolFlag{Name: "bare", Usage: "write the model alone"},
		&cli.BoolFlag{Name: "merge", Usage: "fold what can be folded into the base's weights"},
		&cli.BoolFlag{Name: "adapter-inputs", Usage: "list the adapter's tensors among the inputs too, so that a session can be given others"},
		&cli.BoolFlag{Name: "all", Usage: "write every form (" + formFiles() + ") and compare them"},
		&cli.StringFlag{Name: "onnx-adapter", Usage: "with --adapter-inputs: also write the adapter to this .onnx_adapter file, for onnxruntime's LoraAdapter"},
		&cli.BoolFlag{Name: "reference", Usage: "leave the base's weights in the base's file, which must lie in the output's folder or below it"},
		&cli.BoolFlag{Name: "keep-outputs", Usage: "keep the base's own outputs beside the logits"},
		thresholdFlag("largest difference from the trained model that passes"),
		&cli.StringFlag{Name: "data", Usage: "text to prove the export on (default: the run's own)", Category: dataCategory},
		&cli.IntFlag{Name: "examples", Value: peftgraph.DefaultExamples, Usage: "how many texts to prove the export on; 0 is all", Category: dataCategory},
		evalBatchFlag(),
		adapterFlag(),
		modelFlag(),
	}
	flags = append(flags, dataFlags()...)
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:      "export",
		Usage:     "write a deployable model from a trained run, or from several on one base, and prove that it computes the same",
		ArgsUsage: "RUN/ or --adapter NAME=RUN/ …",
		Flags:     append(flags, outputFlags()...),
		Action:    oneOrJoint("run folder", runExport, exportJoint),
	}
}

func runExport(c *cli.Context, o *console, dir string) error {
	opt, err := exportOptions(c, o)
	if err != nil {
		return err
	}
	run, err := peftgraph.OpenRunOn(dir, c.String("model"))
	if err != nil {
		return err
	}
	return export(c.Context, o, run, opt)
}

// export writes a run's model and prints what came of it.
func export(ctx context.Context, o *console, run *peftgraph.Run, opt peftgraph.ExportOptions) error {
	res, err := run.Export(ctx, opt)
	if err != nil {
		return err
	}
	if opt.All {
		return o.result(res, func(w io.Writer) { printForms(w, res) })
	}
	return o.result(res.Forms[0], func(w io.Writer) { printForm(w, res.Forms[0]) })
}

// exportJoint is export with --adapter: one model for several tasks.
func exportJoint(c *cli.Context, o *console) error {
	for _, name := range []string{"merge", "adapter-inputs", "all", "onnx-adapter", "keep-outputs", "layout"} {
		if c.IsSet(name) {
			return hinted(usagef("export: --%s is for one run, and --adapter joins several whose adapters stay beside one base", name), "leave --"+name+" away")
		}
	}
	opt, err := exportOptions(c, o)
	if err != nil {
		return err
	}
	j, err := joined(c)
	if err != nil {
		return err
	}
	opt.Form = ""
	res, err := j.Export(c.Context, opt)
	if err != nil {
		return err
	}
	return o.result(res, func(w io.Writer) { printJoint(w, res) })
}

// exportOptions says what is to be written where, and refuses flags that don't go together.
func exportOptions(c *cli.Context, o *console) (peftgraph.ExportOptions, error) {
	out, all, adapter := c.String("output"), c.Bool("all"), c.String("onnx-adapter")
	opt := peftgraph.ExportOptions{Engine: engineFrom(c, o), Path: out, Form: chosenForm(c), All: all, ONNXAdapter: adapter, Reference: c.Bool("reference"),
		KeepOutputs: c.Bool("keep-outputs"), Data: c.String("data"), DataOptions: dataOptions(c), Examples: cmp.Or(c.Int("examples"), -1), Threshold: threshold(c), BatchSize: c.Int("eval-batch-size"),
		Layout: folder.Layout(c.String("layout")), Bare: c.Bool("bare"), Command: commandLine(c), Program: "peftgraph " + version()}
	const example = "-o deploy/"
	_, err := os.Stat(out)
	exists, isDir := err == nil, folder.Named(out)
	for _, wrong := range []struct {
		is        bool
		why, hint string
	}{
		{out == "", "-o is needed", example},
		{all && c.Bool("merge"), "--all writes the merged form too", "leave --merge away"},
		{all && c.Bool("adapter-inputs"), "--all writes the form with --adapter-inputs too", "leave --adapter-inputs away"},
		{c.Bool("merge") && c.Bool("adapter-inputs"), "--merge leaves no adapter for --adapter-inputs", "one of them, or --all for every form"},
		{adapter != "" && !all && !c.Bool("adapter-inputs"), "--onnx-adapter is for a model whose adapter is among its inputs", "add --adapter-inputs"},
		{adapter != "" && filepath.Ext(adapter) != ".onnx_adapter", "--onnx-adapter " + adapter + ": the name of an onnxruntime adapter ends in .onnx_adapter", "--onnx-adapter deploy/model.onnx_adapter"},
		{all && !isDir && (exists || filepath.Ext(out) == ".onnx"), "--all writes several models, and -o " + out + " is one file", example},
		{all && (c.IsSet("layout") || c.Bool("bare")), "--all writes models alone", "leave --layout and --bare away"},
		{isDir && c.IsSet("adapter"), "-o " + out + " is a folder for other programs, whose files would tell of one task", "-o deploy/joint.onnx"},
		{isDir && !all && !opt.Bare && opt.Reference, "-o " + out + " is a folder for other programs, and --reference leaves weights elsewhere", "leave --reference away, or add --bare"},
		{isDir && !all && !opt.Bare && opt.KeepOutputs, "-o " + out + " is a folder for other programs, and --keep-outputs keeps names that they don't know", "leave --keep-outputs away, or add --bare"},
		{!all && !isDir && filepath.Ext(out) != ".onnx", "-o " + out + ": the name of a model ends in .onnx", "-o deploy/model.onnx"},
	} {
		if wrong.is {
			return opt, hinted(usagef("export: %s", wrong.why), wrong.hint)
		}
	}
	return opt, nil
}

// chosenForm is the one that the flags ask for without --all.
func chosenForm(c *cli.Context) peftgraph.Form {
	switch {
	case c.Bool("merge"):
		return peftgraph.Merged
	case c.Bool("adapter-inputs"):
		return peftgraph.AdapterInputs
	}
	return peftgraph.Unmerged
}

func formFiles() string {
	var files []string
	for _, f := range peftgraph.Forms() {
		files = append(files, f.File())
	}
	return strings.Join(files, ", ")
}

// layouts are the layouts of a folder.
func layouts() string {
	var names []string
	for _, l := range folder.Layouts() {
		names = append(names, string(l))
	}
	return strings.Join(names, ", ")
}
