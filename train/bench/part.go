//go:build unix

package main

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/runtime"
)

// A part is what takes turns with others: one call of a session, or several that follow each other.
type part struct {
	name  string
	flops float64
	calls []call
	done  int // calls so far
}

// A call is one run of a session.
type call struct {
	session *runtime.Session
	feeds   map[string]*graph.Tensor
	fetches []string
}

// A turn is how long a part's run took, and how much of the processor it got meanwhile.
type turn struct {
	seconds float64
	share   float64 // processor time / (time · threads); near 1 on an idle machine, since waiting threads spin
}

// turnTime is how long a part runs in its turn at least: long against the clock of processor time.
const turnTime = 250 * time.Millisecond

// once runs the part's next call.
func (p *part) once(ctx context.Context) error {
	c := p.calls[p.done%len(p.calls)]
	p.done++
	out, err := c.session.Run(ctx, c.feeds, c.fetches)
	c.session.Recycle(out...)
	return err
}

// turn runs the part for a while. On one thread its processor time is taken, which other programs hardly change. The first
// run isn't timed: threads of the session before still wait for work meanwhile, and spin.
func (p *part) turn(ctx context.Context, threads int) (turn, error) {
	if err := p.once(ctx); err != nil {
		return turn{}, err
	}
	start, cpu, runs := time.Now(), processorTime(), 0
	for time.Since(start) < turnTime {
		if err := p.once(ctx); err != nil {
			return turn{}, err
		}
		runs++
	}
	wall := time.Since(start).Seconds()
	cpu = processorTime() - cpu
	if threads == 1 {
		return turn{cpu / float64(runs), 1}, nil
	}
	return turn{wall / float64(runs), cpu / (wall * float64(threads))}, nil
}

func processorTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// quiet is the share of the processor below which a turn counts as disturbed by other programs.
const quiet = 0.95

// Rounds are turns of several parts, round by round.
type rounds struct {
	parts     []*part
	turns     [][]turn // by round and part
	Disturbed int      // rounds in which another program took a part of the processor
}

// takeTurns runs each part once for warmth, then n rounds.
func takeTurns(ctx context.Context, parts []*part, n, threads int) (*rounds, error) {
	r := &rounds{parts: parts}
	for _, p := range parts {
		if err := p.once(ctx); err != nil {
			return nil, err
		}
	}
	for range n {
		round := make([]turn, len(parts))
		for i, p := range parts {
			var err error
			if round[i], err = p.turn(ctx, threads); err != nil {
				return nil, err
			}
		}
		r.turns = append(r.turns, round)
	}
	r.leaveOutDisturbed(min(n, 4))
	return r, nil
}

// leaveOutDisturbed keeps the rounds that no other program disturbed, where there are at least that many; else all.
func (r *rounds) leaveOutDisturbed(enough int) {
	calm := slices.DeleteFunc(slices.Clone(r.turns), func(round []turn) bool {
		return slices.ContainsFunc(round, func(t turn) bool { return t.share < quiet })
	})
	r.Disturbed = len(r.turns) - len(calm)
	if len(calm) >= enough {
		r.turns = calm
	}
}

// median returns the median over the rounds of f, which is told the seconds of each part.
func (r *rounds) median(f func(seconds []float64) float64) float64 {
	values := make([]float64, len(r.turns))
	for k, round := range r.turns {
		seconds := make([]float64, len(round))
		for i, t := range round {
			seconds[i] = t.seconds
		}
		values[k] = f(seconds)
	}
	return median(values)
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}
