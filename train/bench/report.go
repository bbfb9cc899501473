//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	goruntime "runtime"
	"strings"

	"github.com/peftgraph/peftgraph/runtime"
)

// A figure is one line of the table: a number for each model, with what is wanted of it.
type figure struct {
	name   string
	format string
	value  func(measured) float64
	want   func(target) string // nil: nothing is
}

// measured is all that was measured of one shape.
type measured struct {
	shape   subject
	ratios  ratios
	train   training // with the shape's own vocabulary
	lean    training // with a vocabulary of leanVocab words
	dropped training // with dropout
	serving serving
	sweep   []comparison
	profile []opTime
	files   *files
}

func atMost(format string, f func(target) float64) func(target) string {
	return func(t target) string { return "≤ " + fmt.Sprintf(format, f(t)) }
}

// disturbedName names the line that has two numbers.
const disturbedName = "rounds counted, and rounds that others disturbed"

func figures() []figure {
	lean := fmt.Sprintf("peak memory with a vocabulary of %d, MB", leanVocab)
	return []figure{
		{"chain of 20 MatMuls, GFLOP/s", "%.0f", func(m measured) float64 { return m.ratios.Chain }, nil},
		{"step, GFLOP/s", "%.0f", func(m measured) float64 { return m.ratios.Step }, nil},
		{"step, % of the chain", "%.1f", func(m measured) float64 { return m.ratios.OfChain },
			func(t target) string { return fmt.Sprintf("≥ %.0f", t.chain) }},
		{"forward, GFLOP/s", "%.0f", func(m measured) float64 { return m.ratios.Forward }, nil},
		{"step ÷ the base's forward with default options, time", "%.2f", func(m measured) float64 { return m.ratios.ToBase }, atMost("%.1f", func(t target) float64 { return t.ratio })},
		{"step ÷ forward of the injected model with the step's options, time", "%.2f", func(m measured) float64 { return m.ratios.ToForward }, nil},
		{"step ÷ forward, operations of products", "%.2f", func(m measured) float64 { return m.ratios.FlopRatio }, nil},
		{"step, ms", "%.0f", func(m measured) float64 { return 1000 * m.ratios.Seconds }, nil},
		{disturbedName, "%.0f", func(m measured) float64 { return float64(m.ratios.Rounds) }, nil},
		{lean, "%.0f", func(m measured) float64 { return m.lean.Peak }, atMost("%.0f", func(t target) float64 { return t.peak })},
		{"peak memory with the whole vocabulary, MB", "%.0f", func(m measured) float64 { return m.train.Peak }, nil},
		{"of it not mapped from files, MB", "%.0f", func(m measured) float64 { return m.train.Heap }, nil},
		{"deriving the training graph, s", "%.2f", func(m measured) float64 { return m.train.Derive }, nil},
		{"loading it into onnxruntime, s", "%.2f", func(m measured) float64 { return m.train.Load }, nil},
		{"nodes of the training graph", "%.0f", func(m measured) float64 { return float64(m.train.Nodes) }, nil},
		{"share of a step outside onnxruntime, %", "%.2f", func(m measured) float64 { return m.train.Own }, nil},
		{"the same with LoRA dropout 0.1, %", "%.2f", func(m measured) float64 { return m.dropped.Own }, nil},
	}
}

// servingFigures are of one session for several tasks, in milliseconds of requests of one text.
func servingFigures() []figure {
	ms := func(f func(serving) float64) func(measured) float64 {
		return func(m measured) float64 { return 1000 * f(m.serving) }
	}
	return []figure{
		{"a text in its task's own session, ms", "%.2f", ms(func(s serving) float64 { return s.Alone }), nil},
		{"in the joint session, the task the same as before, ms", "%.2f", ms(func(s serving) float64 { return s.Same }), nil},
		{"in the joint session, another task at each request, ms", "%.2f", ms(func(s serving) float64 { return s.Cycled }), nil},
		{"switching: what a request takes more than with the same task before, ms", "%.2f", ms(func(s serving) float64 { return s.Switch }), func(target) string { return "< 10" }},
		{"a batch of one text of each task, in one run, ms", "%.2f", ms(func(s serving) float64 { return s.Mixed }), nil},
		{"the same texts in their own sessions, one run each, ms", "%.2f", ms(func(s serving) float64 { return s.Apart }), nil},
		{"memory not mapped from files, joint session, MB", "%.0f", func(m measured) float64 { return m.serving.JointHeap }, nil},
		{"the same, one session for each task, MB", "%.0f", func(m measured) float64 { return m.serving.ApartHeap }, nil},
		{"joining the graphs and loading the session, s", "%.2f", func(m measured) float64 { return m.serving.Load }, nil},
	}
}

// fileFigures need the built program.
func fileFigures() []figure {
	return []figure{
		{"model, MB", "%.0f", func(m measured) float64 { return m.files.base }, nil},
		{"inject, s", "%.2f", func(m measured) float64 { return m.files.seconds }, func(target) string { return "≤ 0.5" }},
		{"inject, peak memory, MB", "%.0f", func(m measured) float64 { return m.files.peak }, func(target) string { return "≤ 150" }},
		{"inject, output, MB", "%.2f", func(m measured) float64 { return m.files.output }, func(target) string { return "≤ 5" }},
		{"inject --self-contained ÷ cp, time", "%.2f", func(m measured) float64 { return m.files.toCopy }, func(target) string { return "≤ 2" }},
		{"inject --self-contained, peak memory, MB", "%.0f", func(m measured) float64 { return m.files.selfPeak }, nil},
		{"cp, MB/s", "%.0f", func(m measured) float64 { return m.files.copySpeed }, nil},
	}
}

func printHeading(w io.Writer, j job, info runtime.Info) {
	fmt.Fprintf(w, "%s, %s/%s, %d processors; onnxruntime %s on %d threads. LoRA r=8 on query and value, batches of %d×%d tokens.\n",
		processor(), goruntime.GOOS, goruntime.GOARCH, goruntime.NumCPU(), info.Version, j.Threads, j.Batch, j.Length)
	if j.Threads == 1 {
		fmt.Fprintln(w, "On one thread processor time is measured, not the time that passes.")
	}
}

func printServingHeading(w io.Writer) {
	var names []string
	for _, t := range served {
		names = append(names, fmt.Sprintf("%s (%d labels)", t.method, t.labels))
	}
	fmt.Fprintf(w, "\nOne session for several tasks on one base: %s; texts of %d tokens.\n", strings.Join(names, ", "), servedLength)
}

func printFigures(w io.Writer, all []measured, figures []figure) {
	header, line := "| |", "|---|"
	for _, m := range all {
		header, line = header+" "+m.shape.title+" | wanted |", line+"---:|:---|"
	}
	fmt.Fprintf(w, "\n%s\n%s\n", header, line)
	for _, f := range figures {
		fmt.Fprintf(w, "| %s |", f.name)
		for _, m := range all {
			want := ""
			if f.want != nil {
				want = f.want(m.shape.target)
			}
			value := fmt.Sprintf(f.format, f.value(m))
			if f.name == disturbedName {
				value = fmt.Sprintf("%d, %d", m.ratios.Rounds, m.ratios.Disturbed)
			}
			fmt.Fprintf(w, " %s | %s |", value, want)
		}
		fmt.Fprintln(w)
	}
}

func printSweep(w io.Writer, m measured) {
	fmt.Fprintf(w, "\n| %s: time as a multiple of the first's | step | forward |\n|---|---:|---:|\n", m.shape.title)
	for i, c := range m.sweep[:len(m.sweep)/2] {
		fmt.Fprintf(w, "| %s | %.3f | %.3f |\n", c.Name, c.Ratio, m.sweep[len(m.sweep)/2+i].Ratio)
	}
}

func printProfile(w io.Writer, m measured) {
	fmt.Fprintf(w, "\n| %s: operator | nodes | %% of a step |\n|---|---:|---:|\n", m.shape.title)
	for _, o := range m.profile {
		if o.Share >= 0.1 {
			fmt.Fprintf(w, "| %s | %d | %.1f |\n", o.Op, o.Nodes, o.Share)
		}
	}
}

// processor returns the processor's name, where the system tells.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
