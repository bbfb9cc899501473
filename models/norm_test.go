package models

import (
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// normHeader declares what every variant below starts from and ends in: y = LayerNorm(x + r).
const normHeader = `graph "norm" (x float[b,s,4], r float[b,s,4]) => (y float[b,s,4])
opset 17
opset com.microsoft 1
init g float[4] = [1,2,3,4]
init c float[4] = [5,6,7,8]
init two float[] = [2]
init one float[] = [1]
init half float[] = [0.5]
init eps float[1] = [1e-5]
t = Add(x, r) "sum"
`

var normVariants = map[string]string{
	"fused": `y = LayerNormalization(t, g, c) {axis=-1, epsilon=1e-5f} "n"`,
	"PyTorch": `m = ReduceMean(t) {axes=[-1]} "m"
d = Sub(t, m) "d"
p = Pow(d, two) "p"
v = ReduceMean(p) {axes=[-1]} "v"
e = Add(v, eps) "e"
q = Sqrt(e) "q"
n = Div(d, q) "n"
s = Mul(n, g) "s"
y = Add(s, c) "y"`,
	"two differences, operands swapped": `m = ReduceMean(t) {axes=[2]} "m"
d = Sub(t, m) "d"
p = Mul(d, d) "p"
v = ReduceMean(p) {axes=[2]} "v"
e = Add(eps, v) "e"
q = Sqrt(e) "q"
d2 = Sub(t, m) "d2"
n = Div(d2, q) "n"
s = Mul(g, n) "s"
y = Add(c, s) "y"`,
	"TensorFlow": `m = ReduceMean(t) {axes=[-1]} "m"
d = Sub(t, m) "d"
p = Mul(d, d) "p"
v = ReduceMean(p) {axes=[-1]} "v"
e = Add(v, eps) "e"
q = Sqrt(e) "q"
i = Reciprocal(q) "i"
k = Mul(i, g) "k"
a = Mul(t, k) "a"
w = Mul(m, k) "w"
z = Sub(c, w) "z"
y = Add(a, z) "y"`,
	"power of a half, casts": `t1 = Cast(t) {to=1} "cast"
m = ReduceMean(t1) {axes=[-1]} "m"
d = Sub(t1, m) "d"
p = Pow(d, two) "p"
v = ReduceMean(p) {axes=[-1]} "v"
e = Add(v, eps) "e"
q = Pow(e, half) "q"
n = Div(d, q) "n"
n1 = Cast(n) {to=1} "cast2"
s = Mul(n1, g) "s"
y = Add(s, c) "y"`,
	"one over the root": `m = ReduceMean(t) {axes=[-1]} "m"
d = Sub(t, m) "d"
p = Pow(d, two) "p"
v = ReduceMean(p) {axes=[-1]} "v"
e = Add(v, eps) "e"
q = Sqrt(e) "q"
i = Div(one, q) "i"
n = Mul(d, i) "n"
s = Mul(n, g) "s"
y = Add(s, c) "y"`,
}

func TestNormVariants(t *testing.T) {
	for name, body := range normVariants {
		t.Run(name, func(t *testing.T) {
			g := graphtest.MustParse(t, normHeader+body+"\n")
			norms := findNorms(g)
			if len(norms) != 1 {
				t.Fatalf("%d norms", len(norms))
			}
			n := norms[0]
			if n.Input != g.Value("t") || n.Output != g.Value("y") || n.Scale != g.Value("g") || n.Bias != g.Value("c") || float32(n.Eps) != 1e-5 {
				t.Errorf("in %s, out %s, scale %s, bias %s, ε %v", n.Input, n.Output, n.Scale, n.Bias, n.Eps)
			}
			if want := strings.Count(body, "\n") + 1; len(n.Nodes) < want-1 || len(n.Nodes) > want {
				t.Errorf("%d nodes of %d", len(n.Nodes), want)
			}
		})
	}
}

func TestNormWithoutBias(t *testing.T) {
	body := strings.Replace(normVariants["PyTorch"], "s = Mul(n, g) \"s\"\ny = Add(s, c) \"y\"", "y = Mul(n, g) \"y\"", 1)
	g := graphtest.MustParse(t, normHeader+body+"\n")
	norms := findNorms(g)
	if len(norms) != 1 || norms[0].Output != g.Value("y") || norms[0].Bias != nil || norms[0].Scale != g.Value("g") {
		t.Fatalf("%v", norms)
	}
}

func TestSkipNorm(t *testing.T) {
	g := graphtest.MustParse(t, normHeader+`y = com.microsoft.SkipLayerNormalization(x, r, g, c, g) {epsilon=1e-5f} "n"`+"\n")
	norms := findNorms(g)
	if len(norms) != 1 || norms[0].Skip == nil || norms[0].Input != nil || norms[0].Bias != g.Value("c") {
		t.Fatalf("%v", norms)
	}
	if s := sumBefore(norms[0]); s.a != g.Value("x") || s.b != g.Value("r") {
		t.Errorf("sum of %s and %s", s.a, s.b)
	}
}

// Each of these is one edit away from a LayerNorm.
func TestNormNearMisses(t *testing.T) {
	torch := normVariants["PyTorch"]
	for name, edit := range map[string][2]string{
		"cube instead of square":        {`Pow(d, two)`, `Pow(d, half)`},
		"mean of another value":         {`m = ReduceMean(t)`, `m = ReduceMean(x)`},
		"over the sequence":             {`v = ReduceMean(p) {axes=[-1]}`, `v = ReduceMean(p) {axes=[1]}`},
		"no centring (RMSNorm)":         {`d = Sub(t, m)`, `d = Mul(t, one)`},
		"difference of the wrong value": {`n = Div(d, q)`, `n = Div(x, q)`},
		"divided by the variance":       {`n = Div(d, q)`, `n = Div(d, e)`},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(torch, edit[0], edit[1], 1)
			if body == torch {
				t.Fatal("the edit changes nothing")
			}
			if norms := findNorms(graphtest.MustParse(t, normHeader+body+"\n")); len(norms) != 0 {
				t.Errorf("taken for a LayerNorm from %s to %s", norms[0].Input, norms[0].Output)
			}
		})
	}
}
