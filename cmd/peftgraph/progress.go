package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/peftgraph/peftgraph/train"
)

// progress turns the trainer's events into lines of metrics.jsonl and a bar.
type progress struct {
	o   *console
	log io.Writer
	bar *bar
	err error // the first of writing the metrics

	seconds []float64 // of each step
}

func (p *progress) report(e train.Event) {
	switch e.Kind {
	case "step":
		p.seconds = append(p.seconds, e.Seconds)
		p.bar.at(int64(e.Step), int64(e.Steps), fmt.Sprintf(" epoch %d, loss %.4f", e.Epoch, e.Loss))
	case "eval":
		p.bar.at(int64(e.Step), int64(e.Steps), fmt.Sprintf(" epoch %d, judging %d of %d", e.Epoch, e.Done, e.Total))
		return
	case "epoch":
		mark := ""
		if e.Best && len(e.Metrics) > 0 {
			mark = ", best so far"
		}
		p.bar.line("epoch %d: loss %.4f%s%s", e.Epoch, e.Loss, metricsText(e.Metrics), mark)
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = p.log.Write(append(line, '\n'))
	}
	if p.err == nil {
		p.err = err
	}
}

// perStep is the mean time of a step in seconds, without the first, in which onnxruntime sets itself up.
func (p *progress) perStep() float64 {
	if len(p.seconds) < 2 {
		return 0
	}
	sum := 0.0
	for _, s := range p.seconds[1:] {
		sum += s
	}
	return sum / float64(len(p.seconds)-1)
}
