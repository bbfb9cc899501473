package metric

import (
	"fmt"
	"math"
	"sort"
)

// Retrieved are the means over the queries of what the first K results hold, as sentence-transformers' InformationRetrievalEvaluator
// has them.
type Retrieved struct {
	K         int     `json:"k"`
	Accuracy  float64 `json:"accuracy"`  // the share of queries with a relevant document among them
	Precision float64 `json:"precision"` // relevant ones among them, of K
	Recall    float64 `json:"recall"`    // relevant ones among them, of all relevant ones
	MRR       float64 `json:"mrr"`       // 1/rank of the first relevant one
	NDCG      float64 `json:"ndcg"`      // Σ 1/log2(rank+1) over the relevant ones, of the best possible
	MAP       float64 `json:"map"`       // mean precision at each relevant one, of min(K, all relevant ones)
}

// Retrieval scores rankings for each k. ranked has, per query, document numbers from the best down; relevant has the ones that should
// be found. A query without any is left out. It is an error when all are, when k isn't positive, or when a document is ranked twice.
func Retrieval(ranked [][]int, relevant []map[int]bool, ks ...int) ([]Retrieved, error) {
	sameLength("retrieval", len(relevant), len(ranked))
	for q, ranking := range ranked {
		seen := map[int]bool{}
		for _, document := range ranking {
			if seen[document] {
				return nil, fmt.Errorf("metric: retrieval: query %d: document %d is ranked twice", q, document)
			}
			seen[document] = true
		}
	}
	var out []Retrieved
	for _, k := range ks {
		if k < 1 {
			return nil, fmt.Errorf("metric: retrieval: the first %d results: give a positive number", k)
		}
		mean := Retrieved{K: k}
		queries := 0
		for q := range ranked {
			if wanted := count(relevant[q]); wanted > 0 {
				mean.add(ranked[q][:min(k, len(ranked[q]))], relevant[q], wanted)
				queries++
			}
		}
		if queries == 0 {
			return nil, fmt.Errorf("metric: retrieval: no query has a relevant document")
		}
		out = append(out, mean.over(float64(queries)))
	}
	return out, nil
}

func count(set map[int]bool) int {
	n := 0
	for _, in := range set {
		if in {
			n++
		}
	}
	return n
}

// add adds one query's scores; first are the first K results.
func (r *Retrieved) add(first []int, relevant map[int]bool, wanted int) {
	hits, gain, precisions := 0, 0.0, 0.0
	for i, document := range first {
		if !relevant[document] {
			continue
		}
		if hits++; hits == 1 {
			r.Accuracy++
			r.MRR += 1 / float64(i+1)
		}
		gain += 1 / math.Log2(float64(i+2))
		precisions += share(hits, i+1)
	}
	best := 0.0
	for i := range min(r.K, wanted) {
		best += 1 / math.Log2(float64(i+2))
	}
	r.Precision += share(hits, r.K)
	r.Recall += share(hits, wanted)
	r.NDCG += gain / best
	r.MAP += precisions / float64(min(r.K, wanted))
}

func (r Retrieved) over(queries float64) Retrieved {
	for _, sum := range []*float64{&r.Accuracy, &r.Precision, &r.Recall, &r.MRR, &r.NDCG, &r.MAP} {
		*sum /= queries
	}
	return r
}

// Cosine is the cosine of the angle between two vectors, computed in float64; 0 when one is zero.
func Cosine[T float32 | float64](a, b []T) float64 {
	sameLength("cosine", len(a), len(b))
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab += x * y
		aa += x * x
		bb += y * y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / (math.Sqrt(aa) * math.Sqrt(bb))
}

// Rank returns the numbers of the documents from the highest score down, at most k of them; of equal scores the lower number first.
func Rank(scores []float64, k int) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return scores[order[a]] > scores[order[b]] })
	return order[:min(k, len(order))]
}
