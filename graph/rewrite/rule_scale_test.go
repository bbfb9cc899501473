package rewrite

import "testing"

func TestMergeScales(t *testing.T) {
	const sdpa = `graph "t" (q double[batch,sequence,4], k double[batch,4,sequence]) => (y double[batch,sequence,sequence])
opset 21
init s double[] = [0.5]
init r double[1] = [0.25]
init v double[4]
a = Mul(q, s) "a"
b = Mul(r, k) "b"
y = MatMul(a, b) "y"
`
	runCases(t, []rewriteCase{
		{name: "both scaled", text: sdpa, want: "Mul MatMul", report: "merge-scales 1"},
		{name: "one scaled", text: edit(sdpa, "MatMul(a, b)", "MatMul(a, k)"), want: "Mul MatMul",
			rule: "merge-scales", root: "y", miss: `"k"`},
		{name: "scaled by a vector", text: edit(sdpa, "Mul(q, s)", "Mul(q, v)"), want: "Mul Mul MatMul",
			rule: "merge-scales", root: "y", miss: "no input is a number"},
		{name: "a scaled factor is read", text: edit(sdpa, "=> (y", "=> (a double[?,?,?], y"), want: "Mul Mul MatMul",
			rule: "merge-scales", root: "y", miss: `"a" is an output of the graph`},
	})
}
