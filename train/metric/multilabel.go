package metric

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// A LabelReport says how well several yes-or-no labels per example were predicted, as scikit-learn has it for a label indicator
// matrix.
type LabelReport struct {
	Micro    Score   `json:"micro"`
	Macro    Score   `json:"macro"`
	Weighted Score   `json:"weighted"`
	Samples  Score   `json:"samples"`  // the mean over the examples; its support is all examples' added up
	Labels   []Score `json:"labels"`   // one per label
	Accuracy float64 `json:"accuracy"` // the share of examples with every label right
	Hamming  float64 `json:"hamming"`  // the share of labels that are wrong
}

// LabelScores compares truth and predictions, both [examples][labels]; of no examples everything is 0.
func LabelScores(truth, predicted [][]bool) LabelReport {
	sameLength("label scores", len(truth), len(predicted))
	if len(truth) == 0 {
		return LabelReport{}
	}
	labels, rows := make([]counts, len(truth[0])), make([]counts, len(truth))
	exact, wrong := 0, 0
	for i := range truth {
		sameLength(fmt.Sprintf("label scores: example %d", i), len(labels), len(truth[i]))
		sameLength(fmt.Sprintf("label scores: example %d", i), len(truth[i]), len(predicted[i]))
		before := wrong
		for k := range truth[i] {
			labels[k].add(truth[i][k], predicted[i][k])
			rows[i].add(truth[i][k], predicted[i][k])
			if truth[i][k] != predicted[i][k] {
				wrong++
			}
		}
		if wrong == before {
			exact++
		}
	}
	return LabelReport{
		Micro: micro(labels), Macro: macro(labels), Weighted: weighted(labels), Samples: macro(rows), Labels: scores(labels),
		Accuracy: share(exact, len(rows)), Hamming: share(wrong, len(rows)*len(labels)),
	}
}

func (c *counts) add(truth, predicted bool) {
	if truth {
		c.actual++
	}
	if predicted {
		c.predicted++
	}
	if truth && predicted {
		c.hits++
	}
}

// Positive returns which scores, [examples][labels], are at least their label's threshold.
func Positive(scores [][]float64, thresholds []float64) [][]bool {
	out := make([][]bool, len(scores))
	for i, row := range scores {
		sameLength(fmt.Sprintf("thresholds: example %d", i), len(thresholds), len(row))
		out[i] = make([]bool, len(row))
		for k, s := range row {
			out[i][k] = s >= thresholds[k]
		}
	}
	return out
}

// A cut is what is predicted positive when the threshold lies between two different scores: seen examples, of which hits are true.
type cut struct {
	seen, hits  int
	above, next float64 // the lowest score that is positive, and the highest that isn't: -Inf behind the last
}

// cuts lists them from the highest score down, equal scores in one.
func cuts(scores []float64, truth []bool) []cut {
	sameLength("scores", len(truth), len(scores))
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return scores[order[a]] > scores[order[b]] })
	var out []cut
	hits := 0
	for n, i := range order {
		if truth[i] {
			hits++
		}
		next := math.Inf(-1)
		if n+1 < len(order) {
			if next = scores[order[n+1]]; next == scores[i] {
				continue
			}
		}
		out = append(out, cut{seen: n + 1, hits: hits, above: scores[i], next: next})
	}
	return out
}

// AveragePrecision is Σ (R_n - R_n-1)·P_n over the thresholds, the area under the precision-recall curve without interpolation; 0
// when nothing is true, as in scikit-learn, and NaN when a score is.
func AveragePrecision(scores []float64, truth []bool) float64 {
	if slices.ContainsFunc(scores, math.IsNaN) {
		return math.NaN()
	}
	all := cuts(scores, truth)
	if len(all) == 0 || all[len(all)-1].hits == 0 {
		return 0
	}
	sum, before := 0.0, 0
	for _, c := range all {
		sum += float64(c.hits-before) * share(c.hits, c.seen)
		before = c.hits
	}
	return sum / float64(before)
}

// AveragePrecisions returns the average precision of each label, their mean, and that of all labels' scores taken as one list.
// scores and truth are [examples][labels].
func AveragePrecisions(scores [][]float64, truth [][]bool) (labels []float64, macro, micro float64) {
	columns, answers := columns(scores), columns(truth)
	sameLength("average precisions: labels", len(answers), len(columns))
	for k := range columns {
		labels = append(labels, AveragePrecision(columns[k], answers[k]))
		macro += labels[k] / float64(len(columns))
	}
	return labels, macro, AveragePrecision(slices.Concat(columns...), slices.Concat(answers...))
}

func columns[T any](rows [][]T) [][]T {
	if len(rows) == 0 {
		return nil
	}
	out := make([][]T, len(rows[0]))
	for i, row := range rows {
		sameLength(fmt.Sprintf("example %d", i), len(out), len(row))
		for k, v := range row {
			out[k] = append(out[k], v)
		}
	}
	return out
}

// BestThreshold returns the threshold that gives the best F1 when scores at least as high are taken as positive, and that F1. It lies
// midway between two neighbouring scores, or is the lowest score where all are best taken. Of equally good ones it is the highest.
// When nothing is true every threshold gives 0, and fallback is returned; so it is with NaN when a score is.
func BestThreshold(scores []float64, truth []bool, fallback float64) (threshold, f1 float64) {
	if slices.ContainsFunc(scores, math.IsNaN) {
		return fallback, math.NaN()
	}
	actual := 0
	for _, t := range truth {
		if t {
			actual++
		}
	}
	threshold = fallback
	for _, c := range cuts(scores, truth) {
		if f := (counts{c.hits, c.seen, actual}).score().F1; f > f1 {
			threshold, f1 = c.midway(), f
		}
	}
	return threshold, f1
}

// midway is above the score that isn't positive, also where no number lies between the two.
func (c cut) midway() float64 {
	if m := c.above/2 + c.next/2; m > c.next && m <= c.above {
		return m
	}
	return c.above
}

// BestThresholds is BestThreshold for each label of scores and truth, both [examples][labels].
func BestThresholds(scores [][]float64, truth [][]bool, fallback float64) []float64 {
	answers := columns(truth)
	var out []float64
	for k, column := range columns(scores) {
		t, _ := BestThreshold(column, answers[k], fallback)
		out = append(out, t)
	}
	return out
}

// BestSharedThreshold is the one threshold for all labels that gives the best micro F1.
func BestSharedThreshold(scores [][]float64, truth [][]bool, fallback float64) (threshold, f1 float64) {
	return BestThreshold(slices.Concat(scores...), slices.Concat(truth...), fallback)
}
