package metric

import (
	"fmt"
	"strings"
	"testing"
)

func TestNormalizationIsTheOfficialOne(t *testing.T) {
	type text struct{ Text, Want string }
	for _, c := range load[text](t, "squad.json", "normalize") {
		if got := NormalizeAnswer(c.Text); got != c.Want {
			t.Errorf("%q: %q, want %q", c.Text, got, c.Want)
		}
	}
}

func TestAnswersAreComparedAsOfficially(t *testing.T) {
	type pair struct {
		Gold, Pred string
		Exact, F1  number
	}
	for _, c := range load[pair](t, "squad.json", "pairs") {
		same(t, fmt.Sprintf("exact %q %q", c.Gold, c.Pred), AnswerExact(c.Gold, c.Pred), c.Exact)
		same(t, fmt.Sprintf("f1 %q %q", c.Gold, c.Pred), AnswerF1(c.Gold, c.Pred), c.F1)
	}
}

func TestSquadIsTransformers(t *testing.T) {
	type evaluation struct {
		Answers   [][]string
		Pred      []string
		None      []float64
		Threshold float64
		Want      map[string]number
	}
	for n, c := range load[evaluation](t, "squad.json", "evaluate") {
		predicted := map[string]string{}
		var none map[string]float64
		var questions []Question
		for i, a := range c.Answers {
			id := fmt.Sprintf("q%d", i)
			questions = append(questions, Question{id, a})
			predicted[id] = c.Pred[i]
			if c.None != nil {
				if none == nil {
					none = map[string]float64{}
				}
				none[id] = c.None[i]
			}
		}
		got, err := Squad(questions, predicted, none, c.Threshold)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(c.Want) {
			t.Errorf("case %d: %v, want the keys of %v", n, got, c.Want)
		}
		for key, want := range c.Want {
			same(t, fmt.Sprintf("case %d %s", n, key), got[key], want)
		}
	}
}

func TestSquadNamesTheQuestion(t *testing.T) {
	q := []Question{{"a", nil}, {"b", []string{"x"}}}
	both := map[string]string{"a": "", "b": "x"}
	for want, err := range map[string]error{
		`question "b" has no prediction`:      squadError(q, map[string]string{"a": ""}, nil),
		`question "b" has no no-answer score`: squadError(q, both, map[string]float64{"a": 1}),
		`question "a" is there twice`:         squadError(append(q, q[0]), both, nil),
		"no questions":                        squadError(nil, both, nil),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func squadError(q []Question, predicted map[string]string, none map[string]float64) error {
	_, err := Squad(q, predicted, none, 1)
	return err
}
