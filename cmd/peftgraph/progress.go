package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/task"
)

// report shows the events of a trainer of that task.
func (o *console) report(of inject.Task, e train.Event) {
	const step = "training"
	switch e.Kind {
	case "step":
		o.progress(step, int64(e.Step), int64(e.Steps), fmt.Sprintf(" epoch %d, loss %.4f", e.Epoch, e.Loss))
	case "eval":
		o.progress(step, int64(e.Step), int64(e.Steps), fmt.Sprintf(" epoch %d, judging %d of %d", e.Epoch, e.Done, e.Total))
	case "epoch":
		mark := ""
		if e.Best && len(e.Metrics) > 0 {
			mark = ", best so far"
		}
		o.note("epoch %d: loss %.4f%s%s", e.Epoch, e.Loss, metricsText(of, e.Metrics), mark)
	case "note":
		o.note("note: %s", e.Note)
	}
}

// announce says before the work begins what it will be.
func (o *console) announce(b peftgraph.Begun) {
	o.note("training %s", planText(b.Plan))
	judged := "none to judge on: the last epoch counts as the best"
	if b.EvalExamples > 0 {
		judged = thousands(b.EvalExamples) + " to judge on"
	}
	s := b.Settings
	o.note("  data    %s examples, %s tokens an epoch, the longest text %d; %s", thousands(b.Examples), thousands(b.Tokens), b.Longest, judged)
	o.note("  steps   %s: %d an epoch, epochs %d, texts a step %d", thousands(b.Steps), b.Steps/s.Epochs, s.Epochs, s.BatchSize*s.Accumulate)
	if m := b.Memory; m != nil {
		o.note("  memory  about %s beside the program and onnxruntime: weights %s, mapped; activations %s; optimizer %s", bytesText(m.Total()), bytesText(m.Weights), bytesText(m.Activations), bytesText(m.Optimizer))
	}
	if b.After > 0 {
		o.note("  resumed after step %d", b.After)
	}
}

// metricsText is ", accuracy 0.9123, f1 0.9001": the one that decides first.
func metricsText(of inject.Task, m task.Scores) string {
	t, err := task.Of(of)
	if err != nil {
		return "" // a task that isn't known has no metrics
	}
	var sb strings.Builder
	for _, name := range task.Ordered(t, m) {
		value := "undefined"
		if !math.IsNaN(m[name]) {
			value = fmt.Sprintf("%.4f", m[name])
		}
		fmt.Fprintf(&sb, ", %s %s", name, value)
	}
	return sb.String()
}

// bytesText writes 90123456 as 90 MB.
func bytesText(n int64) string {
	size, units := float64(n), []string{"B", "kB", "MB", "GB", "TB"}
	for size >= 999.5 && len(units) > 1 {
		size, units = size/1000, units[1:]
	}
	return fmt.Sprintf("%.3g %s", size, units[0])
}
