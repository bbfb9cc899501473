package rewrite

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/shape"
)

// Options say what [Canonical] must leave alone. The zero value is the form for inference with constant weights.
type Options struct {
	// Opset is the version of ai.onnx to bring the graph to, [DefaultOpset] if 0. A newer graph stays at its version if it
	// uses anything that the older one lacks.
	Opset int64
	// Variable says which initializers change between runs, such as trainables: nothing that depends on them is folded.
	Variable func(*graph.Value) bool
	// KeepDropout says which Dropout nodes stay although they are not in training mode.
	KeepDropout func(*graph.Node) bool
	// FoldLimit is the largest folded constant in bytes, 1 MiB if 0.
	FoldLimit int64
	// Contrib allows operators of com.microsoft where they save a copy of a weight.
	Contrib bool
}

// DefaultOpset is what graphs are raised to: the newest operator set for which onnxruntime has a CPU kernel for random numbers.
const DefaultOpset = 21

// A Report counts how often each rule applied. Rules that never did are absent.
type Report map[string]int

// String prints "fuse-gelu 12, fuse-layer-norm 25", sorted.
func (r Report) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, r[name]))
	}
	return strings.Join(parts, ", ")
}

// A Mismatch says why a rule doesn't apply and at which node the match ended.
type Mismatch struct {
	Rule string
	Node *graph.Node
	Why  string
}

// Error prints rule, node and reason.
func (m *Mismatch) Error() string {
	return fmt.Sprintf("rewrite: %s: at %s: %s", m.Rule, m.Node, m.Why)
}

// A rule rewrites the cluster of nodes that ends in a node of one of the operators in roots.
type rule struct {
	name  string
	roots []string // operators, "domain.Op" outside of ai.onnx; none means every node
	// apply changes the graph and returns nil, or leaves it as it was and returns a [*Mismatch] (or another error, which
	// ends everything).
	apply func(*pass, *graph.Node) error
}

var rules = map[string]rule{}

func register(r rule) {
	if _, ok := rules[r.name]; ok {
		panic("rewrite: two rules are called " + r.name)
	}
	rules[r.name] = r
}

// Names returns the names of all rules, sorted.
func Names() []string { return slices.Sorted(maps.Keys(rules)) }

func (r rule) wants(n *graph.Node) bool {
	key := n.Op
	if n.Domain != "" {
		key = n.Domain + "." + n.Op
	}
	return len(r.roots) == 0 || slices.Contains(r.roots, key)
}

// A stage is a set of rules that are tried on each node in order, until none applies any more.
type stage struct {
	rules []string
	why   string // why it stands where it stands
}

// stages are run in order, and again from the first as long as one of them changed something.
var stages = []stage{
	{[]string{"split-skip-layer-norm", "standard-gelu", "split-attention"},
		"first, so that fused files look like the others to all that follows"},
	{[]string{"static-cast-like"}, "before anything that asks what a result depends on"},
	{[]string{"drop-no-op"}, "before patterns, which know neither Identity nor Cast to the same type"},
	{[]string{"fold-constant"}, "before patterns, which look for constants such as the 0.5 of GELU"},
	{[]string{"drop-no-op"}, "again: a Reshape or Expand is seen to change nothing once its target is folded"},
	{[]string{"static-reshape"}, "after folding, which leaves only targets that depend on the batch"},
	{[]string{"fuse-layer-norm", "fuse-layer-norm-tf"}, "on primitive nodes; independent of GELU"},
	{[]string{"fuse-gelu", "fuse-gelu-tanh"}, "on primitive nodes; independent of LayerNorm"},
	{[]string{"direct-transpose", "merge-transposes", "merge-scales"}, "after static-reshape, which tells shapes apart"},
	{[]string{"untranspose-weight"}, "last: it reads weights that folding has shown to be constant"},
}

// A pass is one run of [Canonical].
type pass struct {
	g    *graph.Graph
	opts Options
	info *shape.Info
	rule string // the rule that is being tried
	// applied is called after each rule that applied; nil outside of tests.
	applied func(rule string)
}

// Canonical changes g into its canonical form, in place, and says which rules applied. A second run changes nothing.
func Canonical(g *graph.Graph, opts Options) (Report, error) {
	return canonical(&pass{g: g, opts: opts})
}

func canonical(p *pass) (Report, error) {
	g, opts := p.g, &p.opts
	if opts.Opset == 0 {
		opts.Opset = DefaultOpset
	}
	if opts.FoldLimit == 0 {
		opts.FoldLimit = 1 << 20
	}
	report := Report{}
	if err := wellFormed(g); err != nil {
		return report, err
	}
	if err := p.freezeDefaults(report); err != nil {
		return report, err
	}
	raised, err := RaiseOpset(g, opts.Opset)
	if err != nil {
		return report, err
	}
	count(report, "raise-opset", raised)
	for done := -1; done != report.total(); {
		done = report.total()
		for _, s := range stages {
			if err := p.run(s, report); err != nil {
				return report, err
			}
		}
	}
	nodes, _ := g.Prune()
	count(report, "prune", nodes)
	if lowerOpset(g, opts.Opset) {
		report["lower-opset"]++
	}
	return report, shape.Infer(g)
}

func (r Report) total() int {
	sum := 0
	for _, n := range r {
		sum += n
	}
	return sum
}

func count(r Report, name string, n int) {
	if n > 0 {
		r[name] += n
	}
}

// freezeDefaults makes constants of initializers that a caller could override: files of IR versions below 4 list every
// weight among the inputs.
func (p *pass) freezeDefaults(report Report) error {
	for _, v := range slices.Clone(p.g.Inputs()) {
		if v.Init() == nil || p.variable(v) {
			continue
		}
		if err := p.g.RemoveInput(v); err != nil {
			return fmt.Errorf("rewrite: %w", err)
		}
		report["freeze-default"]++
	}
	return nil
}

func (p *pass) variable(v *graph.Value) bool { return p.opts.Variable != nil && p.opts.Variable(v) }

// constant returns the tensor of v when it never changes between runs, or nil.
func (p *pass) constant(v *graph.Value) *graph.Tensor {
	if v == nil || p.variable(v) {
		return nil
	}
	return v.Const()
}

// run applies the rules of a stage until nothing changes. Dead nodes go after each round: they would count as readers.
func (p *pass) run(s stage, report Report) error {
	for changed := true; changed; {
		var err error
		if p.info, err = shape.Analyse(p.g); err != nil {
			return fmt.Errorf("rewrite: before %s: %w", strings.Join(s.rules, ", "), err)
		}
		if changed, err = p.round(s, report); err != nil {
			return err
		}
		if changed {
			p.g.Prune()
		}
	}
	return nil
}

func (p *pass) round(s stage, report Report) (changed bool, err error) {
	for _, n := range slices.Clone(p.g.Nodes()) {
		for _, name := range s.rules {
			r := rules[name]
			if !r.wants(n) || !p.alive(n) {
				continue
			}
			p.rule = name
			err := r.apply(p, n)
			var miss *Mismatch
			if errors.As(err, &miss) {
				continue
			}
			if err != nil {
				return changed, fmt.Errorf("rewrite: %s: %w", name, err)
			}
			report[name]++
			changed = true
			if p.applied != nil {
				p.applied(name)
			}
			break
		}
	}
	return changed, nil
}

// alive reports whether the node is still in the graph and something reads it. Nodes without their first output are left
// alone: no exporter writes them.
func (p *pass) alive(n *graph.Node) bool {
	if n.Output(0) == nil {
		return false
	}
	for _, o := range n.Outputs() {
		if o != nil && p.g.Value(o.Name()) == o && (len(o.Uses()) > 0 || o.IsOutput()) {
			return true
		}
	}
	return false
}

// miss returns a mismatch at node n.
func (p *pass) miss(n *graph.Node, format string, args ...any) error {
	return &Mismatch{p.rule, n, fmt.Sprintf(format, args...)}
}

// Explain says why a rule doesn't apply to a node, for people who wonder why their LayerNorm stays in pieces: a
// [*Mismatch], or nil when it does apply. The graph isn't changed.
func Explain(g *graph.Graph, ruleName string, n *graph.Node, opts Options) error {
	r, ok := rules[ruleName]
	if !ok {
		return fmt.Errorf("rewrite: rule %q: there is none; known are %s", ruleName, strings.Join(Names(), ", "))
	}
	if opts.FoldLimit == 0 {
		opts.FoldLimit = 1 << 20
	}
	at := slices.Index(g.Nodes(), n)
	if at < 0 {
		return fmt.Errorf("rewrite: node %s is not in the graph", n)
	}
	if err := wellFormed(g); err != nil {
		return err
	}
	c := g.Clone()
	p := &pass{g: c, opts: opts, rule: ruleName}
	var err error
	if p.info, err = shape.Analyse(c); err != nil {
		return err
	}
	if n = c.Nodes()[at]; !r.wants(n) || n.Output(0) == nil {
		return p.miss(n, "the rule is for %s", strings.Join(r.roots, ", "))
	}
	return r.apply(p, n)
}
