package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// exported is the JSON form of what export prints of one model.
type exported struct {
	Form       string     `json:"form"`
	Output     string     `json:"output"`
	Bytes      int64      `json:"bytes"`
	WeightsIn  []string   `json:"weights_in,omitempty"` // with --reference: the files, relative to its folder, that hold the base's
	Merged     []string   `json:"merged"`
	Unmerged   []string   `json:"unmerged"`
	Adapter    string     `json:"onnx_adapter,omitempty"`
	Comparison comparison `json:"comparison"` // with the trained model
	Latency    latency    `json:"latency"`
	Crosscheck reading    `json:"crosscheck"`
}

// exportedAll is the JSON form of what export --all prints.
type exportedAll struct {
	Forms []exported `json:"forms"`
	Pairs []formPair `json:"pairs"`
}

// formPair is the comparison of two exported forms with each other.
type formPair struct {
	Forms [2]string `json:"forms"`
	comparison
}

func (r exported) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %s, %s bytes%s\n", r.Output, r.what(), thousands(int(r.Bytes)), weightsStay(r.WeightsIn))
	for _, o := range r.Comparison.Outputs {
		fmt.Fprintf(w, "against the trained model on %d texts: max |Δ%s| %.2g%s\n", r.Comparison.Examples, strings.TrimSuffix(o.Name, "s"), o.MaxAbs, o.flips())
	}
	fmt.Fprintf(w, "latency %s (%s)\n", r.Latency.text(), r.Latency.conditions())
	if r.Adapter != "" {
		fmt.Fprintf(w, "%s: the adapter's tensors, for onnxruntime's LoraAdapter\n", r.Adapter)
	}
	fmt.Fprintln(w, r.Crosscheck)
}

// what says what became of the adapter.
func (r exported) what() string {
	merged, constants := strings.Join(r.Merged, "+"), strings.Join(r.Unmerged, ", ")
	switch {
	case r.Form == adapterInputs.name:
		return "adapter among the inputs, with its values as defaults"
	case r.Form != merging.name:
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

func (r exportedAll) print(w io.Writer) {
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
	fmt.Fprintf(w, "differences: from the trained model on %d texts; between two forms at most %s\n", first.Comparison.Examples, r.apart())
	fmt.Fprintf(w, "latency: taking turns, %s\n", first.Latency.conditions())
	fmt.Fprintf(w, "%s: %s%s\n", first.Form, first.what(), weightsStay(first.WeightsIn))
	if adapter := r.Forms[len(r.Forms)-1].Adapter; adapter != "" {
		fmt.Fprintf(w, "%s: the adapter's tensors, for onnxruntime's LoraAdapter\n", adapter)
	}
	fmt.Fprintln(w, "onnx-go reads the same in every file (--json says how much)")
}

// apart is the largest difference between two forms, and the most flips.
func (r exportedAll) apart() string {
	worst := outputDelta{Flips: -1}
	for _, p := range r.Pairs {
		worst.MaxAbs = max(worst.MaxAbs, p.worst())
		worst.Flips = max(worst.Flips, p.Outputs[0].Flips)
	}
	return fmt.Sprintf("%.2g%s", worst.MaxAbs, worst.flips())
}
