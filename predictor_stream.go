package peftgraph

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/peftgraph/peftgraph/train/data"
)

// Requests reads files as [data.Files] takes them row by row, in memory that doesn't grow with them: as the run's own data was
// read where the options say nothing else, without labels. What comes beside a [*data.RowError] is a row that can't be read; unless
// the options are strict, others follow it.
func (r *Run) Requests(paths []string, opt data.Options) iter.Seq2[Request, error] {
	return func(yield func(Request, error) bool) {
		files, err := data.Files(paths...)
		if err != nil {
			yield(Request{}, err)
			return
		}
		opt.NoLabel = true
		as := likeRun(opt, r.Run)
		for _, path := range files {
			of := as(path)
			of.NoLabel, of.LabelColumn, of.Schema = true, "", withID(of.Schema)
			for ex, err := range data.Rows(path, of) {
				if err != nil && of.Strict {
					err = fmt.Errorf("%w", err) // what is passed over is a RowError itself
				}
				if !yield(Request{Text: ex.Text, Pair: ex.Pair, HasPair: ex.HasPair, Words: ex.Words,
					ID: strings.Join(ex.Fields[idField], ","), File: path, Row: ex.Row}, err) {
					return
				}
			}
		}
	}
}

// idField is the column by which programs know a row.
const idField = "id"

// withID is a schema that reads the rows' ids too, where they have one.
func withID(s *data.Schema) *data.Schema {
	var out data.Schema
	if s != nil {
		out = *s
	}
	if !slices.ContainsFunc(out.Fields, func(f data.Field) bool { return f.Name == idField }) {
		out.Fields = append(slices.Clone(out.Fields), data.Field{Name: idField, Columns: []string{idField}})
	}
	return &out
}

// How many requests of a stream are answered at once, in batches, and how long those that are there wait for others.
const (
	streamBatches = 32
	streamDelay   = 50 * time.Millisecond
)

// PredictStream answers requests as they come, in their order, and gives each answer to answer, whose error ends it. Only so many
// are held at a time as make good batches. Rows that can't be read are told to the engine's Note, and skipped counts them.
func (p *Predictor) PredictStream(ctx context.Context, requests iter.Seq2[Request, error], answer func(Prediction) error) (skipped int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &stream{p: p, in: make(chan streamed, streamBatches*p.opt.BatchSize), cut: make([]int, len(p.tasks)), answered: make([]int, len(p.tasks))}
	go s.read(ctx, requests)
	for {
		chunk, ended, err := s.gather(ctx)
		if err != nil {
			return s.skipped, err
		}
		predictions, err := p.predictEach(ctx, s.engine(), chunk)
		if err != nil {
			return s.skipped, err
		}
		for _, prediction := range predictions {
			if err := answer(prediction); err != nil {
				return s.skipped, err
			}
			s.count(prediction)
		}
		if ended {
			s.say()
			return s.skipped, nil
		}
	}
}

// A stream is requests on their way.
type stream struct {
	p       *Predictor
	in      chan streamed
	skipped int
	// by task
	answered, cut []int
	done          int // requests that are answered
}

type streamed struct {
	Request
	err error
}

// read sends the requests until there are no more, or nobody wants them.
func (s *stream) read(ctx context.Context, requests iter.Seq2[Request, error]) {
	defer close(s.in)
	for r, err := range requests {
		select {
		case s.in <- streamed{r, err}:
		case <-ctx.Done():
			return
		}
	}
}

// gather waits for a request and takes those that follow it soon; ended says that there are no others.
func (s *stream) gather(ctx context.Context) (chunk []Request, ended bool, err error) {
	var late <-chan time.Time
	for len(chunk) < cap(s.in) {
		select {
		case r, more := <-s.in:
			if !more {
				return chunk, true, nil
			}
			if bad, ok := r.err.(*data.RowError); ok {
				s.pass(bad)
				continue
			}
			if r.err != nil {
				return nil, true, r.err
			}
			if chunk = append(chunk, r.Request); late == nil {
				timer := time.NewTimer(streamDelay)
				defer timer.Stop()
				late = timer.C
			}
		case <-late:
			return chunk, false, nil
		case <-ctx.Done():
			return nil, true, context.Cause(ctx)
		}
	}
	return chunk, false, nil
}

// pass counts a row that can't be read and says so of the first ones.
func (s *stream) pass(bad *data.RowError) {
	const shown = 5
	if s.skipped++; s.skipped <= shown {
		s.p.opt.notef("%s: the row is passed over", strings.TrimPrefix(bad.Error(), "data: "))
	}
}

// engine tells of a part of the stream as of the whole.
func (s *stream) engine() Engine {
	e := s.p.opt.Engine
	e.Note = nil // each part has texts that were cut: see say
	if tell, before := e.Progress, s.done; tell != nil {
		e.Progress = func(step string, done, _ int64) { tell(step, int64(before)+done, -1) }
	}
	return e
}

func (s *stream) count(p Prediction) {
	k, err := s.p.task(p.Task)
	if err != nil {
		return // it is answered, so there is such a task
	}
	s.done++
	if s.answered[k]++; p.Truncated {
		s.cut[k]++
	}
}

// say tells how many texts were cut and how many rows were passed over.
func (s *stream) say() {
	for k, n := range s.cut {
		if n > 0 {
			s.p.readers[k].noteCut(s.p.opt.Engine, s.p.serving.Tasks[k].Name, n, s.answered[k])
		}
	}
	if s.skipped > 0 {
		s.p.opt.notef("rows without an answer, since they can't be read: %d", s.skipped)
	}
}

// Requests reads rows for one of the joined tasks, as that run's own data was read: see [Run.Requests].
func (j *Joint) Requests(adapter string, paths []string, opt data.Options) (iter.Seq2[Request, error], error) {
	at := slices.IndexFunc(j.runs, func(r Named) bool { return r.Name == adapter })
	if at < 0 {
		return nil, fmt.Errorf("adapter %q: it is none of those that were joined", adapter)
	}
	return func(yield func(Request, error) bool) {
		for r, err := range j.runs[at].Requests(paths, opt) {
			r.Adapter = adapter
			if !yield(r, err) {
				return
			}
		}
	}, nil
}
