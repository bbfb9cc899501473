package task

import (
	"math"

	"github.com/peftgraph/peftgraph/train/data"
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
		out[i] = argmax(row)
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

// argmax is the index of the largest element, the first of equals.
func argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// softmax is exp(x/t) over its sum; a temperature of 0 is 1.
func softmax(x []float32, t float64) []float64 {
	if t == 0 {
		t = 1
	}
	top := float64(x[argmax(x)])
	out := make([]float64, len(x))
	sum := 0.0
	for i, v := range x {
		out[i] = math.Exp((float64(v) - top) / t)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
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
