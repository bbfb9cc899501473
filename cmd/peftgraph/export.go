package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/format"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

func exportCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "the model to write"},
		&cli.BoolFlag{Name: "merge", Usage: "fold what can be folded into the base's weights"},
		&cli.BoolFlag{Name: "adapter-inputs", Usage: "list the adapter's tensors among the inputs too, so that a session can be given others"},
		&cli.StringFlag{Name: "onnx-adapter", Usage: "with --adapter-inputs: also write the adapter to this .onnx_adapter file, for onnxruntime's LoraAdapter"},
		&cli.BoolFlag{Name: "reference", Usage: "leave the base's weights in the base's file, which must lie in the output's folder"},
		&cli.BoolFlag{Name: "keep-outputs", Usage: "keep the base's own outputs beside the logits"},
		&cli.Float64Flag{Name: "threshold", Value: defaultThreshold, Usage: "largest difference from the trained model that passes"},
		&cli.StringFlag{Name: "data", Usage: "text to prove the export on (default: the run's own)", Category: dataCategory},
		&cli.IntFlag{Name: "examples", Value: 256, Usage: "how many texts to prove the export on; 0 is all", Category: dataCategory},
		&cli.IntFlag{Name: "eval-batch-size", Value: train.DefaultSettings().EvalBatch, Usage: "texts per batch"},
		modelFlag(),
	}
	flags = append(flags, dataFlags()...)
	flags = append(flags, runtimeFlags()...)
	return &cli.Command{
		Name:      "export",
		Usage:     "write a deployable model from a trained run, and prove that it computes the same",
		ArgsUsage: "RUN/",
		Flags:     append(flags, outputFlags()...),
		Action:    withPath("run folder", runExport),
	}
}

// exported is the JSON form of what export prints.
type exported struct {
	Output     string     `json:"output"`
	Bytes      int64      `json:"bytes"`
	Merged     []string   `json:"merged"`
	Unmerged   []string   `json:"unmerged"`
	Adapter    string     `json:"onnx_adapter,omitempty"`
	Comparison comparison `json:"comparison"`
	Checked    []string   `json:"checked"`
}

func runExport(c *cli.Context, o *console, dir string) error {
	out := c.String("output")
	if out == "" {
		return usagef("export: -o is needed")
	}
	if c.Bool("merge") && c.Bool("adapter-inputs") {
		return usagef("export: --merge leaves no adapter for --adapter-inputs")
	}
	if c.String("onnx-adapter") != "" && !c.Bool("adapter-inputs") {
		return usagef("export: --onnx-adapter is for a model with --adapter-inputs")
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
	res := exported{Output: out, Merged: []string{}, Unmerged: []string{}}
	g, err := l.deployable(c, &res)
	if err != nil {
		return err
	}
	opt := onnxfile.Options{Weights: onnxfile.SelfContained}
	if c.Bool("reference") {
		opt.Weights = onnxfile.Reference
	}
	err = saveModel(g, out, opt)
	var outside *onnxfile.OutsideError
	if errors.As(err, &outside) {
		return hintedError{err, "write the output into the base's folder, or leave --reference away for one whole file"}
	}
	if err != nil {
		return err
	}
	if err := l.prove(c, o, d, &res); err != nil {
		// A model that isn't proven isn't left behind.
		_ = os.Remove(out)
		_ = os.Remove(out + ".data")
		return err
	}
	if res.Adapter = c.String("onnx-adapter"); res.Adapter != "" {
		if err := l.saveONNXAdapter(res.Adapter); err != nil {
			return err
		}
	}
	info, err := os.Stat(out)
	if err != nil {
		return err
	}
	res.Bytes = info.Size()
	return o.result(res, func(w io.Writer) { res.print(w) })
}

// saveONNXAdapter writes the values that the exported model takes as inputs.
func (l *loadedRun) saveONNXAdapter(path string) error {
	f, err := format.New(format.ONNXAdapter)
	if err != nil {
		return err
	}
	values, err := l.run.Plan.Values(l.graph)
	if err != nil {
		return err
	}
	return format.Save(f, path, l.run.Plan, values)
}

// deployable returns the trained graph in the form that the flags ask for.
func (l *loadedRun) deployable(c *cli.Context, res *exported) (*graph.Graph, error) {
	g, plan := l.graph.Clone(), l.run.Plan
	if !c.Bool("keep-outputs") {
		g.SetOutputs(g.Value(plan.Logits))
	}
	for _, m := range plan.Methods {
		res.Unmerged = append(res.Unmerged, m.Name)
	}
	switch {
	case c.Bool("merge"):
		unmerged, err := inject.Merge(g, plan)
		if err != nil {
			return nil, err
		}
		res.Merged, res.Unmerged = res.Unmerged, append([]string{}, unmerged...)
	case c.Bool("adapter-inputs"):
		inject.Deploy(g)
		if err := inject.Overridable(g, plan); err != nil {
			return nil, err
		}
	default:
		inject.Deploy(g)
		if err := inject.Fold(g); err != nil {
			return nil, err
		}
	}
	g.RemoveMeta(inject.MetadataKey)
	if err := plan.Encoder.Store(g); err != nil {
		return nil, err
	}
	if labels := plan.Task.Labels; len(labels) > 0 {
		byID := map[string]string{}
		for i, name := range labels {
			byID[strconv.Itoa(i)] = name
		}
		text, err := json.Marshal(byID)
		if err != nil {
			return nil, err
		}
		g.SetMeta("id2label", string(text))
	}
	return g, nil
}

// proofData is the text that the export is proven on: --data, else what the run was judged or trained on, else made up.
func (l *loadedRun) proofData(c *cli.Context, o *console) (*data.Dataset, error) {
	path, opt := c.String("data"), readAs(c, l.run)
	if path == "" {
		for _, p := range []string{l.run.EvalFile, l.run.TrainFile} {
			if _, err := os.Stat(p); err == nil && path == "" {
				path = p
			}
		}
	}
	if path == "" {
		o.note("neither the run's data nor --data is there: proving on random tokens")
		return madeUp(l.run.Plan.Encoder.Vocab, l.run.MaxLength), nil
	}
	opt.NoLabel, opt.LabelColumn = true, ""
	set, err := data.Read(path, opt)
	if err != nil {
		return nil, err
	}
	if n := c.Int("examples"); n > 0 && n < len(set.Examples) {
		set.Examples = set.Examples[:n]
	}
	return data.NewDataset(l.reader.tokenizer, set.Examples, l.run.MaxLength), nil
}

// prove reads the written file back, runs it beside the trained model, and has onnx-go read it too.
func (l *loadedRun) prove(c *cli.Context, o *console, d *data.Dataset, res *exported) error {
	e, err := openEngine(c.Context, c, o)
	if err != nil {
		return err
	}
	written, done, err := e.side(c.Context, res.Output)
	if err != nil {
		return err
	}
	defer done()
	trained := side{exec: l.predictor.Exec, graph: l.predictor.Graph, info: l.run.Plan.Encoder, outputs: []string{l.run.Plan.Logits}}
	if res.Comparison, err = compare(c.Context, o, written, trained, d, c.Int("eval-batch-size")); err != nil {
		return err
	}
	if res.Checked, err = crossRead(res.Output, written.graph); err != nil {
		return err
	}
	return res.Comparison.check(c.Float64("threshold"))
}

func (r exported) print(w io.Writer) {
	form := "adapter unmerged"
	if len(r.Merged) > 0 && len(r.Unmerged) == 0 {
		form = strings.Join(r.Merged, "+") + " merged into the weights"
	} else if len(r.Merged) > 0 {
		form = "merged what can be; constants for " + strings.Join(r.Unmerged, ", ")
	}
	fmt.Fprintf(w, "%s: %s, %s bytes\n", r.Output, form, thousands(int(r.Bytes)))
	for _, o := range r.Comparison.Outputs {
		fmt.Fprintf(w, "against the trained model on %d texts: max |Δ%s| %.2g, %d label flips\n", r.Comparison.Examples, strings.TrimSuffix(o.Name, "s"), o.MaxAbs, max(o.Flips, 0))
	}
	if r.Adapter != "" {
		fmt.Fprintf(w, "%s: the adapter's tensors, for onnxruntime's LoraAdapter\n", r.Adapter)
	}
	for _, line := range r.Checked {
		fmt.Fprintln(w, line)
	}
}
