package metric

import "math"

// Perplexity is exp of the mean negative log-likelihood (natural logarithm) of tokens; NaN when there are none.
func Perplexity(nll []float64) float64 {
	sum := 0.0
	for _, v := range nll {
		sum += v
	}
	return math.Exp(sum / float64(len(nll)))
}
