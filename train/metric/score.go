package metric

// A Score is how well one class, type or label was found. What would be divided by zero is 0.
type Score struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Support   int     `json:"support"` // how many there truly are
}

// counts are the numbers that a Score is computed from.
type counts struct{ hits, predicted, actual int }

func (c counts) score() Score {
	return Score{
		Precision: share(c.hits, c.predicted),
		Recall:    share(c.hits, c.actual),
		F1:        share(2*c.hits, c.predicted+c.actual),
		Support:   c.actual,
	}
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func scores(all []counts) []Score {
	out := make([]Score, len(all))
	for i, c := range all {
		out[i] = c.score()
	}
	return out
}

// micro is the score of all counts added up.
func micro(all []counts) Score {
	var sum counts
	for _, c := range all {
		sum.hits += c.hits
		sum.predicted += c.predicted
		sum.actual += c.actual
	}
	return sum.score()
}

// macro is the unweighted mean of the scores, 0 when there are none.
func macro(all []counts) Score {
	return mean(all, func(Score) float64 { return 1 })
}

// weighted is the mean of the scores by their support.
func weighted(all []counts) Score {
	return mean(all, func(s Score) float64 { return float64(s.Support) })
}

func mean(all []counts, weight func(Score) float64) Score {
	var out Score
	total := 0.0
	for _, s := range scores(all) {
		w := weight(s)
		total += w
		out.Precision += w * s.Precision
		out.Recall += w * s.Recall
		out.F1 += w * s.F1
		out.Support += s.Support
	}
	if total > 0 {
		out.Precision /= total
		out.Recall /= total
		out.F1 /= total
	}
	return out
}
