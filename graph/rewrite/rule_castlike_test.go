package rewrite

import "testing"

func TestStaticCastLike(t *testing.T) {
	runCases(t, []rewriteCase{
		{name: "from an integer", text: `graph "t" (x int64[batch], like double[batch,2]) => (y double[batch])
opset 21
y = CastLike(x, like) "c"
`, want: "Cast", report: "static-cast-like 1"},
		{name: "to the same type", text: `graph "t" (x double[batch], like double[batch,2]) => (y double[batch])
opset 21
a = CastLike(x, like) "a"
y = Relu(a) "y"
`, want: "Relu"},
	})
}
