package metric

import (
	"math"

	"github.com/peftgraph/peftgraph/internal/numeric"
)

// CalibrationBins is how many bins published expected calibration errors have.
const CalibrationBins = 15

// Softmax returns the probabilities of logits that are divided by a temperature.
func Softmax(logits []float64, temperature float64) []float64 {
	out := make([]float64, len(logits))
	sum := 0.0
	for i, p := range peaked(logits, 1/temperature) {
		out[i] = p
		sum += p
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// peaked returns exp(β·(z - max z)).
func peaked(logits []float64, beta float64) []float64 {
	top := math.Inf(-1)
	for _, z := range logits {
		top = max(top, z)
	}
	out := make([]float64, len(logits))
	for i, z := range logits {
		out[i] = math.Exp(beta * (z - top))
	}
	return out
}

// LogLoss is the mean of -ln of the true class's probability; probabilities, [examples][classes], are kept 2^-52 away from 0 and 1, as
// scikit-learn does. NaN when there are no examples.
func LogLoss(probabilities [][]float64, truth []int) float64 {
	sameLength("log loss", len(truth), len(probabilities))
	const eps = 0x1p-52
	sum := 0.0
	for i, p := range probabilities {
		sum -= math.Log(min(max(p[truth[i]], eps), 1-eps))
	}
	return sum / float64(len(truth))
}

// ECE is the expected calibration error (Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017): examples
// are put by their highest probability into bins of equal width, (b/bins, (b+1)/bins]; it is the mean of the bins' |share of right
// predictions - mean probability|, by their number of examples. probabilities are [examples][classes]. NaN when there are none.
func ECE(probabilities [][]float64, truth []int, bins int) float64 {
	sameLength("calibration error", len(truth), len(probabilities))
	gap := make([]float64, bins) // Σ right - Σ probability
	for i, p := range probabilities {
		class := numeric.Argmax(p)
		b := 0
		for b < bins-1 && p[class] > float64(b+1)/float64(bins) {
			b++
		}
		if class == truth[i] {
			gap[b]++
		}
		gap[b] -= p[class]
	}
	sum := 0.0
	for _, g := range gap {
		sum += math.Abs(g)
	}
	return sum / float64(len(truth))
}

// The bounds of [Temperature].
const (
	MinTemperature = 0.01
	MaxTemperature = 100
)

// Temperature returns the T for which the probabilities softmax(logits / T) of held-out examples have the least log loss (temperature
// scaling, Guo et al. 2017); logits are [examples][classes]. In 1/T the loss is convex, so that its derivative is bisected. The result
// is MinTemperature where every example is right (the loss then falls for ever) and MaxTemperature where the logits say nothing.
func Temperature(logits [][]float64, truth []int) float64 {
	sameLength("temperature", len(truth), len(logits))
	lo, hi := 1.0/MaxTemperature, 1.0/MinTemperature
	if len(logits) == 0 {
		return 1
	}
	if lossSlope(logits, truth, lo) >= 0 {
		return MaxTemperature
	}
	if lossSlope(logits, truth, hi) <= 0 {
		return MinTemperature
	}
	for {
		beta := lo + (hi-lo)/2
		if beta <= lo || beta >= hi {
			return 1 / beta
		}
		if lossSlope(logits, truth, beta) < 0 {
			lo = beta
		} else {
			hi = beta
		}
	}
}

// lossSlope is the derivative of the log loss by β = 1/T, times the number of examples: Σ (mean logit under the probabilities - true
// class's logit).
func lossSlope(logits [][]float64, truth []int, beta float64) float64 {
	sum := 0.0
	for i, z := range logits {
		mean, total := 0.0, 0.0
		for j, p := range peaked(z, beta) {
			mean += p * (z[j] - z[truth[i]])
			total += p
		}
		sum += mean / total
	}
	return sum
}
