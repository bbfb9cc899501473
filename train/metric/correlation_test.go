package metric

import (
	"fmt"
	"math"
	"testing"
)

func TestCorrelationIsScipys(t *testing.T) {
	type pair struct {
		Truth, Pred                     []float64
		Pearson, Spearman, MSE, MAE, R2 number
	}
	for i, c := range load[pair](t, "correlation.json", "correlation") {
		what := fmt.Sprintf("case %d ", i)
		same(t, what+"pearson", Pearson(c.Truth, c.Pred), c.Pearson)
		same(t, what+"spearman", Spearman(c.Truth, c.Pred), c.Spearman)
		same(t, what+"mse", MSE(c.Truth, c.Pred), c.MSE)
		same(t, what+"mae", MAE(c.Truth, c.Pred), c.MAE)
		same(t, what+"r2", R2(c.Truth, c.Pred), c.R2)
	}
}

func TestUndefinedIsNaN(t *testing.T) {
	x, nan := []float64{1, 2, 3}, []float64{1, math.NaN(), 3}
	third := []float64{0.1, 0.1, 0.1} // whose rounded mean isn't 0.1
	for name, got := range map[string]float64{
		"pearson, constant":    Pearson(x, third),
		"spearman, constant":   Spearman(third, x),
		"r2, constant":         R2(third, x),
		"r2, constant, right":  R2(third, third),
		"pearson of nothing":   Pearson(nil, nil),
		"spearman of nothing":  Spearman(nil, nil),
		"pearson with a NaN":   Pearson(x, nan),
		"spearman with a NaN":  Spearman(nan, x),
		"r2 with a NaN":        R2(nan, x),
		"mse of nothing":       MSE(nil, nil),
		"perplexity of none":   Perplexity(nil),
		"balanced accuracy, 0": Confusion{{0, 0}, {0, 0}}.Balanced(),
		"log loss of nothing":  LogLoss(nil, nil),
		"ece of nothing":       ECE(nil, nil, 15),
	} {
		if !math.IsNaN(got) {
			t.Errorf("%s: %v, want NaN", name, got)
		}
	}
}

// TestHardlyDifferentValues has values whose mean rounds to one of them; two points always lie on a line.
func TestHardlyDifferentValues(t *testing.T) {
	x := []float64{1, math.Nextafter(1, 2)}
	if got := Pearson(x, []float64{3, 7}); math.Abs(got-1) > tolerance {
		t.Errorf("pearson %v, want 1", got)
	}
	if got := R2(x, x); got != 1 {
		t.Errorf("r2 %v, want 1", got)
	}
}
