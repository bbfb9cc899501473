package metric

import (
	"fmt"
	"math"
	"testing"
)

func TestLabelScoresAreScikitLearns(t *testing.T) {
	type labels struct {
		Truth      [][]int
		Scores     [][]float64
		Thresholds []float64
		Want       LabelReport
		Precisions struct {
			Labels       []number
			Macro, Micro number
		}
	}
	for i, c := range load[labels](t, "labels.json", "labels") {
		what := fmt.Sprintf("case %d ", i)
		got := LabelScores(yes(c.Truth), Positive(c.Scores, c.Thresholds))
		sameScore(t, what+"micro", got.Micro, c.Want.Micro)
		sameScore(t, what+"macro", got.Macro, c.Want.Macro)
		sameScore(t, what+"weighted", got.Weighted, c.Want.Weighted)
		sameScore(t, what+"samples", got.Samples, c.Want.Samples)
		sameScores(t, what+"label", got.Labels, c.Want.Labels)
		same(t, what+"accuracy", got.Accuracy, number(c.Want.Accuracy))
		same(t, what+"hamming", got.Hamming, number(c.Want.Hamming))
		each, macro, micro := AveragePrecisions(c.Scores, yes(c.Truth))
		same(t, what+"average precision, macro", macro, c.Precisions.Macro)
		same(t, what+"average precision, micro", micro, c.Precisions.Micro)
		for k, want := range c.Precisions.Labels {
			same(t, what+"average precision", each[k], want)
		}
	}
}

func TestRankingOfOneLabelIsScikitLearns(t *testing.T) {
	type label struct {
		Truth            []int
		Scores           []float64
		AveragePrecision number `json:"average_precision"`
		BestF1           number `json:"best_f1"`
		AUC              number
	}
	for i, c := range load[label](t, "labels.json", "precision") {
		what, truth := fmt.Sprintf("case %d ", i), yesRow(c.Truth)
		same(t, what+"average precision", AveragePrecision(c.Scores, truth), c.AveragePrecision)
		same(t, what+"auc", ROCAUC(c.Scores, truth), c.AUC)
		threshold, f1 := BestThreshold(c.Scores, truth, 0.5)
		same(t, what+"best f1", f1, c.BestF1)
		var column [][]float64
		var answers [][]bool
		for j := range c.Scores {
			column, answers = append(column, c.Scores[j:j+1]), append(answers, truth[j:j+1])
		}
		same(t, what+"f1 at the threshold", LabelScores(answers, Positive(column, []float64{threshold})).Micro.F1, c.BestF1)
	}
}

func TestThresholds(t *testing.T) {
	nextUp := math.Nextafter(1, 2)
	for _, c := range []struct {
		scores []float64
		truth  []int
		want   float64
		f1     float64
	}{
		{[]float64{0.9, 0.7, 0.2}, []int{1, 1, 0}, 0.45, 1},
		{[]float64{0.9, 0.2}, []int{1, 1}, 0.2, 1},             // all: the lowest score
		{[]float64{0.9, 0.2}, []int{0, 0}, 0.5, 0},             // nothing to find: the fallback
		{[]float64{3, 3, 1}, []int{1, 0, 0}, 2, 2.0 / 3},       // equal scores go together
		{[]float64{4, 3, 2, 1}, []int{1, 0, 0, 0}, 3.5, 1},     // the highest
		{[]float64{4, 3, 2, 1}, []int{1, 0, 1, 1}, 1, 6.0 / 7}, // all
		{[]float64{3, 2, 1}, []int{1, 0, 1}, 1, 0.8},
		{[]float64{nextUp, 1}, []int{1, 0}, nextUp, 1}, // nothing lies between
		{[]float64{math.Inf(1), math.Inf(-1)}, []int{1, 0}, math.Inf(1), 1},
		{nil, nil, 0.5, 0},
	} {
		got, f1 := BestThreshold(c.scores, yesRow(c.truth), 0.5)
		if math.Abs(got-c.want) > tolerance || math.Abs(f1-c.f1) > tolerance {
			if got != c.want || f1 != c.f1 {
				t.Errorf("%v %v: %v with F1 %v, want %v with %v", c.scores, c.truth, got, f1, c.want, c.f1)
			}
		}
	}
	if got, f1 := BestThreshold([]float64{math.NaN(), 1}, []bool{true, false}, 0.5); got != 0.5 || !math.IsNaN(f1) {
		t.Errorf("a NaN score: %v with F1 %v", got, f1)
	}
}

func TestThresholdsOfSeveralLabels(t *testing.T) {
	scores := [][]float64{{0.9, 0.3, 0.1}, {0.6, 0.1, 0.2}, {0.2, 0.2, 0.9}}
	truth := yes([][]int{{1, 1, 0}, {1, 0, 0}, {0, 1, 0}})
	got := BestThresholds(scores, truth, 0.5)
	for k, want := range []float64{0.4, 0.15, 0.5} {
		same(t, "threshold", got[k], number(want))
	}
	// shared: 0.9 0.9 | 0.6 | 0.3 | 0.2 0.2 0.2 | 0.1 0.1; after 0.3 three of the four true ones and one false
	threshold, f1 := BestSharedThreshold(scores, truth, 0.5)
	same(t, "shared threshold", threshold, 0.25)
	same(t, "shared f1", f1, 0.75)
}

func TestScoresThatAreNotNumbers(t *testing.T) {
	scores, truth := []float64{0.1, math.NaN(), 0.3}, []bool{true, false, true}
	if ap, auc := AveragePrecision(scores, truth), ROCAUC(scores, truth); !math.IsNaN(ap) || !math.IsNaN(auc) {
		t.Errorf("average precision %v, auc %v; want NaN", ap, auc)
	}
	if got := LabelScores(nil, nil); got.Accuracy != 0 || got.Micro != (Score{}) {
		t.Errorf("no examples: %v", got)
	}
}

func TestUnequalLengthsPanic(t *testing.T) {
	for name, f := range map[string]func(){
		"labels":      func() { LabelScores(make([][]bool, 2), make([][]bool, 1)) },
		"a row":       func() { LabelScores([][]bool{{true}}, [][]bool{{}}) },
		"ragged":      func() { LabelScores([][]bool{{true}, {}}, [][]bool{{true}, {}}) },
		"thresholds":  func() { Positive([][]float64{{1, 2}}, []float64{1}) },
		"auc":         func() { ROCAUC([]float64{1, 2}, []bool{true}) },
		"correlation": func() { Pearson([]float64{1, 2}, []float64{1}) },
		"cosine":      func() { Cosine([]float32{1, 2}, []float32{1}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
