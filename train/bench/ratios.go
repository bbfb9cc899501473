//go:build unix

package main

import (
	"context"
)

// Ratios say what a step costs.
type ratios struct {
	Chain     float64 // GFLOP/s of the chain
	Forward   float64 // of the forward
	Step      float64 // of the step
	OfChain   float64 // Step/Chain in percent
	ToForward float64 // time of a step / time of a forward
	ToBase    float64 // time of a step / time of the base's own forward in a session with default options
	FlopRatio float64 // the same of their products' operations
	Seconds   float64 // of a step
	Rounds    int
	Disturbed int
}

// measureRatios lets the chain, the forward and the step take turns.
func measureRatios(ctx context.Context, j job) (any, error) {
	m, err := j.open()
	if err != nil {
		return nil, err
	}
	chain, err := j.chain(ctx, m.rt, m.enc.Hidden, m.enc.Intermediate)
	if err != nil {
		return nil, err
	}
	forward, err := m.forwardPart(ctx, j.Variant)
	if err != nil {
		return nil, err
	}
	step, err := m.stepPart(ctx, j.Variant)
	if err != nil {
		return nil, err
	}
	base, err := m.basePart(ctx)
	if err != nil {
		return nil, err
	}
	r, err := takeTurns(ctx, []*part{chain, forward, step, base}, j.Rounds, j.Threads)
	if err != nil {
		return nil, err
	}
	speed := func(i int) func([]float64) float64 {
		return func(s []float64) float64 { return r.parts[i].flops / s[i] / 1e9 }
	}
	return ratios{
		Chain: r.median(speed(0)), Forward: r.median(speed(1)), Step: r.median(speed(2)),
		OfChain:   100 * r.median(func(s []float64) float64 { return step.flops / s[2] / (chain.flops / s[0]) }),
		ToForward: r.median(func(s []float64) float64 { return s[2] / s[1] }), FlopRatio: step.flops / forward.flops,
		ToBase:  r.median(func(s []float64) float64 { return s[2] / s[3] }),
		Seconds: r.median(func(s []float64) float64 { return s[2] }), Rounds: len(r.turns), Disturbed: r.Disturbed,
	}, nil
}

// A comparison is a variant's time as a multiple of the first one's.
type comparison struct {
	Name     string
	Training bool // of a step; else of a forward
	Ratio    float64
}

// measureSweep lets the same graph take turns with itself, written or run in other ways.
func measureSweep(ctx context.Context, j job) (any, error) {
	m, err := j.open()
	if err != nil {
		return nil, err
	}
	var out []comparison
	for _, training := range []bool{true, false} {
		make := m.forwardPart
		if training {
			make = m.stepPart
		}
		var parts []*part
		for _, v := range j.Others {
			p, err := make(ctx, v)
			if err != nil {
				return nil, err
			}
			parts = append(parts, p)
		}
		r, err := takeTurns(ctx, parts, j.Rounds, j.Threads)
		if err != nil {
			return nil, err
		}
		for i, v := range j.Others {
			out = append(out, comparison{v.Name, training, r.median(func(s []float64) float64 { return s[i] / s[0] })})
		}
		for _, p := range parts {
			if err := p.calls[0].session.Close(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
