package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/peftgraph/peftgraph"
)

func printForm(w io.Writer, r peftgraph.ExportedForm) {
	fmt.Fprintf(w, "%s: %s, %s bytes%s\n", r.Output, formText(r), thousands(int(r.Bytes)), weightsStay(r.WeightsIn))
	for _, o := range r.Comparison.Outputs {
		fmt.Fprintf(w, "against the trained model on %d texts: max |Δ%s| %.2g%s\n", r.Comparison.Examples, strings.TrimSuffix(o.Name, "s"), o.MaxAbs, flipsText(o))
	}
	fmt.Fprintf(w, "latency %s (%s)\n", latencyText(r.Latency), conditionsText(r.Latency))
	if r.Adapter != "" {
		fmt.Fprintf(w, "%s: the adapter's tensors, for onnxruntime's LoraAdapter\n", r.Adapter)
	}
	fmt.Fprintln(w, readingText(r.Crosscheck))
	if r.Folder != "" {
		fmt.Fprintf(w, "%s: config.json, the tokenizer's files and a card beside the model, for Optimum, transformers.js and others (layout %s)\n", r.Folder, r.Layout)
	}
}

// formText says what became of the adapter.
func formText(r peftgraph.ExportedForm) string {
	merged, constants := strings.Join(r.Merged, "+"), strings.Join(r.Unmerged, ", ")
	switch {
	case r.Form == peftgraph.AdapterInputs:
		return "adapter among the inputs, with its values as defaults"
	case r.Form != peftgraph.Merged:
		return "adapter unmerged"
	case constants == "":
		return merged + " merged into the weights"
	case merged == "":
		return "constants for " + constants + ", which no weight can take in"
	}
	return merged + " merged into the weights, constants for " + constants
}

// weightsStay names the files that a model refers to, if any.
func weightsStay(files []string) string {
	if len(files) == 0 {
		return ""
	}
	return "; the base's weights stay in " + strings.Join(files, ", ")
}

func printForms(w io.Writer, r *peftgraph.Exported) {
	first := r.Forms[0]
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "form\tfile\tbytes\tms, batch 1\tms a text, batch %d\tmax |Δlogit|\tlabel flips\n", first.Latency.Batched.BatchSize)
	for _, f := range r.Forms {
		delta, flips := f.Comparison.Outputs[0], "–"
		if delta.Flips >= 0 {
			flips = fmt.Sprint(delta.Flips)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.3g\t%.3g\t%.2g\t%s\n", f.Form, f.Output, thousands(int(f.Bytes)), f.Latency.Alone.PerText, f.Latency.Batched.PerText, delta.MaxAbs, flips)
	}
	_ = t.Flush() // nothing that writes to w looks for errors
	fmt.Fprintf(w, "differences: from the trained model on %d texts; between two forms at most %s\n", first.Comparison.Examples, apartText(r.Pairs))
	fmt.Fprintf(w, "latency: taking turns, %s\n", conditionsText(first.Latency))
	fmt.Fprintf(w, "%s: %s%s\n", first.Form, formText(first), weightsStay(first.WeightsIn))
	if adapter := r.Forms[len(r.Forms)-1].Adapter; adapter != "" {
		fmt.Fprintf(w, "%s: the adapter's tensors, for onnxruntime's LoraAdapter\n", adapter)
	}
	fmt.Fprintln(w, "onnx-go reads the same in every file (--json says how much)")
}

// apartText is the largest difference between two forms, and the most flips.
func apartText(pairs []peftgraph.FormPair) string {
	worst := peftgraph.OutputDelta{Flips: -1}
	for _, p := range pairs {
		worst.MaxAbs = max(worst.MaxAbs, p.Worst())
		worst.Flips = max(worst.Flips, p.Outputs[0].Flips)
	}
	return fmt.Sprintf("%.2g%s", worst.MaxAbs, flipsText(worst))
}

// latencyText is the latency's numbers, and conditionsText what they were measured with.
func latencyText(l peftgraph.Latency) string {
	return fmt.Sprintf("%.3g ms for a text alone, %.3g ms a text in batches of %d", l.Alone.PerText, l.Batched.PerText, l.Batched.BatchSize)
}

func conditionsText(l peftgraph.Latency) string {
	threads := "threads: one per physical core"
	if l.Threads > 0 {
		threads = fmt.Sprintf("threads: %d", l.Threads)
	}
	return fmt.Sprintf("medians at %d and %d tokens, onnxruntime %s on %s with its own session options, %s", l.Alone.Tokens, l.Batched.Tokens, l.Onnxruntime, l.Provider, threads)
}

func printJoint(w io.Writer, r *peftgraph.ExportedJoint) {
	var names []string
	for _, t := range r.Tasks {
		names = append(names, t.Name)
	}
	fmt.Fprintf(w, "%s: tasks %s on one base, %s bytes%s\n", r.Output, strings.Join(names, ", "), thousands(int(r.Bytes)), weightsStay(r.WeightsIn))
	for _, t := range r.Tasks {
		fmt.Fprintf(w, "rows with %s %d → output %q [rows, %d]; against the trained model on %d texts, in mixed batches: max |Δlogit| %.2g%s\n",
			r.TaskInput, t.ID, t.Output, t.Outputs(), t.Examples, t.Difference.MaxAbs, flipsText(t.Difference))
	}
	fmt.Fprintln(w, readingText(r.Crosscheck))
}
