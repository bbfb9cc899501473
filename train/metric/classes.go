package metric

import (
	"fmt"
	"math"
	"slices"
)

// Confusion counts examples by [true class][predicted class].
type Confusion [][]int

// NewConfusion counts examples of the given number of classes. It is an error when a class is outside of [0, classes).
func NewConfusion(truth, predicted []int, classes int) (Confusion, error) {
	sameLength("confusion matrix", len(truth), len(predicted))
	c := make(Confusion, classes)
	for i := range c {
		c[i] = make([]int, classes)
	}
	for i := range truth {
		for _, k := range []int{truth[i], predicted[i]} {
			if k < 0 || k >= classes {
				return nil, fmt.Errorf("metric: example %d: class %d: there are %d classes, counted from 0", i, k, classes)
			}
		}
		c[truth[i]][predicted[i]]++
	}
	return c, nil
}

// counts has the counts of each class.
func (c Confusion) counts() []counts {
	out := make([]counts, len(c))
	for i, row := range c {
		out[i].hits = row[i]
		for j, n := range row {
			out[i].actual += n
			out[j].predicted += n
		}
	}
	return out
}

// Classes returns the score of each class; Macro, Weighted and Micro sum them up. A class that is neither true nor predicted counts 0
// in Macro, as in scikit-learn when it is told all labels.
func (c Confusion) Classes() []Score { return scores(c.counts()) }

// Macro is the unweighted mean over the classes.
func (c Confusion) Macro() Score { return macro(c.counts()) }

// Weighted is the mean over the classes by their support.
func (c Confusion) Weighted() Score { return weighted(c.counts()) }

// Micro is over all examples: with one class per example all three numbers are the accuracy.
func (c Confusion) Micro() Score { return micro(c.counts()) }

// Accuracy is the share of examples whose class is right; 0 when there are none.
func (c Confusion) Accuracy() float64 { return c.Micro().Recall }

// Balanced is the balanced accuracy: the mean recall of the classes that are true of any example. NaN when there are no examples.
func (c Confusion) Balanced() float64 {
	sum, present := 0.0, 0
	for _, s := range c.Classes() {
		if s.Support > 0 {
			sum += s.Recall
			present++
		}
	}
	return sum / float64(present)
}

// agreement returns the number of examples, of right ones, and Σ true², Σ predicted², Σ true·predicted over the classes.
func (c Confusion) agreement() (total, right, true2, predicted2, cross float64) {
	for _, k := range c.counts() {
		hits, actual, predicted := float64(k.hits), float64(k.actual), float64(k.predicted)
		right += hits
		total += actual
		true2 += actual * actual
		predicted2 += predicted * predicted
		cross += actual * predicted
	}
	return total, right, true2, predicted2, cross
}

// MCC is the Matthews correlation coefficient for any number of classes (Gorodkin 2004); 0 when truth or prediction has one class
// only, as in scikit-learn.
func (c Confusion) MCC() float64 {
	total, right, true2, predicted2, cross := c.agreement()
	below := math.Sqrt(total*total-predicted2) * math.Sqrt(total*total-true2)
	if below == 0 {
		return 0
	}
	return (right*total - cross) / below
}

// Kappa is Cohen's kappa; NaN when truth and prediction have the same one class only.
func (c Confusion) Kappa() float64 {
	total, right, _, _, cross := c.agreement()
	if total*total == cross {
		return math.NaN()
	}
	return (right*total - cross) / (total*total - cross)
}

// ROCAUC is the area under the receiver operating characteristic: how often a positive example scores above a negative one, equal
// scores counting half. NaN when one of the two kinds is missing, or when a score is.
func ROCAUC(scores []float64, positive []bool) float64 {
	if slices.ContainsFunc(scores, math.IsNaN) {
		return math.NaN()
	}
	area, hits, misses := 0.0, 0, 0
	for _, c := range cuts(scores, positive) {
		area += float64(c.seen-c.hits-misses) * (float64(c.hits) + float64(hits)) / 2
		hits, misses = c.hits, c.seen-c.hits
	}
	return area / (float64(hits) * float64(misses))
}
