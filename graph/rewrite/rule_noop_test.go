package rewrite

import (
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

func TestDropNoOp(t *testing.T) {
	head := `graph "t" (x double[batch,sequence,4]) => (y double[batch,sequence,4])
opset 21
`
	mask := `graph "t" (x double[batch,sequence,4]) => (y double[batch,sequence,4], m bool[batch,sequence,4])
opset 21
`
	keep := Options{KeepDropout: func(n *graph.Node) bool { return n.Name == "peft/dropout" }}
	runCases(t, []rewriteCase{
		{name: "everything that does nothing", text: head + `init one double[] = [1]
init shape int64[3] = [0,0,4]
init wide int64[1] = [4]
init off bool[] = [0]
init ratio float[] = [0.1]
a = Identity(x) "a"
b = Cast(a) {to=11} "b"
c = Dropout(b, ratio, off) "c"
d = Reshape(c, shape) "d"
e = Expand(d, wide) "e"
f = Transpose(e) {perm=[0,1,2]} "f"
g = Concat(f) {axis=1} "g"
h = Sum(g) "h"
i = Mul(one, h) "i"
j = Div(i, one) "j"
y = Relu(j) "r"
`, want: "Relu", report: "drop-no-op 10"},
		{name: "a graph output keeps its name", text: head + `a = Relu(x) "a"
y = Identity(a) "y"
`, want: "Relu"},
		{name: "an input can't take an output's name", text: head + `y = Identity(x) "y"
`, want: "Identity", rule: "drop-no-op", root: "y", miss: "a name that its input can't take"},
		{name: "a Cast to another type", text: head + `a = Cast(x) {to=1} "a"
y = Cast(a) {to=11} "y"
`, want: "Cast Cast", rule: "drop-no-op", root: "a", miss: "it makes float of double"},
		{name: "1 that widens", text: head + `init one double[1,1,1,1] = [1]
init zero int64[1] = [0]
a = Mul(x, one) "a"
y = Squeeze(a, zero) "y"
`, want: "Mul Squeeze", rule: "drop-no-op", root: "a", miss: "it makes [1,batch,sequence,4] of [batch,sequence,4]"},
		{name: "a Dropout that the caller keeps", opts: keep, text: head + `a = Dropout(x) "peft/dropout"
y = Dropout(a) "base/dropout"
`, want: "Dropout", rule: "drop-no-op", root: "y", miss: "the caller keeps it"},
		{name: "a mask that is read", text: mask + `y, m = Dropout(x) "y"
`, want: "Dropout", rule: "drop-no-op", root: "y", miss: "its mask is read"},
	})
}

// Training mode is random, so the outputs can't be compared.
func TestDropoutInTrainingStays(t *testing.T) {
	g := graphtest.MustParse(t, `graph "t" (x float[4]) => (y float[4])
opset 21
init ratio float[] = [0.5]
init on bool[] = [1]
a = Dropout(x, ratio, on) "d"
y = Relu(a) "r"
`)
	after, report := rewrite(t, g, Options{})
	if operators(after) != "Dropout Relu" || len(report) > 0 {
		t.Errorf("%s\n%s", report, after)
	}
}
