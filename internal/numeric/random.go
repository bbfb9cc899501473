package numeric

import (
	"math"
	"math/rand/v2"
)

// Uniform draws n values from U(−bound, bound).
func Uniform(rng *rand.Rand, n int, bound float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32((2*rng.Float64() - 1) * bound)
	}
	return out
}

// Normal draws n values from N(0, std²).
func Normal(rng *rand.Rand, n int, std float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64() * std)
	}
	return out
}

// TruncatedNormal draws n values from N(0, std²) within two standard deviations.
func TruncatedNormal(rng *rand.Rand, n int, std float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		x := rng.NormFloat64()
		for math.Abs(x) > 2 {
			x = rng.NormFloat64()
		}
		out[i] = float32(x * std)
	}
	return out
}
