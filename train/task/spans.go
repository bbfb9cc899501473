package task

import (
	"cmp"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/train/data"
)

// bestOfEach is how many of a window's first and last tokens are combined: n_best_size of Hugging Face's run_qa.py.
const bestOfEach = 20

// A span is the part of a context that answers best, over all windows.
type span struct {
	found    bool
	from, to int // in the context, in code points
	// score is the sum of both outputs and none that of the first token, the least of all windows.
	score, none float64
	// The probabilities are those of Hugging Face's pipeline: softmax over a window's context and first token, of the first
	// times of the last token. The least of all windows counts for none.
	probability, noneProbability float64
}

// difference is by how much no answer scores higher.
func (s span) difference() float64 { return s.none - s.score }

func (s span) text(e *data.Example) string {
	if !s.found {
		return ""
	}
	return string([]rune(e.Pair)[s.from:s.to])
}

// best is postprocess_qa_predictions of Hugging Face's utils_qa.py: of the best first and last tokens of each window, the pair
// with the largest sum that lies in the context and isn't too long. Where none of those does, which there is the answer
// "empty", it is the best of all pairs.
func (q *QuestionAnswering) best(r *Results, windows []int) span {
	out := span{score: math.Inf(-1), none: math.Inf(1), noneProbability: 1}
	for _, most := range []int{bestOfEach, math.MaxInt} {
		for _, w := range windows {
			q.bestIn(&r.Data.Encodings[w], r.Rows[w], most, &out)
		}
		if out.found {
			break
		}
	}
	return out
}

// bestIn looks for a better answer in one window among the most best tokens.
func (q *QuestionAnswering) bestIn(w *data.Encoding, row []float32, most int, out *span) {
	starts, ends := column(row, 0, 2), column(row, 1, 2)
	none := float64(starts[0]) + float64(ends[0])
	p := windowProbabilities(w, starts, ends)
	out.none, out.noneProbability = min(out.none, none), min(out.noneProbability, p(0, 0))
	last := largestOf(ends, most)
	for _, i := range largestOf(starts, most) {
		for _, k := range last {
			if w.Sequence[i] != 1 || w.Sequence[k] != 1 || k < i || k-i+1 > q.MaxAnswer {
				continue
			}
			if score := float64(starts[i]) + float64(ends[k]); score > out.score {
				out.found, out.score, out.probability = true, score, p(i, k)
				out.from, out.to = w.Offsets[i][0], w.Offsets[k][1]
			}
		}
	}
}

// largestOf returns the indices of the n largest elements, the largest first.
func largestOf(x []float32, n int) []int {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(x[b], x[a]) })
	return order[:min(n, len(order))]
}

// windowProbabilities returns the probability of a first and last token.
func windowProbabilities(w *data.Encoding, starts, ends []float32) func(first, last int) float64 {
	one := func(x []float32) []float64 {
		p, sum, most := make([]float64, len(x)), 0.0, math.Inf(-1)
		for i, v := range x {
			if i == 0 || w.Sequence[i] == 1 {
				most = max(most, float64(v))
			}
		}
		for i, v := range x {
			if i == 0 || w.Sequence[i] == 1 {
				p[i] = math.Exp(float64(v) - most)
				sum += p[i]
			}
		}
		for i := range p {
			p[i] /= sum
		}
		return p
	}
	first, last := one(starts), one(ends)
	return func(i, k int) float64 { return first[i] * last[k] }
}
