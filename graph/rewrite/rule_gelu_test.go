package rewrite

import "testing"

const geluHead = `graph "t" (x double[batch,sequence,4]) => (y double[batch,sequence,4])
opset 20
init half double[] = [0.5]
init one double[] = [1]
init two double[] = [2]
init three double[] = [3]
init root2 double[] = [1.4142135623730951]
init inverse double[] = [0.7071067811865476]
init k double[] = [0.7978845608028654]
init c double[] = [0.044715]
`

const torchGelu = geluHead + `a = Div(x, root2) "act/Div"
e = Erf(a) "act/Erf"
s = Add(e, one) "act/Add"
p = Mul(x, s) "act/Mul"
y = Mul(p, half) "act/Mul_1"
`

func TestFuseGelu(t *testing.T) {
	kept := "Div Erf Add Mul Mul"
	runCases(t, []rewriteCase{
		{name: "legacy PyTorch", text: torchGelu, want: "Gelu", report: "fuse-gelu 1"},
		{name: "dynamo", text: edit(torchGelu, "p = Mul(x, s)", "p = Mul(half, s)", "Mul(p, half)", "Mul(x, p)"), want: "Gelu"},
		{name: "half on x", text: edit(torchGelu, "p = Mul(x, s)", "p = Mul(x, half)", "Mul(p, half)", "Mul(s, p)"), want: "Gelu"},
		{name: "swapped", text: edit(torchGelu, "Add(e, one)", "Add(one, e)", "Mul(x, s)", "Mul(s, x)", "Mul(p, half)", "Mul(half, p)"), want: "Gelu"},
		{name: "a product for the root", text: edit(torchGelu, "Div(x, root2)", "Mul(inverse, x)"), want: "Gelu"},
		{name: "divided by two", text: edit(torchGelu, "Mul(p, half)", "Div(p, two)"), want: "Gelu"},
		{name: "half inside", text: edit(torchGelu, `s = Add(e, one)`, "h = Mul(e, half) \"h\"\ns = Add(h, half)",
			"p = Mul(x, s) \"act/Mul\"\n", "", "Mul(p, half)", "Mul(x, s)"), want: "Gelu"},
		{name: "five decimal places", text: edit(torchGelu, "root2 double[] = [1.4142135623730951]", "root2 double[] = [1.414213562]"), want: "Gelu"},
		{name: "x is a sum and a product follows", want: "Add Gelu Mul", text: edit(torchGelu, "a = Div(x, root2)", "u = Add(x, one) \"u\"\na = Div(u, root2)",
			"Mul(x, s)", "Mul(u, s)", `y = Mul(p, half) "act/Mul_1"`, "g = Mul(p, half) \"act/Mul_1\"\ny = Mul(g, x) \"y\"")},
		{name: "another half", text: edit(torchGelu, "half double[] = [0.5]", "half double[] = [0.4]"), want: kept,
			rule: "fuse-gelu", root: "y", miss: "this is not ½·(1+Erf(…))"},
		{name: "another root", text: edit(torchGelu, "root2 double[] = [1.4142135623730951]", "root2 double[] = [1.41]"), want: kept,
			rule: "fuse-gelu", root: "y", miss: "its argument is not"},
		{name: "another argument", text: edit(torchGelu, "a = Div(x, root2)", "z = Relu(x) \"z\"\na = Div(z, root2)"), want: "Relu " + kept,
			rule: "fuse-gelu", root: "y", miss: "its argument is not"},
		{name: "a difference", text: edit(torchGelu, "Add(e, one)", "Sub(e, one)"), want: "Div Erf Sub Mul Mul",
			rule: "fuse-gelu", root: "y", miss: "no factor is 1+Erf(…)"},
		{name: "a square of x", text: edit(torchGelu, `y = Mul(p, half)`, "pp = Mul(p, x) \"pp\"\ny = Mul(pp, half)"), want: "Div Erf Add Mul Mul Mul",
			rule: "fuse-gelu", root: "y", miss: "a product of 3 values"},
		{name: "an inner value is read", text: edit(torchGelu, "=> (y", "=> (e double[?,?,?], y"), want: kept,
			rule: "fuse-gelu", root: "y", miss: `"e" is an output of the graph`},
	})
}

const tanhGelu = geluHead + `x3 = Pow(x, three) "act/Pow"
cx = Mul(x3, c) "act/Mul"
i = Add(x, cx) "act/Add"
u = Mul(i, k) "act/Mul_1"
t = Tanh(u) "act/Tanh"
s = Add(t, one) "act/Add_1"
h = Mul(x, half) "act/Mul_2"
y = Mul(h, s) "act/Mul_3"
`

func TestFuseGeluTanh(t *testing.T) {
	runCases(t, []rewriteCase{
		{name: "gelu_new", text: tanhGelu, want: "Gelu", report: "fuse-gelu-tanh 1"},
		{name: "the cube as a product", want: "Gelu", text: edit(tanhGelu, `x3 = Pow(x, three)`, "x2 = Mul(x, x) \"x2\"\nx3 = Mul(x2, x)")},
		{name: "swapped", want: "Gelu", text: edit(tanhGelu, "Mul(x3, c)", "Mul(c, x3)", "Add(x, cx)", "Add(cx, x)", "Mul(i, k)", "Mul(k, i)",
			"Add(t, one)", "Add(one, t)", "Mul(h, s)", "Mul(s, h)")},
		{name: "gelu_fast", want: "Gelu", text: edit(tanhGelu, `x3 = Pow(x, three) "act/Pow"
cx = Mul(x3, c) "act/Mul"
i = Add(x, cx) "act/Add"
u = Mul(i, k) "act/Mul_1"
`, `kx = Mul(x, k) "kx"
cx = Mul(x, c) "cx"
cxx = Mul(cx, x) "cxx"
i = Add(cxx, one) "i"
u = Mul(kx, i) "u"
`)},
		{name: "a square for the cube", text: edit(tanhGelu, "Pow(x, three)", "Pow(x, two)"), want: "Pow Mul Add Mul Tanh Add Mul Mul",
			rule: "fuse-gelu-tanh", root: "y", miss: "its argument is not √(2/π)"},
		{name: "another coefficient", text: edit(tanhGelu, "[0.044715]", "[0.0447]"), want: "Pow Mul Add Mul Tanh Add Mul Mul",
			rule: "fuse-gelu-tanh", root: "y", miss: "its argument is not √(2/π)"},
		{name: "a sigmoid", text: edit(tanhGelu, "Tanh(u)", "Sigmoid(u)"), want: "Pow Mul Add Mul Sigmoid Add Mul Mul",
			rule: "fuse-gelu-tanh", root: "y", miss: "Tanh is needed here"},
		{name: "the argument is read", text: edit(tanhGelu, "=> (y", "=> (u double[?,?,?], y"), want: "Pow Mul Add Mul Tanh Add Mul Mul",
			rule: "fuse-gelu-tanh", root: "y", miss: `"u"`},
	})
}
