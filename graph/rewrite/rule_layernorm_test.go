package rewrite

import (
	"fmt"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/internal/graphtest"
)

const normHead = `graph "t" (x double[batch,sequence,4]) => (y double[batch,sequence,4])
opset 17
init w double[4]
init b double[4]
init eps double[] = [1e-05]
init two double[] = [2]
init half double[] = [0.5]
init minus double[] = [-0.5]
init one double[] = [1]
`

// torchNorm is what PyTorch's exporters write below opset 17; tests change single lines.
const torchNorm = normHead + `m = ReduceMean(x) {axes=[-1]} "ln/ReduceMean"
d = Sub(x, m) "ln/Sub"
q = Pow(d, two) "ln/Pow"
v = ReduceMean(q) {axes=[-1]} "ln/ReduceMean_1"
e = Add(v, eps) "ln/Add"
s = Sqrt(e) "ln/Sqrt"
n = Div(d, s) "ln/Div"
g = Mul(n, w) "ln/Mul"
y = Add(g, b) "ln/Add_1"
`

// edit replaces lines of a text, given as "old line" → "new lines".
func edit(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			panic(fmt.Sprintf("%q is not once in the text", pairs[i]))
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

func TestFuseLayerNorm(t *testing.T) {
	fused := "LayerNormalization"
	runCases(t, []rewriteCase{
		{name: "torch", text: torchNorm, want: fused, report: "fuse-layer-norm 1, raise-opset 2"},
		{name: "operands swapped", text: edit(torchNorm, "Mul(n, w)", "Mul(w, n)", "Add(g, b)", "Add(b, g)", "Add(v, eps)", "Add(eps, v)"), want: fused},
		{name: "positive axis", text: edit(torchNorm, `(x) {axes=[-1]}`, `(x) {axes=[2]}`), want: fused},
		{name: "axes as an input", want: fused,
			text: edit(strings.ReplaceAll(edit(torchNorm, "opset 17\n", "opset 18\ninit last int64[1] = [-1]\n"), ") {axes=[-1]}", ", last)"))},
		{name: "a product for the square", text: edit(torchNorm, "Pow(d, two)", "Mul(d, d)"), want: fused},
		{name: "two subtractions", text: edit(torchNorm, `q = Pow(d, two)`, "d2 = Sub(x, m) \"ln/Sub_1\"\nq = Pow(d2, two)"), want: fused},
		{name: "reciprocal", text: edit(torchNorm, `n = Div(d, s)`, "r = Reciprocal(s) \"r\"\nn = Mul(r, d)"), want: fused},
		{name: "one over", text: edit(torchNorm, `n = Div(d, s)`, "r = Div(one, s) \"r\"\nn = Mul(d, r)"), want: fused},
		{name: "power for the root", text: edit(torchNorm, "Sqrt(e)", "Pow(e, half)"), want: fused},
		{name: "power for the inverse root", text: edit(torchNorm, "s = Sqrt(e) \"ln/Sqrt\"\n", "", "Div(d, s)", "Mul(d, s)",
			"e = Add(v, eps) \"ln/Add\"\n", "e = Add(v, eps) \"ln/Add\"\ns = Pow(e, minus) \"s\"\n"), want: fused},
		{name: "casts that change nothing", text: edit(torchNorm, `q = Pow(d, two)`, "dc = Cast(d) {to=11} \"dc\"\nq = Pow(dc, two)"), want: fused},
	})
}

func TestNearLayerNorm(t *testing.T) {
	near := []struct{ name, text, root, miss string }{
		{"the mean over another axis", edit(torchNorm, `(x) {axes=[-1]}`, `(x) {axes=[1]}`), "y", "it reduces axes [1]"},
		{"the variance over another axis", edit(torchNorm, `(q) {axes=[-1]}`, `(q) {axes=[1]}`), "y", "it reduces axes [1]"},
		{"an inner value is read", edit(torchNorm, `=> (y`, `=> (d double[batch,sequence,4], y`), "y", `"d" is an output of the graph`},
		{"an inner value is read by a node", edit(torchNorm, "Mul(n, w)", "Mul(n, w)", "=> (y", "=> (o double[?,?,?], y", `g = Mul`, "o = Relu(v) \"o\"\ng = Mul"),
			"y", `"v", inside of the pattern, is read here`},
		{"a cube", edit(torchNorm, "two double[] = [2]", "two double[] = [3]"), "y", "the exponent is not 2"},
		{"a cube root", edit(torchNorm, "Sqrt(e)", "Pow(e, two)"), "y", "the exponent is not 0.5"},
		{"no square", edit(torchNorm, "Pow(d, two)", "Mul(d, x)"), "y", "no square"},
		{"another mean", edit(torchNorm, `d = Sub(x, m)`, "x2 = Relu(x) \"x2\"\nd = Sub(x2, m)"), "y", `"m" is not the mean of "x2"`},
		{"the variance of something else", edit(torchNorm, `q = Pow(d, two)`,
			"x3 = Relu(x) \"x3\"\nm3 = ReduceMean(x3) {axes=[-1]} \"m3\"\nd3 = Sub(x3, m3) \"d3\"\nq = Pow(d3, two)"), "y", `the variance is not that of "x"`},
		{"a scale that is no vector", edit(torchNorm, "init w double[4]", "init w double[1]"), "y", "is no vector over the last axis"},
		{"a bias over another axis", edit(torchNorm, "init b double[4]", "init b double[3,1]"), "y", "is no vector over the last axis"},
		{"an epsilon that is computed", edit(torchNorm, "Add(v, eps)", "Add(v, v)"), "y", "no input is a constant epsilon"},
	}
	for _, c := range near {
		t.Run(c.name, func(t *testing.T) {
			before := graphtest.MustParse(t, c.text)
			after, report := rewrite(t, before, Options{})
			if report["fuse-layer-norm"] > 0 || after.Value("y").Producer().Op == "LayerNormalization" {
				t.Errorf("it was fused:\n%s", after)
			}
			sameOutputs(t, before, after, 1e-9)
			wantMismatch(t, after, rewriteCase{rule: "fuse-layer-norm", root: c.root, miss: c.miss})
		})
	}
}

// tfNorm is TensorFlow's batch normalisation over the last axis.
const tfNorm = normHead + `m = ReduceMean(x) {axes=[2]} "m"
d = Sub(x, m) "d"
q = Mul(d, d) "q"
v = ReduceMean(q) {axes=[2]} "v"
e = Add(v, eps) "e"
s = Sqrt(e) "s"
r = Reciprocal(s) "r"
k = Mul(r, w) "k"
a = Mul(x, k) "a"
mk = Mul(m, k) "mk"
c = Sub(b, mk) "c"
y = Add(a, c) "y"
`

func TestFuseLayerNormTF(t *testing.T) {
	runCases(t, []rewriteCase{
		{name: "keras", text: tfNorm, want: "LayerNormalization", report: "fuse-layer-norm-tf 1, raise-opset 2"},
		{name: "operands swapped", text: edit(tfNorm, "Mul(r, w)", "Mul(w, r)", "Mul(x, k)", "Mul(k, x)", "Mul(m, k)", "Mul(k, m)", "Add(a, c)", "Add(c, a)"),
			want: "LayerNormalization"},
		{name: "another factor on the mean", text: edit(tfNorm, "Mul(m, k)", "Mul(m, r)"),
			want: "ReduceMean Sub Mul ReduceMean Add Sqrt Reciprocal Mul Mul Mul Sub Add",
			rule: "fuse-layer-norm-tf", root: "y", miss: "it isn't mean times scale/deviation"},
		{name: "another input is scaled", text: edit(tfNorm, "a = Mul(x, k)", "z = Relu(x) \"z\"\na = Mul(z, k)"),
			want: "ReduceMean Sub Mul ReduceMean Add Sqrt Reciprocal Mul Relu Mul Mul Sub Add",
			rule: "fuse-layer-norm-tf", root: "y", miss: `"z" is scaled, "x" was centred`},
	})
}

// Half-precision models compute the statistics in float, which is what LayerNormalization does by itself.
func TestLayerNormWithCasts(t *testing.T) {
	g := graphtest.MustParse(t, `graph "t" (x float16[2,4]) => (y float16[2,4])
opset 17
init w float16[4] = [1,2,3,4]
init b float16[4] = [1,0,1,0]
init eps float[] = [1e-05]
init two float[] = [2]
m = ReduceMean(x) {axes=[-1]} "m"
d = Sub(x, m) "d"
c = Cast(d) {to=1} "c"
q = Pow(c, two) "q"
v = ReduceMean(q) {axes=[-1]} "v"
e = Add(v, eps) "e"
s = Sqrt(e) "s"
n = Div(c, s) "n"
h = Cast(n) {to=10} "h"
g = Mul(w, h) "g"
y = Add(b, g) "y"
`)
	after, _ := rewrite(t, g, Options{})
	if got := operators(after); got != "LayerNormalization" || after.Outputs()[0].Name() != "y" {
		t.Errorf("operators %q\n%s", got, after)
	}
	sameOutputs(t, g, after, 1e-9)
}

// The fused node stands under its module's name and its output has the last value's.
func TestFusedNames(t *testing.T) {
	after, _ := rewrite(t, graphtest.MustParse(t, torchNorm), Options{})
	n := after.Nodes()[0]
	if n.Name != "ln/LayerNormalization" || n.Output(0).Name() != "y" {
		t.Errorf("node %s computes %s", n, n.Output(0))
	}
	if eps := n.Float("epsilon", 0); eps != 1e-5 {
		t.Errorf("epsilon %g", eps)
	}
}
