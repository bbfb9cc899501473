package rewrite

import (
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// Each operator is raised from an old definition, and computes the same.
func TestRaiseOpset(t *testing.T) {
	const head = `graph "t" (x double[batch,sequence,4]) => (y double[...])
opset `
	for _, c := range []struct{ name, text, want string }{
		{"Squeeze and Unsqueeze", `7
a = Unsqueeze(x) {axes=[0,2]} "a"
y = Squeeze(a) {axes=[2]} "y"
`, "Unsqueeze Squeeze"},
		{"reductions", `11
a = ReduceSum(x) {axes=[-1],keepdims=1} "a"
b = ReduceMean(x) {axes=[-1]} "b"
c = ReduceMax(x) {axes=[2]} "c"
d = ReduceMean(x) {keepdims=1} "d"
e = Sum(a, b, c, d) "e"
y = ReduceSum(e) {axes=[1],keepdims=0} "y"
`, "ReduceSum ReduceMean ReduceMax ReduceMean Sum ReduceSum"},
		{"Slice", `9
a = Slice(x) {axes=[2,1],ends=[3,100],starts=[1,0]} "a"
y = Slice(a) {ends=[1],starts=[0]} "y"
`, "Slice Slice"},
		{"Clip", `7
a = Clip(x) {max=1f,min=-0.5f} "a"
b = Clip(a) {max=0.75f} "b"
y = Clip(b) "y"
`, "Clip Clip Clip"},
		{"Pad", `10
a = Pad(x) {pads=[0,1,0,0,0,2],value=3f} "a"
y = Pad(a) {mode="edge",pads=[0,0,1,0,0,0]} "y"
`, "Pad Pad"},
		{"Split", `11
a, b = Split(x) {axis=2,split=[1,3]} "a"
c, d = Split(x) {axis=2} "c"
e = Concat(b, a, c) {axis=2} "e"
y = Concat(e, d) {axis=2} "y"
`, "Split Split Concat Concat"},
		{"TopK", `9
y, i = TopK(x) {axis=2,k=2} "y"
`, "TopK"},
		{"Dropout", `7
a = Dropout(x) {ratio=0.1f} "a"
y = Relu(a) "y"
`, "Dropout Relu"},
		{"Softmax over the last axis", `11
a = Softmax(x) {axis=2} "a"
y = LogSoftmax(a) {axis=-1} "y"
`, "Softmax LogSoftmax"},
		{"Softmax over all axes but the first", `11
y = Softmax(x) "y"
`, "Flatten Softmax Shape Reshape"},
		{"LogSoftmax in the middle of a network", `8
a = Relu(x) "a"
b = LogSoftmax(a) {axis=1} "b"
y = Add(b, x) "y"
`, "Relu Flatten LogSoftmax Shape Reshape Add"},
		{"Gather, MatMul, Gemm and others as they are", `9
init i int64[2] = [0,1]
init w double[4,3]
init v double[3]
init shape int64[2] = [-1,4]
a = Gather(x, i) {axis=2} "a"
b = Gather(x, i) {axis=2} "b"
c = Concat(a, b) {axis=-1} "c"
d = Reshape(c, shape) "d"
e = Gemm(d, w, v) {alpha=0.5f} "e"
f = Erf(e) "f"
g = Transpose(f) {perm=[1,0]} "g"
y = Exp(g) "y"
`, "Gather Gather Concat Reshape Gemm Erf Transpose Exp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := graphtest.MustParse(t, head+c.text)
			after := before.Clone()
			if _, err := RaiseOpset(after, 21); err != nil {
				t.Fatal(err)
			}
			if err := after.Check(); err != nil {
				t.Fatal(err)
			}
			if got := operators(after); got != c.want || after.Opset() != 21 || after.IRVersion != 10 {
				t.Errorf("opset %d, IR %d, operators %q, want %q\n%s", after.Opset(), after.IRVersion, got, c.want, after)
			}
			sameOutputs(t, before, after, 1e-9)
		})
	}
}

func TestRaiseOpsetRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an operator without an adapter": {`graph "t" (x float[1,1,2,2]) => (y float[...])
opset 9
init s float[4] = [1,1,2,2]
y = Upsample(x, s) "up"
`, `node Upsample "up": Upsample changed in version 10`},
		"an old operator set": {`graph "t" (x float[2]) => (y float[2])
opset 6
y = Relu(x) "r"
`, "the oldest that can be raised is 7"},
		"a Softmax of unknown rank": {`graph "t" (x float[...]) => (y float[...])
opset 11
y = Softmax(x) "soft"
`, `node Softmax "soft": the rank of`},
		"an input that is absent": {`graph "t" (x float[2]) => (y float[2])
opset 11
y = Add(x, _) "sum"
`, `node Add "sum": input 1 is required and absent`},
		"a mask that is read": {`graph "t" (x float[2]) => (z float[2])
opset 7
y, m = Dropout(x) "d"
z = Add(y, m) "z"
`, `node Dropout "d": its mask is read`},
	} {
		t.Run(name, func(t *testing.T) {
			g := graphtest.MustParse(t, c.text)
			before := g.String()
			_, err := RaiseOpset(g, 21)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if g.String() != before {
				t.Errorf("the graph was changed:\n%s", g)
			}
		})
	}
}

func TestRaiseOpsetLeavesNewerGraphs(t *testing.T) {
	g := graph.New("t")
	g.Opsets[""] = 23
	if n, err := RaiseOpset(g, 21); n != 0 || err != nil || g.Opset() != 23 {
		t.Errorf("%d nodes, %v, opset %d", n, err, g.Opset())
	}
	if _, err := RaiseOpset(g, 99); err == nil {
		t.Error("no error for an opset that nobody knows yet")
	}
}

func TestLowerOpset(t *testing.T) {
	const head = `graph "t" (q double[batch,2,3,4], k double[batch,2,5,4]) => (y double[batch,2,3,4])
opset 23
`
	runCases(t, []rewriteCase{
		{name: "once nothing needs the newer one", text: head + `y = Attention(q, k, k) "y"
`, want: "Transpose MatMul Mul Softmax MatMul", report: "lower-opset 1, split-attention 1"},
		{name: "an operator that is new", text: head + `y = Attention(q, k, k) {is_causal=1} "y"
`, want: "Attention", report: ""},
	})
	g := graphtest.MustParse(t, head+`init w double[4]
y = RMSNormalization(q, w) "y"
`)
	if _, err := Canonical(g, Options{}); err != nil || g.Opset() != 23 {
		t.Errorf("opset %d, %v", g.Opset(), err)
	}
}

// An adapter for a version that the operator doesn't have would never run.
func TestAdaptersAreForVersionsThatExist(t *testing.T) {
	for op, byVersion := range adapters {
		for since := range byVersion {
			found := false
			for _, r := range schemas[op] {
				found = found || r.since == since
			}
			if !found {
				t.Errorf("%s has no version %d", op, since)
			}
		}
	}
}
