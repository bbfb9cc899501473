package task

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/metric"
)

// target is a data set's target as metrics read it.
func (r *Results) target(name string) []int {
	t := r.Data.Target(name)
	out := make([]int, len(t.Ints))
	for i, v := range t.Ints {
		out[i] = int(v[0])
	}
	return out
}

// scores is a data set's target of numbers.
func scores(d *data.Dataset, name string) []float64 {
	t := d.Target(name)
	out := make([]float64, len(t.Floats))
	for i, v := range t.Floats {
		out[i] = float64(v[0])
	}
	return out
}

// largest returns each row's class.
func (r *Results) largest() []int {
	out := make([]int, len(r.Rows))
	for i, row := range r.Rows {
		out[i] = numeric.Argmax(row)
	}
	return out
}

// firsts returns each row's first output.
func (r *Results) firsts() []float64 {
	out := make([]float64, len(r.Rows))
	for i, row := range r.Rows {
		out[i] = float64(row[0])
	}
	return out
}

// softmax is [metric.Softmax] of a row; a temperature of 0 is 1.
func softmax(x []float32, t float64) []float64 {
	if t == 0 {
		t = 1
	}
	return metric.Softmax(numeric.Widen(x), t)
}

// wide returns the rows in float64.
func (r *Results) wide() [][]float64 {
	out := make([][]float64, len(r.Rows))
	for i, row := range r.Rows {
		out[i] = numeric.Widen(row)
	}
	return out
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(max(1, len(x)))
}

// nearest ranks for each query the documents by cosine, the k best.
func nearest(queries, documents [][]float32, k int) [][]int {
	out := make([][]int, len(queries))
	units := func(rows [][]float32) [][]float32 {
		out := make([][]float32, len(rows))
		for i, row := range rows {
			out[i] = unitLength(row)
		}
		return out
	}
	queries, documents = units(queries), units(documents)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			cosines := make([]float64, len(documents))
			for q := next.Add(1) - 1; int(q) < len(queries); q = next.Add(1) - 1 {
				for i, d := range documents {
					cosines[i] = dot(queries[q], d)
				}
				out[q] = metric.Rank(cosines, k)
			}
		})
	}
	wg.Wait()
	return out
}

// unitLength is x scaled to length 1, or zeros.
func unitLength(x []float32) []float32 {
	norm := math.Sqrt(dot(x, x))
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(float64(v) / max(norm, 1e-12))
	}
	return out
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}
