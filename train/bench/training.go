//go:build unix

package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
)

// Training is what the trainer itself needs, as peftgraph train runs it.
type training struct {
	Derive float64 // seconds from the loaded model to the training graph
	Load   float64 // seconds until onnxruntime has loaded it
	Peak   float64 // megabytes (10⁶) of memory that the process had at most, mapped weights included
	Heap   float64 // megabytes of it that are not of a mapped file, at the end
	Own    float64 // share of a step that is spent outside onnxruntime, in percent
	Nodes  int     // of the training graph
	Step   float64 // seconds, median
}

// trainSteps is how many steps are trained; the first is not timed.
const trainSteps = 8

// measureTraining trains with the product's own loop.
func measureTraining(ctx context.Context, j job) (any, error) {
	m, err := j.open()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	step, err := m.step(j.Variant)
	if err != nil {
		return nil, err
	}
	derived := time.Now()
	session, err := m.session(ctx, step.Graph, j.Variant)
	if err != nil {
		return nil, err
	}
	loaded := time.Now()
	params, err := m.params(step.Layout)
	if err != nil {
		return nil, err
	}
	settings := train.DefaultSettings()
	settings.Epochs, settings.BatchSize = 1, j.Batch
	exec := &stopwatch{Session: session}
	var whole, own []float64
	t := &train.Trainer{Settings: settings, Step: step, Exec: exec, Train: m.dataset(trainSteps), Report: func(e train.Event) {
		if e.Kind == "step" && e.Step > 1 {
			whole = append(whole, e.Seconds)
			own = append(own, 100*(1-exec.last.Seconds()/e.Seconds))
		}
	}}
	if _, err := t.Run(ctx, params, nil); err != nil {
		return nil, err
	}
	peak, heap := memory()
	return training{Derive: derived.Sub(start).Seconds(), Load: loaded.Sub(derived).Seconds(), Peak: peak, Heap: heap,
		Own: median(own), Nodes: len(step.Graph.Nodes()), Step: median(whole)}, nil
}

// A stopwatch times the runs of a session.
type stopwatch struct {
	*runtime.Session
	last time.Duration
}

func (s *stopwatch) Run(ctx context.Context, feeds map[string]*graph.Tensor, fetches []string) ([]*graph.Tensor, error) {
	start := time.Now()
	out, err := s.Session.Run(ctx, feeds, fetches)
	s.last = time.Since(start)
	return out, err
}

// memory returns this process's largest resident size so far and its present size without mapped files, in megabytes; zeros
// where the system doesn't tell.
func memory() (peak, heap float64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kilobytes, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		switch name {
		case "VmHWM":
			peak = kilobytes * 1024 / 1e6
		case "RssAnon":
			heap = kilobytes * 1024 / 1e6
		}
	}
	return peak, heap
}
