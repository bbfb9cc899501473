package rewrite

import "testing"

func TestDirectTranspose(t *testing.T) {
	const sdpa = `graph "t" (x double[batch,2,sequence,4]) => (y double[batch,2,4,sequence])
opset 21
init a int64[1] = [0]
init b int64[1] = [1]
init c int64[1] = [2]
init d int64[1] = [3]
init rest int64[1] = [-1]
init two int64[1] = [2]
init four int64[1] = [4]
s = Shape(x) "s"
n = Slice(s, c, d) "n"
first = Slice(s, a, c) "first"
t = Concat(rest, n, four) {axis=0} "t"
flat = Reshape(x, t) "flat"
swap = Transpose(flat) {perm=[0,2,1]} "swap"
u = Concat(first, four, n) {axis=0} "u"
y = Reshape(swap, u) "y"
`
	runCases(t, []rewriteCase{
		{name: "scaled dot-product attention", text: sdpa, want: "Transpose", report: "direct-transpose 1"},
		{name: "another order of axes", text: edit(sdpa, "perm=[0,2,1]", "perm=[1,2,0]", "y double[batch,2,4,sequence]", "y double[?,?,?,?]"),
			want: "Shape Slice Slice Concat Reshape Transpose Concat Reshape", rule: "direct-transpose", root: "y", miss: "it permutes [1 2 0]"},
		{name: "another shape at the end", text: edit(sdpa, "Concat(first, four, n)", "Concat(first, n, four)", "y double[batch,2,4,sequence]", "y double[?,?,?,?]"),
			want: "Shape Slice Concat Reshape Transpose Reshape", rule: "direct-transpose", root: "y", miss: "it makes [batch,2,sequence,4]"},
	})
}

func TestMergeTransposes(t *testing.T) {
	const two = `graph "t" (x double[batch,sequence,2,4]) => (y double[batch,2,4,sequence])
opset 21
a = Transpose(x) {perm=[0,2,1,3]} "a"
y = Transpose(a) {perm=[0,1,3,2]} "y"
`
	runCases(t, []rewriteCase{
		{name: "two", text: two, want: "Transpose", report: "merge-transposes 1"},
		{name: "two that undo each other", text: edit(two, "y = Transpose(a) {perm=[0,1,3,2]}", "b = Transpose(a) {perm=[0,2,1,3]} \"b\"\ny = Relu(b)",
			"y double[batch,2,4,sequence]", "y double[?,?,?,?]"), want: "Relu"},
		{name: "the one between is read", text: edit(two, "=> (y", "=> (a double[?,?,?,?], y"), want: "Transpose Transpose",
			rule: "merge-transposes", root: "y", miss: `"a" is an output of the graph`},
	})
}
