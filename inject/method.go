package inject

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// A Method is a way of making a frozen encoder trainable, with its settings. The concrete type is a struct whose exported
// fields are the settings: the json tag is Hugging Face PEFT's name, the flag tag the command line's, usage explains.
type Method interface {
	// Inject adds the method's nodes and parameters through in.
	Inject(in *Injection) error
}

// A Merger is a method whose trained parameters fold into the base's. Mergers are injected before other methods, which then
// stand around the module as a merge will leave it.
type Merger interface {
	// Merge folds the parameters of one site into its module.
	Merge(m *Merging, s Site, mod *Module) error
}

type registration struct {
	name, summary string
	build         func() Method
}

var methods = map[string]registration{}

func register(name, summary string, build func() Method) {
	if _, dup := methods[name]; dup {
		panic("inject: method " + name + " registered twice")
	}
	methods[name] = registration{name, summary, build}
}

// Names returns the registered methods, sorted.
func Names() []string {
	out := make([]string, 0, len(methods))
	for n := range methods {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Summary returns one line about a registered method.
func Summary(name string) string { return methods[name].summary }

// New returns a method with its default settings.
func New(name string) (Method, error) {
	if of, ok := aliases[name]; ok {
		name = of
	}
	r, ok := methods[name]
	if !ok {
		return nil, fmt.Errorf("inject: method %q: unknown; the methods are %s", name, strings.Join(Names(), ", "))
	}
	return r.build(), nil
}

// NameOf returns the registered name of a method's type.
func NameOf(m Method) (string, error) {
	for n, r := range methods {
		if fmt.Sprintf("%T", r.build()) == fmt.Sprintf("%T", m) {
			return n, nil
		}
	}
	return "", fmt.Errorf("inject: %T is not a registered method", m)
}

// Options say what to inject besides the methods.
type Options struct {
	Task     Task
	Head     HeadKind
	Pooling  HeadKind // what the model was made to be pooled by, where that is known: HeadAuto follows it
	HeadDrop float64  // dropout before the classifier, training only
	Seed     uint64   // of the initial values
	Base     string   // fingerprint of g before injection
	// Unset says that every parameter, frozen ones too, gets its value afterwards ([Plan.SetValues]). Starts that take a
	// decomposition of the base's weights or their lengths are then NaN, which shows where a value is forgotten.
	Unset bool
}

// Inject adds the methods and the task's head to enc's graph, in order but Mergers first, and stores the plan in its
// metadata. After an error the graph is in an undefined state.
func Inject(enc *models.Encoder, ms []Method, opt Options) (*Plan, error) {
	g := enc.Graph
	if _, ok := g.Meta(MetadataKey); ok {
		return nil, fmt.Errorf("inject: the model carries a peftgraph plan already; inject into the original model")
	}
	if err := adopt(g); err != nil {
		return nil, fmt.Errorf("inject: %w", err)
	}
	plan := &Plan{Version: PlanVersion, Base: opt.Base, Encoder: enc.Info(), Seed: opt.Seed, Task: opt.Task}
	in := &Injection{Graph: g, Encoder: enc, Plan: plan, now: map[*graph.Value]*graph.Value{}, copies: map[moduleValue]*graph.Value{}, unset: opt.Unset}
	if opt.Task.Type != "" {
		if err := in.planHead(opt); err != nil {
			return nil, fmt.Errorf("inject: head: %w", err)
		}
	}
	for _, m := range mergersFirst(ms) {
		name, err := NameOf(m)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(plan.Methods, func(a Applied) bool { return a.Name == name }) {
			return nil, fmt.Errorf("inject: method %q is given twice: give it once, with settings for all modules", name)
		}
		in.method = name
		if err := Validate(m); err != nil {
			return nil, err
		}
		if err := m.Inject(in); err != nil {
			return nil, fmt.Errorf("inject: method %q: %w", name, err)
		}
		// Afterwards, since a method fills in what it takes from the model.
		applied, err := AppliedOf(m)
		if err != nil {
			return nil, err
		}
		plan.Methods = append(plan.Methods, applied)
	}
	for _, f := range in.postponed {
		if err := f(); err != nil {
			return nil, err
		}
	}
	if opt.Task.Type != "" {
		in.method = "head"
		if err := in.addHead(); err != nil {
			return nil, fmt.Errorf("inject: head: %w", err)
		}
	}
	in.finish()
	if len(plan.Trainables) == 0 {
		return nil, fmt.Errorf("inject: nothing would be trained: give a --method or a --task")
	}
	if err := plan.Encoder.Store(g); err != nil {
		return nil, fmt.Errorf("inject: %w", err)
	}
	return plan, plan.Store(g)
}

// adopt gives what an earlier injection left in an exported model names outside "peft/": it is the base's now. Inputs and
// outputs keep theirs.
func adopt(g *graph.Graph) error {
	const ours, theirs = "peft/", "base/"
	for _, n := range g.Nodes() {
		if rest, ok := strings.CutPrefix(n.Name, ours); ok {
			n.Name = theirs + rest
		}
	}
	for _, v := range g.Values() {
		if rest, ok := strings.CutPrefix(v.Name(), ours); ok && !v.IsInput() && !v.IsOutput() {
			if err := g.Rename(v, g.UniqueName(theirs+rest)); err != nil {
				return err
			}
		}
	}
	return nil
}

func mergersFirst(ms []Method) []Method {
	var first, then []Method
	for _, m := range ms {
		if _, ok := m.(Merger); ok {
			first = append(first, m)
		} else {
			then = append(then, m)
		}
	}
	return append(first, then...)
}

// Method returns an applied method with the settings it ran with.
func (p *Plan) Method(name string) (Method, error) {
	for _, a := range p.Methods {
		if a.Name != name {
			continue
		}
		m, err := New(name)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(a.Settings, m); err != nil {
			return nil, fmt.Errorf("inject: plan: settings of %q: %w", name, err)
		}
		return m, nil
	}
	return nil, fmt.Errorf("inject: plan: method %q was not applied", name)
}

// An Injection is what a method works with: the graph, the encoder found in it, and the plan being made.
type Injection struct {
	Graph   *graph.Graph
	Encoder *models.Encoder
	Plan    *Plan

	method    string
	unset     bool
	postponed []func() error
	first     *graph.Value                  // hidden states of which a head takes the first token, where that isn't the text's
	now       map[*graph.Value]*graph.Value // shunted value → what stands in for it
	copies    map[moduleValue]*graph.Value  // base parameter → its trainable copy
	sites     []siteValues
}

type siteValues struct {
	site      Site
	old, repl *graph.Value
}

// Current returns what stands in for v after the shunts made so far.
func (in *Injection) Current(v *graph.Value) *graph.Value {
	for in.now[v] != nil {
		v = in.now[v]
	}
	return v
}

// last runs f once all methods have injected: what changes the length of the sequence does so for all of them.
func (in *Injection) last(f func() error) error {
	method := in.method
	in.postponed = append(in.postponed, func() error {
		in.method = method
		if err := f(); err != nil {
			return fmt.Errorf("inject: method %q: %w", method, err)
		}
		return nil
	})
	return nil
}

// Patch starts a patch for the method's nodes at a module.
func (in *Injection) Patch(target string) *graph.Patch {
	return in.Graph.NewPatch(scope(in.method, target))
}

// Trainable adds an initializer "<patch>/<name>" to the graph and to the plan.
func (in *Injection) Trainable(p *graph.Patch, name string, t Trainable, x *graph.Tensor) *graph.Value {
	return in.parameterOf(p, name, t, x, &in.Plan.Trainables)
}

// Frozen adds an initializer "<patch>/<name>" that is the adapter's and doesn't train.
func (in *Injection) Frozen(p *graph.Patch, name string, t Trainable, x *graph.Tensor) *graph.Value {
	return in.parameterOf(p, name, t, x, &in.Plan.Frozen)
}

func (in *Injection) parameterOf(p *graph.Patch, name string, t Trainable, x *graph.Tensor, list *[]Trainable) *graph.Value {
	v := p.Init(name, x)
	if v == nil {
		return nil
	}
	t.Name, t.Shape, t.Method = v.Name(), x.Dims, in.method
	*list = append(*list, t)
	return v
}

// Shunt makes the readers of old read repl, and records the place so that a merge can undo it.
func (in *Injection) Shunt(p *graph.Patch, s Site, old, repl *graph.Value) error {
	if p.Err() == nil {
		p.Typed(repl, old.DType, old.Shape)
		p.Shunt(old, repl)
	}
	if err := p.Apply(); err != nil {
		return err
	}
	in.now[old] = repl
	s.Method = in.method
	in.sites = append(in.sites, siteValues{s, old, repl})
	return nil
}

// finish writes the sites with the values' final names: a shunt of a graph output renames both sides.
func (in *Injection) finish() {
	for _, s := range in.sites {
		s.site.Old, s.site.New = s.old.Name(), s.repl.Name()
		in.Plan.Sites = append(in.Plan.Sites, s.site)
	}
}

// shuntInput makes a module read repl instead of x, its input, with what earlier methods put beside the module; other readers
// of x keep it. A merge undoes it.
func (in *Injection) shuntInput(p *graph.Patch, s Site, l *models.Linear, x, repl *graph.Value) error {
	if p.Err() == nil {
		p.Typed(repl, x.DType, x.Shape)
		p.ShuntFor(x, repl, func(n *graph.Node) bool {
			return readsFor(n, l.Nodes) || isOfModule(n, l.Name)
		})
	}
	if err := p.Apply(); err != nil {
		return err
	}
	s.Method = in.method
	in.sites = append(in.sites, siteValues{s, x, repl})
	return nil
}

// Rand returns a generator that depends on the plan's seed and the parameter's name only, so that the order of injection
// and other methods in the same graph don't change a parameter's initial values.
func (in *Injection) Rand(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(in.method + "/" + name))
	return rand.New(rand.NewPCG(in.Plan.Seed, h.Sum64()))
}
