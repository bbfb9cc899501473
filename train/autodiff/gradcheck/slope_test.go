package gradcheck

import (
	"errors"
	"math"
	"testing"
)

func TestSlope(t *testing.T) {
	for name, c := range map[string]struct {
		f    func(h float64) float64
		want float64
	}{
		"linear": {func(h float64) float64 { return 1 + 3*h }, 3},
		"curved": {func(h float64) float64 { return math.Exp(2*h) * math.Cos(h) }, 2},
		"steep":  {func(h float64) float64 { return math.Tanh(100 * h) }, 100},
		"flat":   {func(float64) float64 { return 0.7 }, 0},
		// Steps that reach beyond the kink see another slope.
		"near a kink": {func(h float64) float64 { return math.Sin(h) + math.Max(0, h-1e-3) }, 1},
	} {
		got, err := Slope(DefaultStep, func(h float64) (float64, error) { return c.f(h), nil })
		if err != nil || !(math.Abs(got-c.want) <= 1e-11*math.Max(1, c.want)) {
			t.Errorf("%s: slope %v, want %v, %v", name, got, c.want, err)
		}
	}
	if got, err := Slope(DefaultStep, func(float64) (float64, error) { return math.NaN(), nil }); err != nil || !math.IsNaN(got) {
		t.Errorf("of NaN: %v, %v", got, err)
	}
	bad := errors.New("bad")
	if _, err := Slope(DefaultStep, func(float64) (float64, error) { return 0, bad }); err != bad {
		t.Errorf("error %v, want the function's", err)
	}
}
