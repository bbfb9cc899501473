package rewrite

import (
	"testing"

	"github.com/peftgraph/peftgraph/internal/graphtest"
)

func TestUntransposeWeight(t *testing.T) {
	const cube = `graph "t" (x double[batch,sequence,4]) => (y double[batch,sequence,3])
opset 21
init W double[3,4]
w = Transpose(W) {perm=[1,0]} "w"
y = MatMul(x, w) "y"
`
	matrix := edit(cube, "(x double[batch,sequence,4])", "(x double[batch,4])", "y double[batch,sequence,3]", "y double[batch,3]")
	runCases(t, []rewriteCase{
		{name: "a matrix", text: matrix, want: "Gemm", report: "untranspose-weight 1"},
		{name: "the default order of axes", text: edit(matrix, " {perm=[1,0]}", ""), want: "Gemm"},
		{name: "a batch of matrices", text: cube, opts: Options{Contrib: true}, want: "FusedMatMul"},
		{name: "plain ONNX", text: cube, want: "Transpose MatMul", rule: "untranspose-weight", root: "y", miss: "operators outside of ai.onnx are not allowed"},
		{name: "no constant", text: edit(matrix, "(x double[batch,4])", "(x double[batch,4], W double[3,4])", "init W double[3,4]\n", ""),
			want: "Transpose MatMul", rule: "untranspose-weight", root: "y", miss: "is no constant matrix"},
	})
}

// Two clusters of one scope that become the same operator don't become two nodes of one name.
func TestNodeNamesStayDistinct(t *testing.T) {
	after, _ := rewrite(t, graphtest.MustParse(t, `graph "t" (x double[batch,4]) => (y double[batch,3])
opset 21
init A double[2,4]
init B double[3,2]
a = Transpose(A) {perm=[1,0]} "low/a"
b = Transpose(B) {perm=[1,0]} "low/b"
u = MatMul(x, a) "low/u"
y = MatMul(u, b) "low/y"
`), Options{})
	seen := map[string]bool{}
	for _, n := range after.Nodes() {
		if seen[n.Name] {
			t.Errorf("two nodes are called %q", n.Name)
		}
		seen[n.Name] = true
	}
	if got := operators(after); got != "Gemm Gemm" {
		t.Errorf("operators %q", got)
	}
}
