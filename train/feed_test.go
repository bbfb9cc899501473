package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDraw(t *testing.T) {
	for _, rate := range []float64{0, 0.1, 0.5, 0.999} {
		keep := make([]bool, 1<<18)
		draw(keep, rate, rand.NewPCG(1, 2))
		kept := 0
		for _, k := range keep {
			if k {
				kept++
			}
		}
		share := float64(kept) / float64(len(keep))
		if deviation := math.Sqrt(rate * (1 - rate) / float64(len(keep))); math.Abs(share-(1-rate)) > 4*deviation+1.0/(1<<16) {
			t.Errorf("rate %v: %.4f of the elements are kept", rate, share)
		}
		for n := range 10 {
			part := make([]bool, n)
			if draw(part, rate, rand.NewPCG(1, 2)); !slices.Equal(part, keep[:n]) {
				t.Errorf("rate %v: %d elements are %v, the first of many %v", rate, n, part, keep[:n])
			}
		}
	}
}
