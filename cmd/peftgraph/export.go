package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/train"
)

func exportCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "the model to write, or with --all the folder"},
		&cli.BoolFlag{Name: "merge", Usage: "fold what can be folded into the base's weights"},
		&cli.BoolFlag{Name: "adapter-inputs", Usage: "list the adapter's tensors among the inputs too, so that a session can be given others"},
		&cli.BoolFlag{Name: "all", Usage: "write every form (" + formFiles() + ") and compare them"},
		&cli.StringFlag{Name: "onnx-adapter", Usage: "with --adapter-inputs: also write the adapter to this .onnx_adapter file, for onnxruntime's LoraAdapter"},
		&cli.BoolFlag{Name: "reference", Usage: "leave the base's weights in the base's file, which must lie in the output's folder or below it"},
		&cli.BoolFlag{Name: "keep-outputs", Usage: "keep the base's own outputs beside the logits"},
		&cli.Float64Flag{Name: "threshold", Value: defaultThreshold, Usage: "largest difference from the trained model that passes"},
		&cli.StringFlag{Name: "data", Usage: "text to prove the export on (default: the run's own)", Category: dataCategory},
		&cli.IntFlag{Name: "examples", Value: 256, Usage: "how many texts to prove the export on; 0 is all", Category: dataCategory},
		&cli.IntFlag{Name: "eval-batch-size", Value: train.DefaultSettings().EvalBatch, Usage: "texts per batch"},
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
	targets, err := exportTargets(c)
	if err != nil {
		return err
	}
	l, err := openTrained(c, o, dir)
	if err != nil {
		return err
	}
	defer l.close()
	d, err := l.proofData(c, o)
	if err != nil {
		return err
	}
	x := &export{loadedRun: l, targets: targets}
	defer x.discard()
	if err := x.stage(c); err != nil {
		return err
	}
	res, err := x.prove(c, o, d)
	if err != nil {
		return err
	}
	if err := x.commit(); err != nil {
		return err
	}
	if !c.Bool("all") {
		return o.result(res.Forms[0], res.Forms[0].print)
	}
	return o.result(res, res.print)
}

// exportTargets says what is to be written where, and refuses flags that don't go together.
func exportTargets(c *cli.Context) ([]*target, error) {
	out, all, adapter := c.String("output"), c.Bool("all"), c.String("onnx-adapter")
	example := "-o deploy/model.onnx"
	if all {
		example = "-o deploy/"
	}
	_, err := os.Stat(out)
	exists, folder := err == nil, isFolder(out)
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
		{all && !folder && (exists || filepath.Ext(out) == ".onnx"), "--all writes several models, and -o " + out + " is one file", example},
		{!all && folder, "-o " + out + " is a folder", example + ", or --all for every form"},
		{!all && filepath.Ext(out) != ".onnx", "-o " + out + ": the name of a model ends in .onnx", example},
	} {
		if wrong.is {
			return nil, hintedError{usagef("export: %s", wrong.why), wrong.hint}
		}
	}
	if !all {
		return []*target{newTarget(c, chosenForm(c), out)}, nil
	}
	var targets []*target
	for _, f := range forms {
		targets = append(targets, newTarget(c, f, filepath.Join(out, f.file())))
	}
	return targets, nil
}

// isFolder reports whether path is a folder, or says by its end that it is to be one.
func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir() || strings.HasSuffix(path, string(filepath.Separator))
}
