//go:build unix

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/inject/multitask"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
)

// served are the tasks of the joint session, one of each kind of method.
var served = []struct {
	method string
	labels int
}{{"lora", 2}, {"adapter", 6}, {"prefix", 3}, {"prompt", 2}}

// servedLength is the number of tokens of a request's text.
const servedLength = 32

// Serving says what several tasks in one session cost: seconds of a request of one text where nothing else is said.
type serving struct {
	Alone  float64 // in the task's own session, mean over the tasks
	Same   float64 // in the joint session, after requests for the same task
	Cycled float64 // in the joint session, each request for another task than the one before
	Switch float64 // how much longer the last take than those before
	Mixed  float64 // a batch with one text of each task, in one run of the joint session
	Apart  float64 // the same texts in the tasks' own sessions
	Load   float64 // joining, and loading the joint session

	JointHeap, ApartHeap float64 // megabytes not mapped from files that the joint session takes, and that sessions of their own take
}

// deployed injects a method with random values and deploys it.
func (m *model) deployed(method string, labels int) (multitask.Part, error) {
	p := multitask.Part{Name: method}
	var err error
	if p.Graph, err = onnxfile.Load(m.Model); err != nil {
		return p, err
	}
	enc, err := models.Recognise(p.Graph)
	if err != nil {
		return p, err
	}
	how, err := inject.New(method)
	if err != nil {
		return p, err
	}
	task := inject.Task{Type: "classification"}
	for i := range labels {
		task.Labels = append(task.Labels, fmt.Sprint(i))
	}
	if p.Plan, err = inject.Inject(enc, []inject.Method{how}, inject.Options{Task: task, Head: "mean", Seed: uint64(labels)}); err != nil {
		return p, err
	}
	p.Graph.SetOutputs(p.Graph.Value(p.Plan.Logits))
	inject.Deploy(p.Graph)
	return p, inject.Fold(p.Graph)
}

// calls are requests to a graph's new session, the i-th of one text for task i; task is nil for a graph of one task.
func (m *model) calls(ctx context.Context, g *graph.Graph, tasks [][]int64, fetches [][]string) ([]call, error) {
	s, err := m.session(ctx, g, m.Variant)
	if err != nil {
		return nil, err
	}
	var out []call
	for i, ids := range tasks {
		text := *m
		text.Batch, text.Length = len(ids), servedLength
		feeds, err := train.TokenFeeds(g, m.plan.Encoder, text.batch(), multitask.TaskInput)
		if err != nil {
			return nil, err
		}
		if g.Value(multitask.TaskInput) != nil {
			feeds[multitask.TaskInput] = graph.TensorOf(nil, ids)
		}
		out = append(out, call{s, feeds, fetches[i]})
	}
	return out, nil
}

// measureServing lets requests to the tasks' own sessions and to the joint one take turns.
func measureServing(ctx context.Context, j job) (any, error) {
	m, err := j.open()
	if err != nil {
		return nil, err
	}
	// Sessions that take turns would otherwise lose their cores to the last one's threads, which look for work a while yet.
	opt := runtime.Mapped()
	opt.Config = map[string]string{"session.force_spinning_stop": "1"}
	m.Variant.Options = &opt
	var parts []multitask.Part
	for _, t := range served {
		p, err := m.deployed(t.method, t.labels)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	var out serving
	joint, err := m.joint(ctx, parts, &out)
	if err != nil {
		return nil, err
	}
	own, err := m.apart(ctx, parts, &out)
	if err != nil {
		return nil, err
	}
	n := len(parts)
	turns := []*part{{name: "alone", calls: own}}
	for _, c := range joint[:n] {
		turns = append(turns, &part{name: "same", calls: []call{c}})
	}
	turns = append(turns, &part{name: "cycled", calls: joint[:n]}, &part{name: "mixed", calls: joint[n:]})
	r, err := takeTurns(ctx, turns, j.Rounds, j.Threads)
	if err != nil {
		return nil, err
	}
	same := func(s []float64) (mean float64) {
		for _, t := range s[1 : n+1] {
			mean += t / float64(n)
		}
		return mean
	}
	out.Alone = r.median(func(s []float64) float64 { return s[0] })
	out.Same = r.median(same)
	out.Cycled = r.median(func(s []float64) float64 { return s[n+1] })
	out.Switch = r.median(func(s []float64) float64 { return s[n+1] - same(s) })
	out.Mixed = r.median(func(s []float64) float64 { return s[n+2] })
	out.Apart = out.Alone * float64(n)
	return out, nil
}

// joint returns a request for each task to one session, then one with a text of each.
func (m *model) joint(ctx context.Context, parts []multitask.Part, out *serving) ([]call, error) {
	_, before := memory()
	start := time.Now()
	g, err := multitask.Join(parts)
	if err != nil {
		return nil, err
	}
	var tasks [][]int64
	var fetches [][]string
	var all []int64
	var outputs []string
	for i, v := range g.Outputs() {
		tasks, fetches = append(tasks, []int64{int64(i)}), append(fetches, []string{v.Name()})
		all, outputs = append(all, int64(i)), append(outputs, v.Name())
	}
	calls, err := m.calls(ctx, g, append(tasks, all), append(fetches, outputs))
	if err != nil {
		return nil, err
	}
	out.Load = time.Since(start).Seconds()
	return calls, warm(ctx, calls, before, &out.JointHeap)
}

// apart returns a request for each task to its own session.
func (m *model) apart(ctx context.Context, parts []multitask.Part, out *serving) ([]call, error) {
	_, before := memory()
	var all []call
	for _, p := range parts {
		calls, err := m.calls(ctx, p.Graph, [][]int64{{0}}, [][]string{{p.Plan.Logits}})
		if err != nil {
			return nil, err
		}
		all = append(all, calls...)
	}
	return all, warm(ctx, all, before, &out.ApartHeap)
}

// warm runs each call once, and tells the memory that they and their sessions took.
func warm(ctx context.Context, calls []call, before float64, heap *float64) error {
	p := part{calls: calls}
	for range calls {
		if err := p.once(ctx); err != nil {
			return err
		}
	}
	_, after := memory()
	*heap = after - before
	return nil
}
