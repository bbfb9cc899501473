package peftgraph

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/peftgraph/peftgraph/train/data"
)

// A call is what one goroutine waits for.
type call struct {
	sets      []*data.Dataset // by task; nil where it asks nothing of it
	examples  []place         // by request
	ids       []string        // the same
	rows      []*row
	unstarted int
	results   chan result // has room for all that there can be
	cancelled bool        // nobody waits any more
}

// A result says that so many rows of a call are done, or why they can't be.
type result struct {
	rows int
	err  error
}

// A place is that of a request in its call's sets.
type place struct{ task, example int }

// A row is an encoding of a call.
type row struct {
	data.Encoding
	call *call
	task int
	at   int // in the task's set
	out  []float32
}

// weights choose the tokens that are answered for: all, unless the row's own task chooses some.
func (r *row) weights() []float32 {
	if set := r.call.sets[r.task]; set.Sparse {
		return set.Weights[r.at]
	}
	return slices.Repeat([]float32{1}, len(r.IDs))
}

func byLength(a, b *row) int { return cmp.Compare(len(b.IDs), len(a.IDs)) }

// enqueue puts a call's rows among those that wait.
func (p *Predictor) enqueue(ctx context.Context, c *call) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	sorted := slices.SortedStableFunc(slices.Values(c.rows), byLength)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.waiting = merge(p.waiting, sorted)
	p.calls = append(p.calls, c)
	p.nudge()
	return nil
}

// merge joins two lists that are sorted by length; of equals, those of a come first.
func merge(a, b []*row) []*row {
	out := make([]*row, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if byLength(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// nudge wakes the worker; it will look at everything that there is.
func (p *Predictor) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// cancel takes away a call's rows that wait, and stops what is running where it is for nobody else.
func (p *Predictor) cancel(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.cancelled = true
	p.waiting = slices.DeleteFunc(p.waiting, func(r *row) bool { return r.call == c })
	p.calls = slices.DeleteFunc(p.calls, func(other *call) bool { return other == c })
	if p.stop != nil && !slices.ContainsFunc(p.running, func(r *row) bool { return !r.call.cancelled }) {
		p.stop()
	}
}

// work computes batches until the predictor is closed and nothing waits.
func (p *Predictor) work() {
	defer close(p.ended)
	defer p.serving.close()
	for idle := true; p.wait(idle); idle = false {
		ctx, stop := context.WithCancel(context.Background())
		if rows := p.next(stop); len(rows) > 0 {
			p.compute(ctx, rows)
		}
		stop()
	}
}

// wait returns once there are rows: at once after a batch, or where nothing was going on, after others had the time to come.
// It is false when there will be none.
func (p *Predictor) wait(idle bool) bool {
	n, closed := p.state()
	if closed || n > 0 && !idle {
		return n > 0
	}
	if n == 0 {
		<-p.wake
	}
	late := time.NewTimer(p.opt.Delay)
	defer late.Stop()
	for p.opt.Delay > 0 {
		if n, closed := p.state(); n >= p.opt.BatchSize || closed {
			break
		}
		select {
		case <-p.wake:
			continue
		case <-late.C:
		}
		break
	}
	n, closed = p.state()
	return n > 0 || !closed
}

func (p *Predictor) state() (waiting int, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting), p.closed
}

// next takes a batch out of what waits: the longest text of the oldest call, with those that are nearest to it in length. So
// a call that is alone is cut into batches as an evaluation is, and none waits for ever.
func (p *Predictor) next(stop context.CancelFunc) []*row {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(p.opt.BatchSize, len(p.waiting))
	if n == 0 { // cancelled meanwhile
		return nil
	}
	oldest := p.calls[0]
	at := slices.IndexFunc(p.waiting, func(r *row) bool { return r.call == oldest })
	at = min(at, len(p.waiting)-n)
	rows := slices.Clone(p.waiting[at : at+n])
	p.waiting = slices.Delete(p.waiting, at, at+n)
	for _, r := range rows {
		r.call.unstarted--
	}
	p.calls = slices.DeleteFunc(p.calls, func(c *call) bool { return c.unstarted == 0 })
	p.running, p.stop = rows, stop
	return rows
}

// compute answers rows. Where that fails, each call gets its own try: it isn't to suffer from another's text or adapter.
func (p *Predictor) compute(ctx context.Context, rows []*row) {
	err := p.run(ctx, rows)
	p.mu.Lock()
	p.running, p.stop = nil, nil
	p.mu.Unlock()
	own := map[*call][]*row{}
	for _, r := range rows {
		own[r.call] = append(own[r.call], r)
	}
	for c, rows := range own {
		failed := err
		if err != nil && len(own) > 1 {
			failed = p.run(ctx, rows)
		}
		c.results <- result{len(rows), failed}
	}
}

// run computes rows, which are one batch, but for texts that one of its tasks has no positions for, or a model that takes one
// length only.
func (p *Predictor) run(ctx context.Context, rows []*row) error {
	d := &data.Dataset{PadID: p.readers[0].tokenizer.PadID(), OneLength: p.readers[0].oneLength}
	var tasks []int
	for _, r := range rows {
		d.Encodings, tasks = append(d.Encodings, r.Encoding), append(tasks, r.task)
		d.Sparse = d.Sparse || r.call.sets[r.task].Sparse
	}
	if d.Sparse {
		for _, r := range rows {
			d.Weights = append(d.Weights, r.weights())
		}
	}
	out, err := p.serving.Predict(ctx, d, tasks, len(rows), nil)
	if err != nil {
		return err
	}
	for i, r := range rows {
		r.out = out[i]
	}
	return nil
}
