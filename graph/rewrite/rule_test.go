package rewrite

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// sizes binds the symbolic dimensions of the graphs in tests.
var sizes = map[string]int64{"batch": 2, "sequence": 3}

// A rewriteCase is a graph as text and what becomes of it.
type rewriteCase struct {
	name   string
	text   string
	opts   Options
	want   string // operators after, in order
	report string
	// miss is part of the reason why rule doesn't apply to the node named root.
	rule, root, miss string
}

func runCases(t *testing.T, cases []rewriteCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := graphtest.MustParse(t, c.text)
			after, report := rewrite(t, before, c.opts)
			if got := operators(after); got != c.want {
				t.Errorf("operators %q, want %q\n%s", got, c.want, after)
			}
			if c.report != "" && report.String() != c.report {
				t.Errorf("report %q, want %q", report, c.report)
			}
			sameOutputs(t, before, after, 1e-9)
			if c.rule != "" {
				wantMismatch(t, after, c)
			}
		})
	}
}

// rewrite returns the canonical form of a copy, having checked the graph after each rule, and that a second run does nothing.
func rewrite(t *testing.T, g *graph.Graph, opts Options) (*graph.Graph, Report) {
	t.Helper()
	after := g.Clone()
	p := &pass{g: after, opts: opts}
	p.applied = func(rule string) {
		if err := after.Check(); err != nil {
			t.Fatalf("after %s: %v", rule, err)
		}
	}
	report, err := canonical(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := after.Check(); err != nil {
		t.Fatal(err)
	}
	for i, o := range after.Outputs() {
		if o.Name() != g.Outputs()[i].Name() {
			t.Errorf("output %q is now called %q", g.Outputs()[i].Name(), o.Name())
		}
	}
	once := after.String()
	again, err := Canonical(after, opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(again) > 0 || after.String() != once {
		t.Errorf("a second run did %s:\n%s", again, after)
	}
	return after, report
}

func operators(g *graph.Graph) string {
	var ops []string
	for _, n := range g.Nodes() {
		ops = append(ops, n.Op)
	}
	return strings.Join(ops, " ")
}

// wantMismatch asks why the rule doesn't apply.
func wantMismatch(t *testing.T, g *graph.Graph, c rewriteCase) {
	t.Helper()
	v := g.Value(c.root)
	if v == nil || v.Producer() == nil {
		t.Fatalf("nothing computes %q any more", c.root)
	}
	before := g.String()
	err := Explain(g, c.rule, v.Producer(), c.opts)
	var miss *Mismatch
	if !errors.As(err, &miss) || miss.Node == nil || !strings.Contains(err.Error(), c.miss) {
		t.Errorf("mismatch %v, want one with %q", err, c.miss)
	}
	if g.String() != before {
		t.Error("Explain changed the graph")
	}
}

// sameOutputs runs both graphs in float64 on the same random inputs.
func sameOutputs(t *testing.T, before, after *graph.Graph, tolerance float64) {
	t.Helper()
	feeds := map[string]*graph.Tensor{}
	for i, v := range before.Inputs() {
		dims := make([]int64, len(v.Shape))
		for k, d := range v.Shape {
			if dims[k] = d.N; d.Sym != "" {
				dims[k] = sizes[d.Sym]
			}
		}
		if v.Init() == nil {
			feeds[v.Name()] = graphtest.Rand(uint64(i+1), v.DType, dims, -2, 2)
		}
	}
	got, want := outputs(t, after, feeds), outputs(t, before, feeds)
	for i := range want {
		graphtest.Close(t, got[i], want[i], tolerance, tolerance)
	}
}

func outputs(t *testing.T, g *graph.Graph, feeds map[string]*graph.Tensor) []*graph.Tensor {
	t.Helper()
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range g.Outputs() {
		names = append(names, o.Name())
	}
	out, err := p.Run(context.Background(), feeds, names)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A rule that no stage runs, or that a stage names and nobody wrote, is a mistake.
func TestStagesCoverTheRules(t *testing.T) {
	staged := map[string]bool{}
	for _, s := range stages {
		if s.why == "" {
			t.Errorf("stage %v has no reason", s.rules)
		}
		for _, name := range s.rules {
			staged[name] = true
		}
	}
	if got := slices.Sorted(maps.Keys(staged)); !slices.Equal(got, Names()) {
		t.Errorf("stages run %v, rules are %v", got, Names())
	}
}

func TestExplainNamesTheRules(t *testing.T) {
	g := graphtest.MustParse(t, `graph "t" (x float[2]) => (y float[2])
opset 21
y = Relu(x) "r"`)
	if err := Explain(g, "no-such-rule", g.Nodes()[0], Options{}); err == nil || !strings.Contains(err.Error(), "fuse-gelu") {
		t.Errorf("error %v, want one that lists the rules", err)
	}
	if err := Explain(g, "fuse-gelu", g.Nodes()[0], Options{}); err == nil || !strings.Contains(err.Error(), "Mul, Div") {
		t.Errorf("error %v, want one that says what the rule is for", err)
	}
}
