// Package inject adds a method's parameters to an encoder's graph as separate trainable initializers, and takes them out
// again into the base weights on export. The base itself is never edited.
//
// What was injected is written down in a [Plan], which travels in the model's metadata: training, checkpoints, export and
// the adapter formats need nothing else.
package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// MetadataKey is the metadata_props entry of an injected model that holds its [Plan] as JSON.
const MetadataKey = "peftgraph.plan"

// PlanVersion is the version of the plan's JSON form that this program writes.
const PlanVersion = 1

// A Plan says what was injected into which base: the methods with their settings, the task with its labels, and every
// trainable parameter.
type Plan struct {
	Version    int         `json:"version"`
	Base       string      `json:"base"` // fingerprint of the model before injection
	Encoder    models.Info `json:"encoder"`
	Seed       uint64      `json:"seed"`
	Methods    []Applied   `json:"methods"`
	Task       Task        `json:"task"`
	Head       Head        `json:"head"`
	Logits     string      `json:"logits,omitempty"` // name of the output the head writes
	Trainables []Trainable `json:"trainables"`
	// Frozen are tensors that belong to the adapter as the trainables do, and don't train.
	Frozen []Trainable `json:"frozen,omitempty"`
	Sites  []Site      `json:"sites,omitempty"`
}

// Applied is one method that was injected, with the settings it ran with.
type Applied struct {
	Name     string          `json:"name"`
	Settings json.RawMessage `json:"settings"`
}

// AppliedOf returns a registered method's name and settings.
func AppliedOf(m Method) (Applied, error) {
	name, err := NameOf(m)
	if err != nil {
		return Applied{}, err
	}
	settings, err := json.Marshal(m)
	if err != nil {
		return Applied{}, fmt.Errorf("inject: method %q: settings: %w", name, err)
	}
	return Applied{name, settings}, nil
}

// Task is what the head is for.
type Task struct {
	Type   string   `json:"type"`             // a registered task's name, or "" for an encoder without a head
	Labels []string `json:"labels,omitempty"` // label names by class index
	// Kind is what the head computes; "" is a sequence classifier, which every head of an older plan is.
	Kind models.Task `json:"kind,omitempty"`
	// Width is the number of values where they have no labels; 0 is one for each label, or one.
	Width int `json:"width,omitempty"`
	// Normalize scales an embedding to length 1.
	Normalize bool `json:"normalize,omitempty"`
	// Settings are the task's own, with what was fitted to data after training: they change nothing of the graph.
	Settings json.RawMessage `json:"settings,omitempty"`
}

// Head returns what the head computes, "" for an encoder without one.
func (t Task) Head() models.Task {
	if t.Kind == "" && t.Type != "" {
		return models.SequenceClassification
	}
	return t.Kind
}

// Outputs returns the number of values the head computes per example, or per token of an example.
func (t Task) Outputs() int {
	switch {
	case t.Width > 0:
		return t.Width
	case len(t.Labels) == 0:
		return 1
	}
	return len(t.Labels)
}

// A Trainable is one parameter that training moves.
type Trainable struct {
	Name   string  `json:"name"`           // the initializer
	Shape  []int64 `json:"shape"`          //
	Init   string  `json:"init"`           // how it starts: "zeros", "kaiming_uniform", "base", …
	Target string  `json:"target"`         // the module it belongs to, as Hugging Face names it, without the model prefix
	Role   string  `json:"role"`           // what it is to its method: "lora_A", "lora_B", "weight", "bias"
	Method string  `json:"method"`         // the method that added it; "head" for the head's own
	Base   string  `json:"base,omitempty"` // the base initializer that it is a copy of and stands in for
	// InOut: a linear map's weight that is held as [in, out], as the base holds it; adapter files have [out, in].
	InOut bool `json:"in_out,omitempty"`
}

// Len returns the number of elements.
func (t Trainable) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= int(d)
	}
	return n
}

// A Site is one place where a method stands beside a base weight, with what merging needs to know.
type Site struct {
	Method     string  `json:"method"`
	Target     string  `json:"target"`
	Weight     string  `json:"weight"`               // the base initializer
	Transposed bool    `json:"transposed,omitempty"` // the weight is [out, in]
	Bias       string  `json:"bias,omitempty"`       // the base's bias, where the method folds into it too
	Before     bool    `json:"before,omitempty"`     // Old is the module's input rather than its output
	Old        string  `json:"old"`                  // the base's value
	New        string  `json:"new"`                  // the value that stands in for it
	Scale      float64 `json:"scale,omitempty"`
}

// Parameters returns the number of trainable elements.
func (p *Plan) Parameters() int {
	n := 0
	for _, t := range p.Trainables {
		n += t.Len()
	}
	return n
}

// Same reports whether both plans put the same parameters in the same places. How the methods' settings are written doesn't
// count: a newer program knows settings that an older plan doesn't mention. Nor do the task's, which place nothing.
func (p *Plan) Same(q *Plan) bool {
	places := func(p Plan) []byte {
		p.Methods, p.Task.Settings = nil, nil
		text, err := json.Marshal(p)
		if err != nil {
			return nil
		}
		return text
	}
	a := places(*p)
	return a != nil && bytes.Equal(a, places(*q))
}

// Find returns the trainable of a method, module and role, or nil.
func (p *Plan) Find(method, target, role string) *Trainable {
	return find(p.Trainables, method, target, role)
}

// FindFrozen returns the frozen tensor of a method, module and role, or nil.
func (p *Plan) FindFrozen(method, target, role string) *Trainable {
	return find(p.Frozen, method, target, role)
}

func find(ts []Trainable, method, target, role string) *Trainable {
	for i := range ts {
		if t := &ts[i]; t.Method == method && t.Target == target && t.Role == role {
			return t
		}
	}
	return nil
}

// Tensors returns all that an adapter consists of: the trainables, then what is frozen.
func (p *Plan) Tensors() []Trainable { return slices.Concat(p.Trainables, p.Frozen) }

// Store writes the plan into the graph's metadata.
func (p *Plan) Store(g *graph.Graph) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("inject: plan: %w", err)
	}
	g.SetMeta(MetadataKey, string(data))
	return nil
}

// ReadPlan returns the plan of an injected graph. It fails for a graph without one, and for a plan that names parameters
// the graph does not have.
func ReadPlan(g *graph.Graph) (*Plan, error) {
	text, ok := g.Meta(MetadataKey)
	if !ok {
		return nil, &NoPlanError{}
	}
	p, err := ParsePlan([]byte(text))
	if err != nil {
		return nil, err
	}
	for _, t := range p.Tensors() {
		v := g.Value(t.Name)
		if v == nil || v.Init() == nil {
			return nil, fmt.Errorf("inject: plan: trainable %q is not an initializer of this model: the file was changed after injection; inject again", t.Name)
		}
		if have := v.Init().Dims; fmt.Sprint(have) != fmt.Sprint(t.Shape) {
			return nil, fmt.Errorf("inject: plan: trainable %q is %v in the plan and %v in the model; inject again", t.Name, t.Shape, have)
		}
	}
	return p, nil
}

// ParsePlan reads the JSON form.
func ParsePlan(data []byte) (*Plan, error) {
	p := &Plan{}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("inject: plan: %w", err)
	}
	if p.Version != PlanVersion {
		return nil, fmt.Errorf("inject: plan: version %d; this peftgraph reads version %d: inject again, or use the program that wrote it", p.Version, PlanVersion)
	}
	return p, nil
}

// NoPlanError says that a model was not injected by peftgraph.
type NoPlanError struct{}

func (*NoPlanError) Error() string { return "inject: the model carries no peftgraph plan" }

// Hint says what to try.
func (*NoPlanError) Hint() string {
	return "run `peftgraph inject` on it first, or give `peftgraph train` a --method"
}

// Values returns the present tensors of the trainables, and of what is frozen, by name.
func (p *Plan) Values(g *graph.Graph) (map[string]*graph.Tensor, error) {
	out := make(map[string]*graph.Tensor, len(p.Trainables)+len(p.Frozen))
	for _, t := range p.Tensors() {
		v := g.Value(t.Name)
		if v == nil || v.Init() == nil {
			return nil, fmt.Errorf("inject: trainable %q is not an initializer of the graph", t.Name)
		}
		out[t.Name] = v.Init()
	}
	return out, nil
}

// SetValues puts tensors into the trainables of a graph. Every trainable needs one, of its own shape; what is frozen keeps
// its value unless there is another.
func (p *Plan) SetValues(g *graph.Graph, values map[string]*graph.Tensor) error {
	for i, t := range p.Tensors() {
		x := values[t.Name]
		if x == nil && i >= len(p.Trainables) {
			continue
		}
		if x == nil {
			return fmt.Errorf("inject: trainable %q of %s has no value", t.Name, t.Target)
		}
		if fmt.Sprint(x.Dims) != fmt.Sprint(t.Shape) {
			return fmt.Errorf("inject: trainable %q of %s is %v; the value given is %v", t.Name, t.Target, t.Shape, x.Dims)
		}
		v := g.Value(t.Name)
		if v == nil {
			return fmt.Errorf("inject: trainable %q is not in the graph", t.Name)
		}
		if err := g.SetInitializer(v, x); err != nil {
			return fmt.Errorf("inject: %w", err)
		}
	}
	return nil
}
