package metric

import (
	"math"
	"slices"
	"sort"
)

// constant tells whether all values are equal: exactly, for a mean that is rounded would tell otherwise.
func constant(x []float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return v != x[0] })
}

// deviations returns x minus its mean. The first value is taken off before the mean, so that values which hardly differ keep their
// differences.
func deviations(x []float64) []float64 {
	out := make([]float64, len(x))
	sum := 0.0
	for i, v := range x {
		out[i] = v - x[0]
		sum += out[i]
	}
	for i := range out {
		out[i] -= sum / float64(len(x))
	}
	return out
}

// normalized divides values by their Euclidean norm, whatever their size.
func normalized(x []float64) []float64 {
	largest, norm := 0.0, 0.0
	for _, v := range x {
		largest = max(largest, math.Abs(v))
	}
	for i := range x {
		x[i] /= largest
		norm += x[i] * x[i]
	}
	for i := range x {
		x[i] /= math.Sqrt(norm)
	}
	return x
}

// Pearson is the correlation coefficient; NaN when one side is constant, has a NaN, or is empty.
func Pearson(x, y []float64) float64 {
	sameLength("pearson", len(x), len(y))
	if constant(x) || constant(y) {
		return math.NaN()
	}
	dx, dy := normalized(deviations(x)), normalized(deviations(y))
	r := 0.0
	for i := range dx {
		r += dx[i] * dy[i]
	}
	return min(max(r, -1), 1)
}

// Spearman is the correlation of the ranks, equal values sharing the mean of their places; NaN as for [Pearson].
func Spearman(x, y []float64) float64 {
	return Pearson(ranks(x), ranks(y))
}

// ranks numbers the values from the smallest; it is all NaN when a value is.
func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	out := make([]float64, len(x))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return x[order[a]] < x[order[b]] })
	for lo := 0; lo < len(x); {
		hi := lo + 1
		for hi < len(x) && x[order[hi]] == x[order[lo]] {
			hi++
		}
		for _, i := range order[lo:hi] {
			out[i] = float64(lo+hi-1) / 2
		}
		lo = hi
	}
	if slices.ContainsFunc(x, math.IsNaN) {
		for i := range out {
			out[i] = math.NaN()
		}
	}
	return out
}

// MSE is the mean squared error; NaN when there are no values.
func MSE(truth, predicted []float64) float64 {
	return meanOf(truth, predicted, func(e float64) float64 { return e * e })
}

// MAE is the mean absolute error; NaN when there are no values.
func MAE(truth, predicted []float64) float64 {
	return meanOf(truth, predicted, math.Abs)
}

func meanOf(truth, predicted []float64, of func(float64) float64) float64 {
	sameLength("error", len(truth), len(predicted))
	sum := 0.0
	for i := range truth {
		sum += of(predicted[i] - truth[i])
	}
	return sum / float64(len(truth))
}

// R2 is the coefficient of determination, 1 - Σ(truth - predicted)² / Σ(truth - mean)². NaN when the truth is constant, where
// scikit-learn puts 1 or 0 unless it is told force_finite=False.
func R2(truth, predicted []float64) float64 {
	sameLength("r2", len(truth), len(predicted))
	if constant(truth) {
		return math.NaN()
	}
	spread := 0.0
	for _, d := range deviations(truth) {
		spread += d * d
	}
	return 1 - MSE(truth, predicted)*float64(len(truth))/spread
}
