package metric

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func sets(relevant [][]int) []map[int]bool {
	var out []map[int]bool
	for _, r := range relevant {
		set := map[int]bool{}
		for _, document := range r {
			set[document] = true
		}
		out = append(out, set)
	}
	return out
}

func TestRetrievalIsSentenceTransformers(t *testing.T) {
	type search struct {
		Ranked, Relevant [][]int
		Want             []Retrieved
	}
	for i, c := range load[search](t, "retrieval.json", "retrieval") {
		var ks []int
		for _, w := range c.Want {
			ks = append(ks, w.K)
		}
		// a query without a relevant document changes nothing
		got, err := Retrieval(append(c.Ranked, []int{1}), append(sets(c.Relevant), map[int]bool{1: false}), ks...)
		if err != nil {
			t.Fatal(err)
		}
		for n, w := range c.Want {
			what, g := fmt.Sprintf("case %d at %d ", i, w.K), got[n]
			same(t, what+"accuracy", g.Accuracy, number(w.Accuracy))
			same(t, what+"precision", g.Precision, number(w.Precision))
			same(t, what+"recall", g.Recall, number(w.Recall))
			same(t, what+"mrr", g.MRR, number(w.MRR))
			same(t, what+"ndcg", g.NDCG, number(w.NDCG))
			same(t, what+"map", g.MAP, number(w.MAP))
		}
	}
}

func TestWrongRetrieval(t *testing.T) {
	one := sets([][]int{{1}})
	for want, arguments := range map[string]struct {
		ranked   [][]int
		relevant []map[int]bool
		k        int
	}{
		"query 0: document 2 is ranked twice": {[][]int{{2, 2}}, one, 1},
		"give a positive number":              {[][]int{{2}}, one, 0},
		"no query has a relevant document":    {[][]int{{2}}, sets([][]int{nil}), 1},
	} {
		if _, err := Retrieval(arguments.ranked, arguments.relevant, arguments.k); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestCosineIsTorchs(t *testing.T) {
	type pair struct {
		A, B []float64
		Want number
	}
	for _, c := range load[pair](t, "retrieval.json", "cosine") {
		same(t, fmt.Sprintf("cosine of %v, %v", c.A, c.B), Cosine(c.A, c.B), c.Want)
	}
}

func TestRank(t *testing.T) {
	scores := []float64{0.5, 0.9, 0.5, 0.1}
	if got := Rank(scores, 3); !slices.Equal(got, []int{1, 0, 2}) {
		t.Errorf("the first three: %v", got)
	}
	if got := Rank(scores, 9); !slices.Equal(got, []int{1, 0, 2, 3}) {
		t.Errorf("all: %v", got)
	}
}

func TestPerplexityIsTorchs(t *testing.T) {
	type text struct {
		NLL  []float64
		Want number
	}
	for _, c := range load[text](t, "retrieval.json", "perplexity") {
		same(t, "perplexity", Perplexity(c.NLL), c.Want)
	}
}
