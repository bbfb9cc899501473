package task

import (
	"fmt"
	"math"
	"testing"
)

// What decides stands first; what isn't judged by, behind it by name. Undefined scores keep their place.
func TestOrdered(t *testing.T) {
	for _, c := range []struct {
		of     Task
		scores Scores
		want   string
	}{
		{&Classification{}, Scores{"log_loss": 1, "ece": 0, "f1": 1, "accuracy": 1, "mcc": 0}, "[accuracy f1 mcc ece log_loss]"},
		{&TokenClassification{}, Scores{"strict_f1": 1, "accuracy": 1, "f1": 1, "recall": 1, "precision": 1}, "[f1 precision recall accuracy strict_f1]"},
		{&Regression{}, Scores{"mse": 1, "spearman": math.NaN(), "pearson": math.NaN()}, "[pearson spearman mse]"},
		{&Regression{}, nil, "[]"},
	} {
		if got := fmt.Sprint(Ordered(c.of, c.scores)); got != c.want {
			t.Errorf("%T: %s, want %s", c.of, got, c.want)
		}
	}
}
