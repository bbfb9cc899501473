package metric

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
)

const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" // Python's string.punctuation

// NormalizeAnswer is the SQuAD scripts' normalisation: lower case, without ASCII punctuation, the articles a, an and the, and
// superfluous white space. Case, words and white space are Python's, see python.go.
func NormalizeAnswer(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(punctuation, r) {
			return -1
		}
		return r
	}, pythonLower(s))
	return strings.Join(pythonFields(withoutArticles(s)), " ")
}

// withoutArticles puts a space in the place of each whole word that is an article.
func withoutArticles(s string) string {
	var out strings.Builder
	for s != "" {
		n := strings.IndexFunc(s, pythonWordRune)
		if n != 0 {
			if n < 0 {
				n = len(s)
			}
			out.WriteString(s[:n])
			s = s[n:]
			continue
		}
		if n = strings.IndexFunc(s, func(r rune) bool { return !pythonWordRune(r) }); n < 0 {
			n = len(s)
		}
		switch word := s[:n]; word {
		case "a", "an", "the":
			out.WriteByte(' ')
		default:
			out.WriteString(word)
		}
		s = s[n:]
	}
	return out.String()
}

// answerTokens are the words of a normalised answer.
func answerTokens(s string) []string { return pythonFields(NormalizeAnswer(s)) }

// AnswerExact is 1 when two answers are equal once normalised, else 0.
func AnswerExact(gold, predicted string) float64 {
	if NormalizeAnswer(gold) == NormalizeAnswer(predicted) {
		return 1
	}
	return 0
}

// AnswerF1 is the F1 of the words of two answers, taken as bags. When one of them is without words it is 1 if both are, else 0.
func AnswerF1(gold, predicted string) float64 {
	g, p := answerTokens(gold), answerTokens(predicted)
	if len(g) == 0 || len(p) == 0 {
		if len(g) == len(p) {
			return 1
		}
		return 0
	}
	left := map[string]int{}
	for _, w := range g {
		left[w]++
	}
	same := 0
	for _, w := range p {
		if left[w] > 0 {
			left[w]--
			same++
		}
	}
	return share(2*same, len(g)+len(p))
}

// A Question has the answers that are right; none when it is unanswerable.
type Question struct {
	ID      string
	Answers []string
}

// Squad compares predicted answers (ID → text, "" for none) as squad_evaluate of transformers does. noAnswer, nil for SQuAD 1.1, has
// for each ID the score that there is no answer: where it is above threshold, that counts as the prediction. The result has exact and
// f1, in percent, and total; the same with HasAns_ and NoAns_ over the questions with and without answers, when there are any; and
// best_exact, best_exact_thresh, best_f1, best_f1_thresh, what the threshold that suits best would give and that threshold; where
// no-answer scores are equal, the questions' order decides it, as there. It is an error when a question has no prediction or no score,
// or is there twice.
//
// SQuAD 1.1's own script differs where a right answer is empty once normalised ("the"): it keeps it, and counts its F1 as 0 at all times.
func Squad(
	questions []Question, predicted map[string]string, noAnswer map[string]float64, threshold float64,
) (map[string]float64, error) {
	if len(questions) == 0 {
		return nil, fmt.Errorf("metric: squad: no questions")
	}
	rows := make([]squadRow, len(questions))
	seen := map[string]bool{}
	for i, q := range questions {
		text, ok := predicted[q.ID]
		if !ok {
			return nil, fmt.Errorf("metric: squad: question %q has no prediction; predict \"\" where there is no answer", q.ID)
		}
		none, ok := noAnswer[q.ID]
		if !ok && noAnswer != nil {
			return nil, fmt.Errorf("metric: squad: question %q has no no-answer score", q.ID)
		}
		if seen[q.ID] {
			return nil, fmt.Errorf("metric: squad: question %q is there twice", q.ID)
		}
		seen[q.ID] = true
		rows[i] = newSquadRow(q, text, none)
	}
	return squadReport(rows, threshold), nil
}

// squadRow is a question with its scores, [exact, F1].
type squadRow struct {
	answerable, answered bool
	none                 float64
	scores               [2]float64
}

var squadScores = [2]string{"exact", "f1"}

func newSquadRow(q Question, text string, none float64) squadRow {
	row := squadRow{answerable: len(q.Answers) > 0, answered: text != "", none: none}
	golds := slices.DeleteFunc(slices.Clone(q.Answers), func(a string) bool { return NormalizeAnswer(a) == "" })
	if len(golds) == 0 {
		golds = []string{""}
	}
	for _, g := range golds {
		row.scores[0] = max(row.scores[0], AnswerExact(g, text))
		row.scores[1] = max(row.scores[1], AnswerF1(g, text))
	}
	return row
}

// at is what score i is when the answer is withheld above the threshold.
func (r squadRow) at(i int, threshold float64) float64 {
	switch {
	case r.none > threshold && r.answerable:
		return 0
	case r.none > threshold:
		return 1
	}
	return r.scores[i]
}

func squadReport(rows []squadRow, threshold float64) map[string]float64 {
	out := squadMeans("", rows, threshold)
	for _, answerable := range []bool{true, false} {
		prefix := map[bool]string{true: "HasAns_", false: "NoAns_"}[answerable]
		some := slices.DeleteFunc(slices.Clone(rows), func(r squadRow) bool { return r.answerable != answerable })
		if len(some) > 0 {
			maps.Copy(out, squadMeans(prefix, some, threshold))
		}
	}
	byNone := slices.Clone(rows)
	sort.SliceStable(byNone, func(a, b int) bool { return byNone[a].none < byNone[b].none })
	for i, name := range squadScores {
		out["best_"+name], out["best_"+name+"_thresh"] = bestNoAnswer(byNone, i)
	}
	return out
}

func squadMeans(prefix string, rows []squadRow, threshold float64) map[string]float64 {
	out := map[string]float64{prefix + "total": float64(len(rows))}
	for i, name := range squadScores {
		sum := 0.0
		for _, r := range rows {
			sum += r.at(i, threshold)
		}
		out[prefix+name] = 100 * sum / float64(len(rows))
	}
	return out
}

// bestNoAnswer is find_best_thresh: it begins with no question answered and answers one more at a time, by rising no-answer score.
func bestNoAnswer(byNone []squadRow, i int) (best, threshold float64) {
	score := 0.0
	for _, r := range byNone {
		if !r.answerable {
			score++
		}
	}
	best = score
	for _, r := range byNone {
		switch {
		case r.answerable:
			score += r.scores[i]
		case r.answered:
			score--
		}
		if score > best {
			best, threshold = score, r.none
		}
	}
	return 100 * best / float64(len(byNone)), threshold
}
