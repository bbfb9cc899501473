package refeval

import (
	"math"
)

func init() {
	for name, f := range map[string]func(dst, row []float64){"Softmax": softmax, "LogSoftmax": logSoftmax, "Hardmax": hardmax} {
		register("", name, 1, arity{1, 1}, one(func(c *call) (*array, error) { return flattenedSoftmax(c, f) }))
		register("", name, 13, arity{1, 1}, one(func(c *call) (*array, error) { return axisSoftmax(c, f) }))
	}
}

// flattenedSoftmax is the semantics before opset 13: the input is coerced to a matrix at axis and each row is normalised.
func flattenedSoftmax(c *call, f func(dst, row []float64)) (*array, error) {
	x, err := c.floatArg(0)
	if err != nil {
		return nil, err
	}
	axis, err := c.axis(1, x.rank())
	if err != nil {
		return nil, err
	}
	return x.rowwise(product(x.dims[axis:]), f), nil
}

func axisSoftmax(c *call, f func(dst, row []float64)) (*array, error) {
	x, err := c.floatArg(0)
	if err != nil {
		return nil, err
	}
	axis, err := c.axis(-1, x.rank())
	if err != nil {
		return nil, err
	}
	return x.alongAxis(axis, f), nil
}

// rowwise applies f to consecutive runs of n elements.
func (a *array) rowwise(n int, f func(dst, row []float64)) *array {
	out := newArray(a.dtype, a.dims)
	for at := 0; at+n <= len(a.f) && n > 0; at += n {
		f(out.f[at:at+n], a.f[at:at+n])
	}
	return out
}

// alongAxis applies f to each line of elements along an axis.
func (a *array) alongAxis(axis int, f func(dst, row []float64)) *array {
	swap := sequence(a.rank()) // its own inverse
	last := a.rank() - 1
	swap[axis], swap[last] = last, axis
	return a.transposed(swap).rowwise(a.dims[axis], f).transposed(swap)
}

func logSoftmax(dst, row []float64) {
	lse := logSumExp(row)
	for k, x := range row {
		dst[k] = x - lse
	}
}

func softmax(dst, row []float64) {
	logSoftmax(dst, row)
	for k, x := range dst {
		dst[k] = math.Exp(x)
	}
}

// hardmax is 1 at the first maximum and 0 elsewhere.
func hardmax(dst, row []float64) {
	best := 0
	for k, x := range row {
		if x > row[best] {
			best = k
		}
	}
	dst[best] = 1
}
