package combine

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/numeric"
)

// newResult returns a plan like the inputs', with one rank and a scale of 1 everywhere. What is trained whole is what is in
// the input head.
func newResult(inputs []Input, head Input, modules []*module, rank int) (*Result, error) {
	first := inputs[0].Plan
	settings, err := settingsOf(inputs, modules, rank)
	if err != nil {
		return nil, err
	}
	own, err := loraOf(head)
	if err != nil {
		return nil, err
	}
	settings.ModulesToSave = own.ModulesToSave
	text, err := json.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("combine: %w", err)
	}
	plan := &inject.Plan{Version: first.Version, Base: first.Base, Encoder: first.Encoder, Seed: first.Seed,
		Methods: []inject.Applied{{Name: "lora", Settings: text}}}
	for _, in := range inputs {
		if plan.Base == "" {
			plan.Base = in.Plan.Base
		}
	}
	return &Result{Plan: plan, Values: map[string]*graph.Tensor{}}, nil
}

// settingsOf returns the first input's settings with the new rank, and with the modules spelled out where the inputs chose
// different ones.
func settingsOf(inputs []Input, modules []*module, rank int) (*inject.LoRA, error) {
	var out *inject.LoRA
	for _, in := range inputs {
		l, err := loraOf(in)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = l
		} else if !reflect.DeepEqual(out.Targets, l.Targets) {
			out.Targets = inject.Targets{}
			for _, m := range modules {
				out.Modules.List = append(out.Modules.List, m.target)
			}
		}
	}
	out.R, out.Alpha, out.RSLoRA, out.RankPattern, out.AlphaPattern, out.Init = rank, float64(rank), false, nil, nil, "default"
	return out, nil
}

func loraOf(in Input) (*inject.LoRA, error) {
	m, err := in.Plan.Method("lora")
	if err != nil {
		return nil, fmt.Errorf("combine: %s: %w", in.Name, err)
	}
	l, ok := m.(*inject.LoRA)
	if !ok {
		return nil, fmt.Errorf("combine: %s is %T", in.Name, m)
	}
	return l, nil
}

// set puts a module's new A and B into the result, and how far they are from the weighted sum.
func (r *Result) set(m *module, a, b []float32, rank int) {
	ta, tb := m.a, m.b
	ta.Shape, tb.Shape = []int64{int64(rank), int64(m.in)}, []int64{int64(m.out), int64(rank)}
	s := m.site
	s.Scale = 1
	r.Plan.Trainables = append(r.Plan.Trainables, ta, tb)
	r.Plan.Sites = append(r.Plan.Sites, s)
	r.Values[ta.Name], r.Values[tb.Name] = graph.TensorOf(ta.Shape, a), graph.TensorOf(tb.Shape, b)

	e := Error{Module: m.target}
	have := part{rank: rank, a: a, b: b}
	for o := range m.out {
		want, diff := make([]float64, m.in), make([]float64, m.in)
		for _, p := range m.parts {
			p.row(o, m.in, p.factor(), want)
		}
		have.row(o, m.in, 1, diff)
		for i, w := range want {
			e.Norm += w * w
			e.Distance += (diff[i] - w) * (diff[i] - w)
		}
	}
	e.Norm, e.Distance = math.Sqrt(e.Norm), math.Sqrt(e.Distance)
	r.Errors = append(r.Errors, e)
}

// Total returns the distance and the norm over all modules together.
func (r *Result) Total() Error {
	t := Error{Module: "total"}
	for _, e := range r.Errors {
		t.Distance, t.Norm = math.Hypot(t.Distance, e.Distance), math.Hypot(t.Norm, e.Norm)
	}
	return t
}

// headsOf returns the inputs whose heads go into the result: the chosen one, or all.
func headsOf(inputs []Input, opt Options) ([]Input, error) {
	if opt.Head == "" {
		return inputs, nil
	}
	i := slices.IndexFunc(inputs, func(in Input) bool { return in.Name == opt.Head })
	if i < 0 {
		return nil, fmt.Errorf("combine: head %q: is none of the adapters", opt.Head)
	}
	kept := inputs[i]
	kept.Weight = 1
	return []Input{kept}, nil
}

// heads adds what the inputs train whole, the classifier first of all: the average with the weights divided by their sum.
func (r *Result) heads(inputs []Input) error {
	first := inputs[0].Plan
	r.Plan.Task, r.Plan.Head, r.Plan.Logits = first.Task, first.Head, first.Logits
	sum := 0.0
	for _, in := range inputs {
		if err := sameHead(inputs[0], in); err != nil {
			return err
		}
		sum += in.Weight
	}
	for _, t := range whole(first) {
		if math.Abs(sum) < 1e-6 {
			return &HeadError{"the weights sum to zero, so there is no average of the heads"}
		}
		mean := make([]float64, t.Len())
		for _, in := range inputs {
			x := in.Values[t.Name]
			if x == nil {
				return fmt.Errorf("combine: %s: %q has no value", in.Name, t.Name)
			}
			data, err := graph.Data[float32](x)
			if err != nil {
				return fmt.Errorf("combine: %s: %q: %w", in.Name, t.Name, err)
			}
			if len(data) != len(mean) {
				return fmt.Errorf("combine: %s: %q is %v, want %v", in.Name, t.Name, x.Dims, t.Shape)
			}
			for i, v := range data {
				mean[i] += in.Weight / sum * float64(v)
			}
		}
		r.Plan.Trainables = append(r.Plan.Trainables, t)
		r.Values[t.Name] = graph.TensorOf(t.Shape, numeric.Narrow(mean))
	}
	return nil
}

// whole returns the trainables that are no update: a head, and modules trained whole.
func whole(p *inject.Plan) []inject.Trainable {
	return slices.DeleteFunc(slices.Clone(p.Trainables), func(t inject.Trainable) bool {
		return slices.ContainsFunc(roles, func(r struct{ a, b, a0, b0 string }) bool { return t.Role == r.a || t.Role == r.b })
	})
}

// sameHead fails for heads that have no average.
func sameHead(a, b Input) error {
	p, q := a.Plan, b.Plan
	switch {
	case p.Task.Type != q.Task.Type || !slices.Equal(p.Task.Labels, q.Task.Labels):
		return &HeadError{fmt.Sprintf("%s has %s and %s has %s", a.Name, taskText(p.Task), b.Name, taskText(q.Task))}
	case p.Head.Kind != q.Head.Kind:
		return &HeadError{fmt.Sprintf("the classifier of %s reads %s and that of %s %s", a.Name, p.Head.Kind, b.Name, q.Head.Kind)}
	}
	same := func(s, t inject.Trainable) bool { return s.Name == t.Name && slices.Equal(s.Shape, t.Shape) }
	if !slices.EqualFunc(whole(p), whole(q), same) {
		return &HeadError{fmt.Sprintf("%s and %s train different modules whole", a.Name, b.Name)}
	}
	return nil
}

func taskText(t inject.Task) string {
	if t.Type == "" {
		return "no head"
	}
	return fmt.Sprintf("%s of %q", t.Type, t.Labels)
}

// HeadError says that the heads of adapters can't be averaged.
type HeadError struct{ Why string }

func (e *HeadError) Error() string { return "combine: " + e.Why }

// Hint says what to try.
func (*HeadError) Hint() string { return "keep the head of one adapter: --keep-head ADAPTER" }
