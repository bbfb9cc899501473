//go:build unix

package main

import (
	"testing"

	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

func TestMatmulFlops(t *testing.T) {
	sizes := map[string]int64{"batch": 2, "sequence": 3}
	for text, want := range map[string]float64{
		`graph "g" (x float[batch,sequence,4], w float[4,5]) => (y)
			opset 17
			y = MatMul(x, w)`: 2 * 2 * 3 * 4 * 5,
		`graph "g" (x float[batch,4,sequence], y float[batch,sequence,4]) => (z)
			opset 17
			z = MatMul(x, y)`: 2 * 2 * 4 * 3 * 4,
		`graph "g" (x float[sequence,4], w float[sequence,5], b float[5]) => (y)
			opset 17
			y = Gemm(x, w, b) {transA=1}`: 2 * 4 * 3 * 5,
		`graph "g" (x float[4], w float[4,5]) => (y)
			opset 17
			a = MatMul(x, w)
			y = Add(a, a)`: 2 * 4 * 5,
	} {
		g := graphtest.MustParse(t, text)
		if err := shape.Infer(g); err != nil {
			t.Fatal(err)
		}
		got, err := matmulFlops(g, sizes)
		if err != nil || got != want {
			t.Errorf("%s\n%v operations (%v), want %v", text, got, err, want)
		}
		if _, err := matmulFlops(g, nil); err == nil && len(g.Inputs()[0].Shape) > 1 {
			t.Errorf("%s\nsizes that are not known were counted", text)
		}
	}
}

func TestChain(t *testing.T) {
	g, err := chainGraph(16, 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := matmulFlops(g, nil); err != nil || got != 20*2*16*8*32 {
		t.Errorf("%v operations (%v)", got, err)
	}
}

func TestMedianLeavesOutDisturbedRounds(t *testing.T) {
	r := &rounds{turns: [][]turn{{{1, 1}, {2, 1}}, {{1, 1}, {5, 1}}, {{2, 1}, {6, 1}}}}
	if got := r.median(func(s []float64) float64 { return s[1] / s[0] }); got != 3 {
		t.Errorf("median of ratios %v, want 3", got)
	}
	r = &rounds{turns: [][]turn{{{1, 1}}, {{9, 0.5}}, {{1, 0.97}}, {{2, 0.96}}, {{2, 0.99}}}}
	r.leaveOutDisturbed(4)
	if len(r.turns) != 4 || r.Disturbed != 1 {
		t.Errorf("%d rounds are left, %d were disturbed", len(r.turns), r.Disturbed)
	}
	r = &rounds{turns: [][]turn{{{1, 1}}, {{9, 0.5}}}}
	r.leaveOutDisturbed(2)
	if len(r.turns) != 2 || r.Disturbed != 1 {
		t.Errorf("%d rounds are left, %d were disturbed: too few calm ones to go without the others", len(r.turns), r.Disturbed)
	}
}
