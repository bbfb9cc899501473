package peftgraph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/task"
)

// A fakeModel answers each row with its number of tokens and its task, and counts. It waits for a token of gate at each batch,
// where there is a gate.
type fakeModel struct {
	gate    chan struct{}
	started chan struct{} // told of each batch that begins
	bad     int           // task whose answers are no numbers; −1 is none
	mu      sync.Mutex
	batches [][]int // the lengths of each batch's rows
	ended   error   // the context's error of a batch that was stopped
	closed  bool
}

func (f *fakeModel) Run(ctx context.Context, feeds map[string]*graph.Tensor, fetches []string) ([]*graph.Tensor, error) {
	if f.started != nil {
		f.started <- struct{}{}
	}
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			f.mu.Lock()
			defer f.mu.Unlock()
			f.ended = ctx.Err()
			return nil, ctx.Err()
		}
	}
	ids, err := graph.Data[int64](feeds[multitask.TaskInput])
	if err != nil {
		return nil, err
	}
	mask, err := graph.Data[int64](feeds["mask"])
	if err != nil {
		return nil, err
	}
	var lengths []int
	rows := map[string][]float32{}
	for i, task := range ids {
		n, width := 0, len(mask)/len(ids)
		for _, one := range mask[i*width : (i+1)*width] {
			n += int(one)
		}
		lengths = append(lengths, n)
		name := multitask.OutputPrefix + fmt.Sprint(task)
		answer := float32(n)
		if int(task) == f.bad {
			answer /= 0
		}
		rows[name] = append(rows[name], answer, float32(task))
	}
	f.mu.Lock()
	f.batches = append(f.batches, lengths)
	f.mu.Unlock()
	var out []*graph.Tensor
	for _, name := range fetches {
		out = append(out, graph.TensorOf([]int64{int64(len(rows[name]) / 2), 2}, rows[name]))
	}
	return out, nil
}

// predictor serves two tasks, "0" and "1"; texts of the second have at most 6 tokens.
func (f *fakeModel) predictor(t *testing.T, opt PredictorOptions) *Predictor {
	t.Helper()
	g := graph.New("fake")
	for _, name := range []string{"ids", "mask", multitask.TaskInput} {
		dims := graph.Shape{graph.Symbol("batch"), graph.Symbol("length")}
		if name == multitask.TaskInput {
			dims = dims[:1]
		}
		if _, err := g.AddInput(name, graph.Int64, dims); err != nil {
			t.Fatal(err)
		}
	}
	info := models.Info{Vocab: 60, Positions: 32, Inputs: models.Inputs{IDs: "ids", Mask: "mask"}}
	s := &serving{&train.Predictor{Exec: f, Graph: g, Info: info}, func() { f.closed = true }}
	var readers []*reader
	for i, positions := range []int{32, 6} {
		r, err := newReader("model", positions, info)
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
		name := fmt.Sprint(i)
		s.Tasks = append(s.Tasks, multitask.Task{Name: name, Output: multitask.OutputPrefix + name, Positions: positions, Task: inject.Task{Type: "classification", Labels: []string{"a", "b"}}})
	}
	p, err := newPredictor(s, readers, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// words is a text of n tokens, the two special ones included.
func words(n int) string { return strings.TrimSpace(strings.Repeat("film ", n-2)) }

func requests(task string, lengths ...int) (out []Request) {
	for _, n := range lengths {
		out = append(out, Request{Adapter: task, Text: words(n)})
	}
	return out
}

// waits returns once so many rows wait.
func waits(p *Predictor, rows int) {
	for n, _ := p.state(); n != rows; n, _ = p.state() {
		time.Sleep(time.Millisecond)
	}
}

// One call alone is cut into batches from the longest text to the shortest, and answered in its own order.
func TestBatchesOfOneCall(t *testing.T) {
	f := &fakeModel{bad: -1}
	var told []int64
	p := f.predictor(t, PredictorOptions{BatchSize: 2, Engine: Engine{Progress: func(_ string, done, _ int64) { told = append(told, done) }}})
	got, err := p.PredictEach(t.Context(), requests("0", 3, 9, 4, 7, 5)...)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []float32{3, 9, 4, 7, 5} {
		if a := got[i].Answer.(task.ClassAnswer); a.Logits[0] != n || a.Label != "a" || got[i].Task != "0" {
			t.Errorf("%d: %+v", i, got[i])
		}
	}
	if want := [][]int{{9, 7}, {5, 4}, {3}}; fmt.Sprint(f.batches) != fmt.Sprint(want) {
		t.Errorf("batches %v, want %v", f.batches, want)
	}
	if fmt.Sprint(told) != "[2 4 5]" {
		t.Error("progress", told)
	}
}

// What comes while something runs goes together, the tasks mixed, with the oldest call's longest text in the next batch.
func TestCallsAreBatchedTogether(t *testing.T) {
	f := &fakeModel{bad: -1, gate: make(chan struct{}), started: make(chan struct{}, 10)}
	p := f.predictor(t, PredictorOptions{BatchSize: 3})
	var calls sync.WaitGroup
	call := func(r ...Request) {
		calls.Go(func() {
			got, err := p.PredictEach(t.Context(), r...)
			for i := range got {
				logits := got[i].Answer.(task.ClassAnswer).Logits
				if int(logits[0]) != len(strings.Fields(r[i].Text))+2 || fmt.Sprint(logits[1]) != r[i].Adapter {
					t.Errorf("%+v: %+v", r[i], got[i])
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	call(requests("0", 12)...)
	<-f.started
	call(requests("0", 5, 6)...)
	waits(p, 2)
	call(requests("1", 3, 4, 5)...)
	waits(p, 5)
	call(requests("0", 20)...)
	waits(p, 6)
	close(f.gate)
	calls.Wait()
	// The last three are one batch, but parted: task 1 has no positions for 20 tokens.
	if want := [][]int{{12}, {6, 5, 5}, {20}, {4, 3}}; fmt.Sprint(f.batches) != fmt.Sprint(want) {
		t.Errorf("batches %v, want %v", f.batches, want)
	}
}

// A call that comes while nothing runs waits for others as long as it was told to.
func TestDelay(t *testing.T) {
	f := &fakeModel{bad: -1}
	p := f.predictor(t, PredictorOptions{BatchSize: 2, Delay: time.Hour})
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			if _, err := p.PredictEach(t.Context(), requests("0", 4)...); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if fmt.Sprint(f.batches) != "[[4 4]]" {
		t.Error(f.batches)
	}
}

func TestCancelledCall(t *testing.T) {
	f := &fakeModel{bad: -1, gate: make(chan struct{}), started: make(chan struct{}, 10)}
	p := f.predictor(t, PredictorOptions{BatchSize: 2})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := p.PredictEach(ctx, requests("0", 9, 8, 7)...)
		gone <- err
	}()
	<-f.started
	stays := make(chan error)
	go func() {
		_, err := p.PredictEach(t.Context(), requests("0", 4)...)
		stays <- err
	}()
	waits(p, 2)
	cancel() // nobody opens the gate
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-f.started // the batch that was for nobody else was stopped, and the next one began
	close(f.gate)
	if err := <-stays; err != nil {
		t.Error(err)
	}
	if f.mu.Lock(); f.ended == nil || fmt.Sprint(f.batches) != "[[4]]" {
		t.Error(f.ended, f.batches)
	}
	f.mu.Unlock()
	if _, err := p.PredictEach(ctx, requests("0", 4)...); !errors.Is(err, context.Canceled) {
		t.Error("a call with a context that has ended:", err)
	}
}

// Close answers what waits and leaves no goroutine.
func TestClose(t *testing.T) {
	f := &fakeModel{bad: -1, gate: make(chan struct{}), started: make(chan struct{}, 10)}
	p := f.predictor(t, PredictorOptions{BatchSize: 1})
	answered := make(chan error)
	go func() {
		_, err := p.PredictEach(t.Context(), requests("0", 5, 4)...)
		answered <- err
	}()
	<-f.started
	closed := make(chan error)
	go func() { closed <- p.Close() }()
	for _, is := p.state(); !is; _, is = p.state() {
		time.Sleep(time.Millisecond)
	}
	if _, err := p.PredictEach(t.Context(), requests("0", 4)...); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	select {
	case <-closed:
		t.Error("closed while a batch runs")
	default:
	}
	close(f.gate)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil || !f.closed {
		t.Error(err, f.closed)
	}
	<-p.ended
	if err := p.Close(); err != nil {
		t.Error("closed twice:", err)
	}
}

// An adapter that diverged fails its own calls, not those that were in a batch with it.
func TestFailureStaysWithItsCall(t *testing.T) {
	f := &fakeModel{bad: 1}
	p := f.predictor(t, PredictorOptions{BatchSize: 2, Delay: time.Hour})
	var calls sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		calls.Go(func() { _, errs[i] = p.PredictEach(t.Context(), requests(fmt.Sprint(i), 4)...) })
	}
	calls.Wait()
	var bad *train.NotFiniteError
	if errs[0] != nil || !errors.As(errs[1], &bad) {
		t.Error(errs)
	}
	if len(f.batches) != 3 || len(f.batches[0]) != 2 {
		t.Error(f.batches)
	}
}

func TestRequestsOfNobody(t *testing.T) {
	p := (&fakeModel{bad: -1}).predictor(t, PredictorOptions{})
	if _, err := p.PredictEach(t.Context(), requests("2", 4)...); err == nil || !strings.Contains(err.Error(), `"2": there are 0, 1`) {
		t.Error(err)
	}
	if _, err := p.Predict(t.Context(), "a text for whom?"); err == nil {
		t.Error("two adapters, and none named")
	}
	if got, err := p.Predict(t.Context()); err != nil || got != nil {
		t.Error(got, err)
	}
	if !slices.Equal(p.Adapters(), []string{"0", "1"}) {
		t.Error(p.Adapters())
	}
}
