package autodiff

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

func parsed(t *testing.T, text string) *graph.Graph {
	t.Helper()
	g := graphtest.MustParse(t, text)
	if err := shape.Infer(g); err != nil {
		t.Fatal(err)
	}
	return g
}

func gradients(g *graph.Graph, wrt ...string) ([]*graph.Value, error) {
	var vs []*graph.Value
	for _, w := range wrt {
		vs = append(vs, g.Value(w))
	}
	return Gradients(g, g.Value("loss"), vs, Options{})
}

// What a gradient graph looks like: names are deterministic, the frozen weight is read in place, equal names get numbers.
func TestEmittedText(t *testing.T) {
	g := parsed(t, `graph "linear" (x float[batch,sequence,4], v float[3]) => (loss)
		opset 21
		init w float[4,3]
		p = MatMul(x, w) "/dense/MatMul"
		y = Add(p, v) "/dense/Add"
		loss = ReduceSum(y) {keepdims=0} "loss"
	`)
	grads, err := gradients(g, "x", "v")
	if err != nil {
		t.Fatal(err)
	}
	g.SetOutputs(g.Value("loss"), grads[0], grads[1])
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	graphtest.Golden(t, "testdata/linear.golden", g.String())
}

func TestNoRuleNamesNodeAndTrainable(t *testing.T) {
	g := parsed(t, `graph "g" (x float[2,3], w float[3]) => (loss)
		opset 21
		h = Mul(x, w) "scale"
		y = Atan(h) "act/Atan"
		loss = ReduceSum(y) {keepdims=0}
	`)
	_, err := gradients(g, "w")
	var missing *NoRuleError
	if !errors.As(err, &missing) {
		t.Fatalf("error %v, want a NoRuleError", err)
	}
	if missing.Op != "Atan" || missing.Opset != 21 || !slices.Equal(missing.Path, []string{"w", "h"}) || missing.Hint() == "" {
		t.Errorf("%+v", missing)
	}
	for _, part := range []string{`Atan "act/Atan"`, `"w"`, "ai.onnx-21"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %s", err, part)
		}
	}
}

// A missing rule matters only on a path from a trainable value.
func TestMissingRuleOffThePath(t *testing.T) {
	g := parsed(t, `graph "g" (x float[2,3], w float[3]) => (loss)
		opset 21
		h = Atan(x)
		y = Mul(h, w)
		dead = Atan(y)
		loss = ReduceSum(y) {keepdims=0}
	`)
	if _, err := gradients(g, "w"); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	const text = `graph "g" (x float[2,3], w float[3], i int64[2]) => (loss)
		opset 21
		init axes int64[1] = [1]
		y = Mul(x, w) "mul"
		away = Neg(w) "away"
		f = Floor(w) "floor"
		z = Add(y, f) "add"
		vector = ReduceSum(z, axes) {keepdims=0}
		loss = ReduceSum(z) {keepdims=0}
	`
	for _, c := range []struct{ loss, wrt, want string }{
		{"loss", "away", `"away" float[3]: the loss "loss" does not depend on it`},
		{"loss", "i", "want a float value"},
		{"loss", "missing", "want a float value"},
		{"vector", "w", "want one float element"},
		{"i", "w", "want one float element"},
		{"x", "w", "want one float element"},
	} {
		g := parsed(t, text)
		_, err := Gradients(g, g.Value(c.loss), []*graph.Value{g.Value(c.wrt)}, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s by %s: error %v, want one that says %s", c.loss, c.wrt, err, c.want)
		}
	}
}

// What a rule can't differentiate it says, with the node.
func TestRuleRefusals(t *testing.T) {
	for _, c := range []struct{ opset, inputs, body, want string }{
		{"13", "x float[3], lo float[]", "y = Clip(x, lo)", `Clip that computes "y": input 1 ("lo" float[]) is trainable`},
		{"13", "x float[3]", `init p int64[2] = [1,1]; y = Pad(x, p) {mode="reflect"}`, `mode "reflect"`},
		{"17", "x float[2,3], w float[3]", "u, y, i = LayerNormalization(x, w)", "depends on its output 1"},
		{"16", "x float[3], u float[2]", `init i int64[2] = [0,1]; y = ScatterElements(x, i, u) {reduction="mul"}`, `reduction "mul"`},
		{"16", "x float[3], u float[2]", `init i int64[2,1] = [0,1]; y = ScatterND(x, i, u) {reduction="max"}`, `reduction "max"`},
		{"12", "x float[3,4]", `y = Einsum(x) {equation="ij"}`, `equation "ij"`},
		{"12", "x float[3,4]", `y = Einsum(x) {equation="ij->i"}`, `axis 'j' of input 0`},
		{"15", "x float[3,4], i int64[3,2]", "y = GatherElements(x, i) {axis=1}", "needs opset 16, not 15"},
		{"11", "x float[n,3], z float[4,3]", "y = Mul(x, z)", "needs opset 13, not 11"},
		{"13", "x float[5]", "init s int64[2] = [2,3]; y, _ = Split(x, s)", "output 1 is absent"},
		{"13", "x float[2,3]", "init k float[] = [1]; h = Cast(x) {to=10}; q = Relu(h); y = Cast(q) {to=1}", "float16"},
		{"13", "x float[3], w float[3,4]", "y = com.microsoft.FusedMatMul(x, w)", "as MatMul only"},
		{"13", "x float[2,4,3], w float[4,3,5]", "y = com.microsoft.FusedMatMul(x, w) {transBatchA=1}", "transBatchA"},
	} {
		rule := ruleCase{inputs: c.inputs, body: c.body}
		g, err := rule.graph(c.opset)
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		_, err = Gradients(g, g.Value("loss"), rule.wrt(g), Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "autodiff: gradient of ") {
			t.Errorf("%s: error %v, want one that says %s", c.body, err, c.want)
		}
	}
}

// A value of unknown rank stops the walk with its name.
func TestUnknownRank(t *testing.T) {
	g := parsed(t, `graph "g" (w float[3], s int64[n]) => (loss float[])
		opset 21
		y = Reshape(w, s) "free"
		z = Neg(y) "neg"
		loss = ReduceSum(z) {keepdims=0}
	`)
	if _, err := gradients(g, "w"); err == nil || !strings.Contains(err.Error(), `the rank of "`) {
		t.Errorf("error %v", err)
	}
}

func TestRuleBugsAreFound(t *testing.T) {
	defer delete(registry, key{"", "Atan"})
	for want, rule := range map[string]Rule{
		"bug in the rule for Atan: 2 gradients for the 1 inputs":   func(c *Context) []*graph.Value { return []*graph.Value{c.DY(), c.DY()} },
		"bug in the rule for Atan: no gradient for input 0":        func(*Context) []*graph.Value { return []*graph.Value{nil} },
		"bug in the rule for Atan: the gradient of input 0":        func(c *Context) []*graph.Value { return c.First(c.CastTo(graph.Double, c.DY())) },
		"contradicts itself: shape: node Transpose \"grad/y/Trans": func(c *Context) []*graph.Value { return c.First(c.Permute(c.Neg(c.DY()), []int64{1, 0})) },
	} {
		registry[key{"", "Atan"}] = []entry{{1, rule}}
		g := parsed(t, `graph "g" (x float[2,3]) => (loss)
			opset 21
			y = Atan(x)
			loss = ReduceSum(y) {keepdims=0}
		`)
		if _, err := gradients(g, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}

func TestRegisterRefusesDuplicates(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second rule for Add was accepted")
		}
	}()
	register("", "Add", 1, nil)
}

func TestNewestRuleThatHolds(t *testing.T) {
	for opset, want := range map[int64]int64{11: 1, 12: 1, 13: 13, 21: 13} {
		if e, ok := find(&graph.Node{Op: "Softmax"}, opset); !ok || e.since != want {
			t.Errorf("opset %d: rule since %d, want %d", opset, e.since, want)
		}
	}
	if _, ok := find(&graph.Node{Op: "Gelu"}, 19); ok {
		t.Error("Gelu has a rule before the operator exists")
	}
}

// Ties are shared evenly, so that the gradients of equal inputs add up to dY.
func TestTies(t *testing.T) {
	g := parsed(t, `graph "g" (x float[3], z float[3]) => (loss)
		opset 21
		m = Max(x, z)
		a = ReduceSum(m) {keepdims=0}
		r = ReduceMax(x) {keepdims=0}
		loss = Add(a, r)
	`)
	checkValues(t, g, map[string][]float64{"x": {1, 2, 2}, "z": {1, 3, 0}},
		map[string][]float64{"x": {.5, .5, 1.5}, "z": {.5, 1, 0}})
}

// The parameters may be results of nodes, and what produces them is left alone.
func TestIntermediateParameters(t *testing.T) {
	g := parsed(t, `graph "g" (theta float[4], x float[2]) => (loss)
		opset 21
		init sizes int64[2] = [2,2]
		a, b = Split(theta, sizes) {axis=0} "split"
		p = Mul(a, x)
		q = Mul(p, b)
		loss = ReduceSum(q) {keepdims=0}
	`)
	checkValues(t, g, map[string][]float64{"theta": {1, 2, 3, 4}, "x": {5, 6}},
		map[string][]float64{"a": {15, 24}, "b": {5, 12}})
	for _, n := range g.Nodes() {
		if strings.HasPrefix(n.Name, "grad/split") {
			t.Errorf("%s differentiates what lies below the parameters", n)
		}
	}
}

// checkValues compares the gradients with respect to want's keys.
func checkValues(t *testing.T, g *graph.Graph, in, want map[string][]float64) {
	t.Helper()
	feeds := map[string]*graph.Tensor{}
	for name, x := range in {
		feeds[name] = graph.TensorOf(nil, x)
	}
	var names, fetches []string
	for name := range want {
		names = append(names, name)
	}
	grads, err := gradients(g, names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range grads {
		fetches = append(fetches, d.Name())
	}
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Run(context.Background(), feeds, fetches)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if err := graphtest.Differ(got[i], graph.TensorOf(nil, want[name]), 1e-12, 1e-12); err != nil {
			t.Errorf("gradient of %q: %v", name, err)
		}
	}
}

// A detached result is a constant to the gradient: d(x·c)/dx is c although c is computed from x, by an operator without a rule.
func TestDetached(t *testing.T) {
	g := parsed(t, `graph "g" (x float[2]) => (loss)
		opset 21
		c = Atan(x) "detach/c"
		y = Mul(x, c)
		loss = ReduceSum(y) {keepdims=0}
	`)
	detached := func(n *graph.Node) bool { return strings.HasPrefix(n.Name, "detach/") }
	grads, err := Gradients(g, g.Value("loss"), []*graph.Value{g.Value("x")}, Options{Detached: detached})
	if err != nil {
		t.Fatal(err)
	}
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	x := graph.TensorOf(nil, []float64{1, -2})
	res, err := p.Run(context.Background(), map[string]*graph.Tensor{"x": x}, []string{grads[0].Name(), "c"})
	if err != nil {
		t.Fatal(err)
	}
	graphtest.Close(t, res[0], res[1], 0, 0)
	if _, err := gradients(parsed(t, g.String()), "x"); err == nil {
		t.Error("Atan has a rule now: take another operator here")
	}
}
