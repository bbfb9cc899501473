package rewrite

import (
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

func TestFoldConstant(t *testing.T) {
	head := `graph "t" (x double[batch,sequence,4]) => (y double[batch,sequence,4])
opset 21
`
	variable := Options{Variable: func(v *graph.Value) bool { return v.Name() == "A" }}
	runCases(t, []rewriteCase{
		{name: "a chain of constants", text: head + `c = Constant() {value=double[] = [4]} "c"
s = Sqrt(c) "s"
i = Constant() {value_float=0.5f} "i"
d = CastLike(i, s) "d"
p = Mul(s, d) "p"
q = Add(p, d) "q"
y = Mul(x, q) "y"
`, want: "Mul", report: "fold-constant 6, static-cast-like 1"},
		{name: "a size that inference knows", text: head + `init two int64[] = [2]
init half double[] = [-0.5]
s = Shape(x) "s"
n = Gather(s, two) "n"
d = Cast(n) {to=11} "d"
r = Pow(d, half) "r"
y = Mul(x, r) "y"
`, want: "Mul", report: "fold-constant 3"},
		{name: "a size that depends on the batch", text: head + `init zero int64[] = [0]
s = Shape(x) "s"
n = Gather(s, zero) "n"
d = Cast(n) {to=11} "d"
y = Mul(x, d) "y"
`, want: "Shape Gather Cast Mul", rule: "fold-constant", root: "n", miss: `input 0, "s", is no constant`},
		{name: "a weight that is only transposed", text: head + `init W double[4,4]
w = Transpose(W) {perm=[1,0]} "w"
y = MatMul(x, w) "y"
`, want: "Transpose MatMul", rule: "fold-constant", root: "w", miss: `it rearranges the weight "W"`},
		{name: "a large result", text: head + `init n int64[1] = [4]
init wide int64[2] = [300000,4]
init w double[4]
init zero int64[] = [0]
big = Expand(w, wide) "big"
row = Gather(big, zero) "row"
y = Mul(x, row) "y"
`, want: "Expand Gather Mul", rule: "fold-constant", root: "big", miss: "larger than 1048576 bytes"},
		{name: "a trainable", opts: variable, text: head + `init A double[4]
init s double[] = [2]
a = Mul(A, s) "a"
y = Mul(x, a) "y"
`, want: "Mul Mul", rule: "fold-constant", root: "a", miss: `input 0, "A", is no constant`},
	})
}

// Folding keeps names, so that who knows a value by name still finds it, and outputs stay computed.
func TestFoldedNames(t *testing.T) {
	g := graphtest.MustParse(t, `graph "t" (x float[2]) => (y float[2], z float[2])
opset 21
init c float[2] = [1,4]
s = Sqrt(c) "s"
z = Sqrt(s) "z"
y = Add(x, s) "y"
`)
	after, _ := rewrite(t, g, Options{})
	if v := after.Value("s"); v.Const() == nil {
		t.Errorf("%s is no constant", v)
	}
	if z := after.Value("z"); z.Producer() == nil || !z.IsOutput() {
		t.Errorf("the output is %s of %s", z, z.Producer())
	}
}

// A random operator of constants is no constant.
func TestRandomIsNotFolded(t *testing.T) {
	g := graphtest.MustParse(t, `graph "t" (x float[2]) => (y float[2])
opset 21
r = RandomNormal() {shape=[2]} "r"
y = Add(x, r) "y"
`)
	after, _ := rewrite(t, g, Options{})
	if got := operators(after); got != "RandomNormal Add" {
		t.Errorf("operators %q", got)
	}
}

// Files of IR version 3 list their weights among the inputs.
func TestDefaultsAreFrozen(t *testing.T) {
	text := `graph "t" (x float[2], w float[2], A float[2]) => (y float[2])
opset 21
init w float[2] = [1,4]
init A float[2] = [1,4]
s = Sqrt(w) "s"
a = Sqrt(A) "a"
z = Add(x, s) "z"
y = Add(z, a) "y"
`
	opts := Options{Variable: func(v *graph.Value) bool { return v.Name() == "A" }}
	after, report := rewrite(t, graphtest.MustParse(t, text), opts)
	if len(after.Inputs()) != 2 || report["freeze-default"] != 1 || operators(after) != "Sqrt Add Add" {
		t.Errorf("%s\n%s", report, after)
	}
}
