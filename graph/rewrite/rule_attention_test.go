package rewrite

import "testing"

func TestSplitAttention(t *testing.T) {
	const head = `graph "t" (q double[batch,2,sequence,4], k double[batch,2,5,4], v double[batch,2,5,3], m double[batch,1,1,5], b bool[sequence,5]) => (y double[batch,2,sequence,3])
opset 23
`
	plain := "Transpose MatMul Mul Softmax MatMul"
	masked := "Transpose MatMul Mul Add Softmax MatMul"
	runCases(t, []rewriteCase{
		{name: "no mask", text: head + `y = Attention(q, k, v) "y"
`, want: plain, report: "lower-opset 1, split-attention 1"},
		{name: "an additive mask and a scale", text: head + `y = Attention(q, k, v, m) {scale=0.25f} "y"
`, want: masked},
		{name: "a boolean mask", text: head + `init first bool[5] = [1,0,0,0,0]
o = Or(b, first) "o"
y = Attention(q, k, v, o) "y"
`, want: "Transpose MatMul Mul Or Where Softmax MatMul"},
		{name: "causal", text: head + `y = Attention(q, k, v) {is_causal=1} "y"
`, want: "Attention", rule: "split-attention", root: "y", miss: "causal"},
		{name: "heads in the last axis", want: "Attention", rule: "split-attention", root: "y", miss: "the form with heads as an axis",
			text: `graph "t" (q double[batch,sequence,8], k double[batch,5,8], v double[batch,5,8]) => (y double[batch,sequence,8])
opset 23
y = Attention(q, k, v) {q_num_heads=2, kv_num_heads=2} "y"
`},
	})
}
