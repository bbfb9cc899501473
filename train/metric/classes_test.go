package metric

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestClassesAreScikitLearns(t *testing.T) {
	type classes struct {
		Truth, Pred []int
		Classes     int
		Want        struct {
			Confusion                      Confusion
			Micro, Macro, Weighted         Score
			Classes                        []Score
			Accuracy, Balanced, MCC, Kappa number
		}
	}
	for i, c := range load[classes](t, "classes.json", "classes") {
		got, err := NewConfusion(c.Truth, c.Pred, c.Classes)
		if err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("case %d ", i)
		if !reflect.DeepEqual(got, c.Want.Confusion) {
			t.Errorf("%s: %v, want %v", what, got, c.Want.Confusion)
		}
		sameScore(t, what+"micro", got.Micro(), c.Want.Micro)
		sameScore(t, what+"macro", got.Macro(), c.Want.Macro)
		sameScore(t, what+"weighted", got.Weighted(), c.Want.Weighted)
		sameScores(t, what+"class", got.Classes(), c.Want.Classes)
		same(t, what+"accuracy", got.Accuracy(), c.Want.Accuracy)
		same(t, what+"balanced", got.Balanced(), c.Want.Balanced)
		same(t, what+"mcc", got.MCC(), c.Want.MCC)
		same(t, what+"kappa", got.Kappa(), c.Want.Kappa)
	}
}

func TestClassOutOfRange(t *testing.T) {
	for _, wrong := range [][2][]int{{{0, 2}, {0, 0}}, {{0, 0}, {0, -1}}} {
		if _, err := NewConfusion(wrong[0], wrong[1], 2); err == nil || !strings.Contains(err.Error(), "example 1: class") {
			t.Errorf("%v: error %v", wrong, err)
		}
	}
}

func TestROCAUCIsScikitLearns(t *testing.T) {
	type curve struct {
		Truth  []int
		Scores []float64
		Want   number
	}
	for _, c := range load[curve](t, "classes.json", "auc") {
		same(t, fmt.Sprintf("auc of %v, %v", c.Scores, c.Truth), ROCAUC(c.Scores, yesRow(c.Truth)), c.Want)
	}
}

func TestCalibrationIsScikitLearnsAndTorchs(t *testing.T) {
	type probabilities struct {
		Logits, Probabilities   [][]float64
		Truth                   []int
		LogLoss                 number `json:"log_loss"`
		ECE, ECE10, Temperature number
	}
	defined := 0
	for i, c := range load[probabilities](t, "classes.json", "probabilities") {
		what := fmt.Sprintf("case %d ", i)
		for j, z := range c.Logits {
			for k, p := range Softmax(z, 1) {
				same(t, what+"probability", p, number(c.Probabilities[j][k]))
			}
		}
		same(t, what+"log loss", LogLoss(c.Probabilities, c.Truth), c.LogLoss)
		same(t, what+"ece", ECE(c.Probabilities, c.Truth, CalibrationBins), c.ECE)
		same(t, what+"ece, 10 bins", ECE(c.Probabilities, c.Truth, 10), c.ECE10)
		got := Temperature(c.Logits, c.Truth)
		if !math.IsNaN(float64(c.Temperature)) {
			defined++
			same(t, what+"temperature", got, c.Temperature)
		} else if got != MinTemperature && got != MaxTemperature {
			t.Errorf("%stemperature %v, want one of the bounds", what, got)
		}
	}
	if defined == 0 {
		t.Error("no case has a temperature")
	}
}

func TestTemperatureBounds(t *testing.T) {
	for want, truth := range map[float64]int{MinTemperature: 0, MaxTemperature: 1} {
		if got := Temperature([][]float64{{3, -1}}, []int{truth}); got != want {
			t.Errorf("one example of class %d: %v, want %v", truth, got, want)
		}
	}
	if got := Temperature(nil, nil); got != 1 {
		t.Errorf("no examples: %v, want 1", got)
	}
	if got := Softmax([]float64{2, 0}, 2); math.Abs(got[0]-1/(1+math.Exp(-1))) > tolerance {
		t.Errorf("softmax at temperature 2: %v", got)
	}
}
