package peftgraph

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// asked gives requests of these lengths, or errors in their place.
func asked(steps ...any) iter.Seq2[Request, error] {
	return func(yield func(Request, error) bool) {
		for i, step := range steps {
			r, err := Request{Adapter: "0", ID: fmt.Sprint(i)}, error(nil)
			switch s := step.(type) {
			case int:
				r.Text = words(s)
			case error:
				err = s
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// collected are the answers' lengths with their ids.
func collected(to *[]string) func(Prediction) error {
	return func(p Prediction) error {
		*to = append(*to, fmt.Sprintf("%s:%v", p.ID, p.Answer.(task.ClassAnswer).Logits[0]))
		return nil
	}
}

// Answers come in the order of the requests; rows that can't be read are told and counted, and the others go on.
func TestStreamKeepsItsOrder(t *testing.T) {
	f := &fakeModel{bad: -1}
	var notes, got []string
	p := f.predictor(t, PredictorOptions{BatchSize: 2, Engine: Engine{Note: func(line string) { notes = append(notes, line) }}})
	skipped, err := p.PredictStream(t.Context(), asked(3, 9, &data.RowError{Path: "x.tsv", Row: 4, Why: "1 fields"}, 4, 7), collected(&got))
	if err != nil || skipped != 1 || fmt.Sprint(got) != "[0:3 1:9 3:4 4:7]" {
		t.Errorf("%v, %d skipped, %v", got, skipped, err)
	}
	if fmt.Sprint(notes) != "[x.tsv:4: 1 fields: the row is passed over rows without an answer, since they can't be read: 1]" {
		t.Errorf("%q", notes)
	}
}

// Texts that are cut are told once, and what is done is counted from the beginning.
func TestStreamIsToldOfAsOne(t *testing.T) {
	f := &fakeModel{bad: -1}
	var notes []string
	var done []int64
	p := f.predictor(t, PredictorOptions{BatchSize: 1, Engine: Engine{Note: func(line string) { notes = append(notes, line) },
		Progress: func(_ string, n, total int64) {
			if done = append(done, n); total != -1 {
				t.Error("total", total)
			}
		}}})
	requests := func(yield func(Request, error) bool) {
		for i := range 3 * streamBatches {
			if !yield(Request{Adapter: "1", Text: words(4 + i%4)}, nil) {
				return
			}
		}
	}
	if _, err := p.PredictStream(t.Context(), requests, func(Prediction) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("[1: %d of %d texts are longer than 6 tokens and were cut]", 3*streamBatches/4, 3*streamBatches); fmt.Sprint(notes) != want {
		t.Errorf("%v, want %s", notes, want)
	}
	if len(done) != 3*streamBatches || !slices.IsSorted(done) || done[len(done)-1] != 3*streamBatches {
		t.Error("progress", done)
	}
}

// What was asked is answered while the rest is still to come.
func TestStreamAnswersBeforeItsEnd(t *testing.T) {
	f := &fakeModel{bad: -1}
	p := f.predictor(t, PredictorOptions{BatchSize: 2})
	answered := make(chan string)
	requests := func(yield func(Request, error) bool) {
		for i := range 3 {
			if !yield(Request{Adapter: "0", Text: words(4 + i)}, nil) {
				return
			}
			select {
			case <-answered:
			case <-time.After(10 * time.Second):
				t.Errorf("request %d isn't answered before the next one", i)
				return
			}
		}
	}
	n := 0
	if _, err := p.PredictStream(t.Context(), requests, func(p Prediction) error { n++; answered <- p.Text; return nil }); err != nil || n != 3 {
		t.Errorf("%d answers, %v", n, err)
	}
}

// Only so many requests are read ahead of the answers as are answered at once.
func TestStreamReadsNoFurtherThanItMust(t *testing.T) {
	f := &fakeModel{bad: -1}
	p := f.predictor(t, PredictorOptions{BatchSize: 1})
	var read atomic.Int64
	answers := 0
	requests := func(yield func(Request, error) bool) {
		for range 1000 {
			if read.Add(1); !yield(Request{Adapter: "0", Text: words(4)}, nil) {
				return
			}
		}
	}
	stopped := errors.New("enough")
	_, err := p.PredictStream(t.Context(), requests, func(Prediction) error {
		if answers++; answers == 3 {
			return stopped
		}
		return nil
	})
	if !errors.Is(err, stopped) || answers != 3 {
		t.Errorf("%d answers, %v", answers, err)
	}
	if n, most := read.Load(), int64(2*streamBatches+4); n > most {
		t.Errorf("%d requests were read for 3 answers; want at most %d", n, most)
	}
}

// An error of the requests ends it, and so does the context.
func TestStreamEnds(t *testing.T) {
	f := &fakeModel{bad: -1}
	p := f.predictor(t, PredictorOptions{BatchSize: 2})
	var got []string
	broken := errors.New("broken")
	if _, err := p.PredictStream(t.Context(), asked(3, broken, 4), collected(&got)); !errors.Is(err, broken) || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	if n, err := p.PredictStream(t.Context(), asked(), collected(&got)); n != 0 || err != nil || got != nil {
		t.Errorf("of nothing: %v, %v", got, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := p.PredictStream(ctx, asked(3), collected(&got)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
