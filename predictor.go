package peftgraph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// ErrClosed is what a predictor that was closed answers.
var ErrClosed = errors.New("the predictor is closed")

// PredictorOptions say how a predictor works.
type PredictorOptions struct {
	Engine
	BatchSize int // the most texts that are computed at once; 0 is that of train.DefaultSettings
	// Delay is how long a call that comes while nothing is computed waits for others to go with it; 0 is not at all. While
	// something is computed, what comes is gathered anyway.
	Delay time.Duration
}

// A Predictor answers texts with one trained run, or with several on one base. Any number of goroutines may call it at once:
// what waits is computed together, in batches of like lengths, the tasks mixed.
type Predictor struct {
	serving *serving
	tasks   []task.Task
	readers []*reader // by task
	opt     PredictorOptions
	wake    chan struct{} // holds one: something waits, or the predictor is closed
	ended   chan struct{} // closed once the worker has ended

	mu      sync.Mutex
	waiting []*row  // from the longest to the shortest
	calls   []*call // those that have rows in waiting, the oldest first
	running []*row
	stop    context.CancelFunc // ends what is running
	closed  bool
}

// A Request is a text, or a pair of texts, for one of a predictor's adapters.
type Request struct {
	Adapter    string // its name; "" where there is only one
	Text, Pair string
	HasPair    bool
}

// A call is what one goroutine waits for.
type call struct {
	sets      []*data.Dataset // by task; nil where it asks nothing of it
	examples  []place         // by request
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

// Predictor gives the run's model to onnxruntime. The caller closes the predictor.
func (r *Run) Predictor(ctx context.Context, opt PredictorOptions) (*Predictor, error) {
	e, err := opt.open(ctx)
	if err != nil {
		return nil, err
	}
	s, err := r.serve(ctx, e)
	if err != nil {
		return nil, err
	}
	return newPredictor(s, []*reader{r.reader}, opt)
}

func newPredictor(s *serving, readers []*reader, opt PredictorOptions) (*Predictor, error) {
	opt.BatchSize = cmp.Or(opt.BatchSize, train.DefaultSettings().EvalBatch)
	p := &Predictor{serving: s, readers: readers, opt: opt, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	for _, t := range s.Tasks {
		of, err := task.Of(t.Task)
		if err != nil {
			s.close()
			return nil, err
		}
		p.tasks = append(p.tasks, of)
	}
	go p.work()
	return p, nil
}

// Adapters returns the names by which requests choose an adapter, in their order; one "" for a predictor of one run.
func (p *Predictor) Adapters() []string {
	var names []string
	for _, t := range p.serving.Tasks {
		names = append(names, t.Name)
	}
	return names
}

// Predict answers texts with the predictor's only adapter, in their order.
func (p *Predictor) Predict(ctx context.Context, texts ...string) ([]Prediction, error) {
	requests := make([]Request, len(texts))
	for i, t := range texts {
		requests[i].Text = t
	}
	return p.PredictEach(ctx, requests...)
}

// PredictEach answers requests, in their order. When ctx ends it returns ctx's error at once; what of it nobody has begun to
// compute isn't computed.
func (p *Predictor) PredictEach(ctx context.Context, requests ...Request) ([]Prediction, error) {
	c, err := p.call(requests)
	if err != nil {
		return nil, err
	}
	if len(c.rows) > 0 {
		if err := p.enqueue(ctx, c); err != nil {
			return nil, err
		}
		if err := p.await(ctx, c); err != nil {
			p.cancel(c)
			return nil, err
		}
	}
	return p.answers(c), nil
}

// await returns once all rows of a call are done, or one failed, or ctx ended.
func (p *Predictor) await(ctx context.Context, c *call) error {
	progress := p.opt.step("predicting")
	for done := 0; done < len(c.rows); {
		select {
		case r := <-c.results:
			if r.err != nil {
				return r.err
			}
			done += r.rows
			progress(done, len(c.rows))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// call encodes the requests, each text cut as its own run cut it.
func (p *Predictor) call(requests []Request) (*call, error) {
	c := &call{sets: make([]*data.Dataset, len(p.tasks))}
	asked := make([][]data.Example, len(p.tasks))
	for _, r := range requests {
		k, err := p.task(r.Adapter)
		if err != nil {
			return nil, err
		}
		c.examples = append(c.examples, place{k, len(asked[k])})
		asked[k] = append(asked[k], data.Example{Text: r.Text, Pair: r.Pair, HasPair: r.HasPair})
	}
	windows := make([][][]int, len(p.tasks))
	for k, examples := range asked {
		if examples == nil {
			continue
		}
		t := p.serving.Tasks[k]
		d, err := p.readers[k].dataset(p.opt.Engine, &data.Set{Path: t.Name, Examples: examples}, t.Task)
		if err != nil {
			return nil, err
		}
		c.sets[k], windows[k] = d, d.Windows()
	}
	for _, at := range c.examples {
		for _, i := range windows[at.task][at.example] {
			c.rows = append(c.rows, &row{Encoding: c.sets[at.task].Encodings[i], call: c, task: at.task, at: i})
		}
	}
	c.unstarted, c.results = len(c.rows), make(chan result, len(c.rows))
	return c, nil
}

// answers reads the outputs of a call's rows, once all are done.
func (p *Predictor) answers(c *call) []Prediction {
	rows, windows := make([][][]float32, len(c.sets)), make([][][]int, len(c.sets))
	for k, d := range c.sets {
		if d != nil {
			rows[k], windows[k] = make([][]float32, len(d.Encodings)), d.Windows()
		}
	}
	for _, r := range c.rows {
		rows[r.task][r.at] = r.out
	}
	var out []Prediction
	for _, at := range c.examples {
		k := at.task
		out = append(out, predict(p.tasks[k], p.serving.Tasks[k], c.sets[k], rows[k], at.example, windows[k][at.example]))
	}
	return out
}

// task returns an adapter's place.
func (p *Predictor) task(name string) (int, error) {
	names := p.Adapters()
	if k := slices.Index(names, name); k >= 0 {
		return k, nil
	}
	if name == "" && len(names) == 1 {
		return 0, nil
	}
	return 0, fmt.Errorf("adapter %q: there are %s", name, strings.Join(names, ", "))
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

// Close computes what waits, frees the model and ends the predictor's goroutine. Closing twice is no error.
func (p *Predictor) Close() error {
	p.mu.Lock()
	p.closed = true
	p.nudge()
	p.mu.Unlock()
	<-p.ended
	return nil
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
