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
	Words      []string // the text in words, for a task that answers for each; Text is then ignored
	ID         string   // given back with the answer
	File       string   // where it is from, for messages; "" for nowhere
	Row        int      // in the file, from 1; 0 for none
}

// Predictor gives the run's model to onnxruntime. The caller closes the predictor.
func (r *Run) Predictor(ctx context.Context, opt PredictorOptions) (*Predictor, error) {
	e, err := opt.open(ctx)
	if err != nil {
		return nil, err
	}
	s, err := r.answerer(ctx, e)
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
	return p.predictEach(ctx, p.opt.Engine, requests)
}

// predictEach is PredictEach with what e has to tell of it.
func (p *Predictor) predictEach(ctx context.Context, e Engine, requests []Request) ([]Prediction, error) {
	c, err := p.call(e, requests)
	if err != nil {
		return nil, err
	}
	if len(c.rows) > 0 {
		if err := p.enqueue(ctx, c); err != nil {
			return nil, err
		}
		if err := p.await(ctx, e, c); err != nil {
			p.cancel(c)
			return nil, err
		}
	}
	return p.answers(c), nil
}

// await returns once all rows of a call are done, or one failed, or ctx ended.
func (p *Predictor) await(ctx context.Context, e Engine, c *call) error {
	progress := e.step("predicting")
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
func (p *Predictor) call(e Engine, requests []Request) (*call, error) {
	c := &call{sets: make([]*data.Dataset, len(p.tasks))}
	asked := make([]data.Set, len(p.tasks))
	for _, r := range requests {
		k, err := p.task(r.Adapter)
		if err != nil {
			return nil, err
		}
		c.examples = append(c.examples, place{k, len(asked[k].Examples)})
		ask(&asked[k], r, cmp.Or(r.File, p.serving.Tasks[k].Name, "what is asked"))
		c.ids = append(c.ids, r.ID)
	}
	windows := make([][][]int, len(p.tasks))
	for k := range asked {
		set := &asked[k]
		if set.Examples == nil {
			continue
		}
		d, err := p.readers[k].dataset(e, set, p.serving.Tasks[k].Task)
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

// ask puts a request into a set, as from that file.
func ask(set *data.Set, r Request, file string) {
	part := slices.Index(set.Files, file)
	if part < 0 {
		part = len(set.Files)
		set.Files = append(set.Files, file)
	}
	set.Path = set.Files[0]
	ex := data.Example{Text: r.Text, Pair: r.Pair, HasPair: r.HasPair, Words: r.Words, Part: int32(part), Row: r.Row}
	if r.ID != "" {
		ex.Fields = map[string][]string{idField: {r.ID}}
	}
	set.Examples = append(set.Examples, ex)
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
	for i, at := range c.examples {
		k := at.task
		answer := predict(p.tasks[k], p.serving.Tasks[k], c.sets[k], rows[k], at.example, windows[k][at.example])
		answer.ID = c.ids[i]
		out = append(out, answer)
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

// Close computes what waits, frees the model and ends the predictor's goroutine. Closing twice is no error.
func (p *Predictor) Close() error {
	p.mu.Lock()
	p.closed = true
	p.nudge()
	p.mu.Unlock()
	<-p.ended
	return nil
}
