package models

import (
	"testing"

	"github.com/peftgraph/peftgraph/internal/graphtest"
)

const actHeader = `graph "act" (x float[b,s,4]) => (y float[b,s,4])
opset 20
opset com.microsoft 1
init c float[4] = [5,6,7,8]
init one float[] = [1]
init two float[] = [2]
init three float[] = [3]
init half float[1] = [0.5]
init r float[] = [1.4142135]
init a float[] = [0.044715]
init k float[] = [0.7978846]
init q float[] = [1.702]
`

func TestActivationsAreKnownByWhatTheyCompute(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"operator", `y = Gelu(x) "y"`, "gelu"},
		{"operator, tanh", `y = Gelu(x) {approximate="tanh"} "y"`, "gelu_tanh"},
		{"onnxruntime's", `y = com.microsoft.FastGelu(x) "y"`, "gelu_tanh"},
		{"onnxruntime's quick", `y = com.microsoft.QuickGelu(x) "y"`, "quick_gelu"},
		{"relu", `y = Relu(x) "y"`, "relu"},
		{"tanh behind a cast", "t = Tanh(x) \"t\"\ny = Cast(t) {to=1} \"y\"", "tanh"},
		{"erf", "d = Div(x, r) \"d\"\ne = Erf(d) \"e\"\no = Add(e, one) \"o\"\nm = Mul(x, o) \"m\"\ny = Mul(m, half) \"y\"", "gelu"},
		{"erf, root computed, halved first", "h = Mul(half, x) \"h\"\ns = Sqrt(two) \"s\"\nd = Div(x, s) \"d\"\ne = Erf(d) \"e\"\no = Add(one, e) \"o\"\ny = Mul(o, h) \"y\"", "gelu"},
		{"tanh form, power", "p = Pow(x, three) \"p\"\nm = Mul(p, a) \"m\"\ns = Add(x, m) \"s\"\nk1 = Mul(s, k) \"k1\"\nt = Tanh(k1) \"t\"\no = Add(t, one) \"o\"\nh = Mul(x, half) \"h\"\ny = Mul(h, o) \"y\"", "gelu_tanh"},
		{"tanh form, products", "z = Mul(x, x) \"z\"\nm = Mul(z, a) \"m\"\ns = Add(one, m) \"s\"\nx1 = Mul(x, k) \"x1\"\nk1 = Mul(s, x1) \"k1\"\nt = Tanh(k1) \"t\"\no = Add(t, one) \"o\"\nh = Mul(x, half) \"h\"\ny = Mul(h, o) \"y\"", "gelu_tanh"},
		{"silu", "s = Sigmoid(x) \"s\"\ny = Mul(x, s) \"y\"", "silu"},
		{"quick gelu", "m = Mul(q, x) \"m\"\ns = Sigmoid(m) \"s\"\ny = Mul(x, s) \"y\"", "quick_gelu"},
		{"unknown", "s = Mul(x, x) \"s\"\ny = Relu(s) \"y\"", otherActivation},
		{"none", `y = Identity(x) "y"`, ""},
		{"not pointwise", `y = Softmax(x) "y"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := graphtest.MustParse(t, actHeader+c.body+"\n")
			if got := activationName(g.Value("y"), g.Value("x"), nil); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestActivationWithABias(t *testing.T) {
	g := graphtest.MustParse(t, actHeader+`y = com.microsoft.BiasGelu(x, c) "y"`+"\n")
	if got := activationName(g.Value("y"), g.Value("x"), g.Value("c")); got != "gelu" {
		t.Errorf("got %q", got)
	}
}
