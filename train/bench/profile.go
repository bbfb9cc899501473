//go:build unix

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/runtime"
)

// An opTime is what the nodes of one operator take in a step.
type opTime struct {
	Op    string
	Nodes int
	Share float64 // of the time of all nodes, in percent
}

// profiledSteps is how many steps are profiled, after one that isn't.
const profiledSteps = 4

// measureProfile adds up the kernel times that onnxruntime's profiler writes down.
func measureProfile(ctx context.Context, j job) (any, error) {
	m, err := j.open()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "profile")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	opt := runtime.Mapped()
	if j.Variant.Options != nil {
		opt = *j.Variant.Options
	}
	opt.ProfilePrefix = filepath.Join(dir, "step")
	j.Variant.Options = &opt
	p, err := m.stepPart(ctx, j.Variant)
	if err != nil {
		return nil, err
	}
	for range 1 + profiledSteps {
		if err := p.once(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.calls[0].session.Close(); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(opt.ProfilePrefix + "*")
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("onnxruntime wrote %d profiles, want 1", len(files))
	}
	return readProfile(files[0])
}

// A profileEvent is an entry of onnxruntime's profile, which is in the format of Chrome's tracing.
type profileEvent struct {
	Category string  `json:"cat"`
	Name     string  `json:"name"`
	Start    float64 `json:"ts"`
	Duration float64 `json:"dur"`
	Args     struct {
		Op string `json:"op_name"`
	} `json:"args"`
}

// readProfile sums kernel times by operator, the longest first, without those of the first run.
func readProfile(path string) ([]opTime, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var events []profileEvent
	if err := json.Unmarshal(text, &events); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	runs := slices.DeleteFunc(slices.Clone(events), func(e profileEvent) bool { return e.Name != "model_run" })
	if len(runs) < 2 {
		return nil, fmt.Errorf("%s: %d runs, want at least 2", path, len(runs))
	}
	slices.SortFunc(runs, func(a, b profileEvent) int { return cmp.Compare(a.Start, b.Start) })
	warm := runs[0].Start + runs[0].Duration
	sum, count, total := map[string]float64{}, map[string]int{}, 0.0
	for _, e := range events {
		if e.Category == "Node" && strings.HasSuffix(e.Name, "_kernel_time") && e.Start >= warm {
			sum[e.Args.Op] += e.Duration
			count[e.Args.Op]++
			total += e.Duration
		}
	}
	var out []opTime
	for op, t := range sum {
		out = append(out, opTime{op, count[op] / (len(runs) - 1), 100 * t / total})
	}
	slices.SortFunc(out, func(a, b opTime) int { return cmp.Or(cmp.Compare(b.Share, a.Share), strings.Compare(a.Op, b.Op)) })
	return out, nil
}
