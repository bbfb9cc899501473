package rewrite

import "testing"

func TestStaticReshape(t *testing.T) {
	const head = `graph "t" (x double[batch,sequence,4]) => (y double[?,?,?,?])
opset 21
init zero int64[] = [0]
init one int64[] = [1]
init at int64[1] = [0]
init two int64[1] = [2]
init rest int64[1] = [-1]
s = Shape(x) "s"
b = Gather(s, zero) "b"
b1 = Unsqueeze(b, at) "b1"
n = Gather(s, one) "n"
n1 = Unsqueeze(n, at) "n1"
`
	runCases(t, []rewriteCase{
		{name: "sizes of the input", text: head + `t = Concat(b1, n1, two, two) {axis=0} "t"
y = Reshape(x, t) {allowzero=1} "y"
`, want: "Reshape", report: "static-reshape 1"},
		{name: "one size that is left", text: head + `t = Concat(b1, rest, two, two) {axis=0} "t"
y = Reshape(x, t) "y"
`, want: "Reshape"},
		{name: "a product", text: edit(head, "y double[?,?,?,?]", "y double[?,?]") + `p = Mul(b1, n1) "p"
q = Concat(two, two) {axis=0} "q"
r = ReduceProd(q) {keepdims=1} "r"
t = Concat(p, r) {axis=0} "t"
y = Reshape(x, t) "y"
`, want: "Reshape"},
		{name: "two sizes at other places", text: head + `t = Concat(two, b1, n1, two) {axis=0} "t"
y = Reshape(x, t) "y"
`, want: "Shape Gather Unsqueeze Gather Unsqueeze Concat Reshape",
			rule: "static-reshape", root: "y", miss: "2 sizes that are neither numbers nor the input's"},
	})
}
