package refeval

import (
	"fmt"
	"slices"
)

// maxElements bounds the arrays that kernels make: 2 GiB of float64.
const maxElements = 1 << 28

// A sizeError is panicked with by size and returned as an error by call.invoke, so that the many kernels that make arrays
// don't each have to check.
type sizeError []int

func (e sizeError) Error() string {
	return fmt.Sprintf("an array of shape %v: dimensions must be 0 or more and elements at most %d", []int(e), maxElements)
}

// size returns the number of elements of an array that is about to be made.
func size(dims ...int) int {
	n := 1
	for _, d := range dims {
		if d < 0 || d > 0 && n > maxElements/d {
			panic(sizeError(dims))
		}
		n *= d
	}
	return n
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

func int64s(dims []int) []int64 {
	out := make([]int64, len(dims))
	for k, d := range dims {
		out[k] = int64(d)
	}
	return out
}

func ints(vs []int64) []int {
	out := make([]int, len(vs))
	for k, v := range vs {
		out[k] = int(v)
	}
	return out
}

// sequence returns 0, 1, …, n-1.
func sequence(n int) []int {
	out := make([]int, n)
	for k := range out {
		out[k] = k
	}
	return out
}

// strides returns how far apart in memory neighbours along each axis are.
func strides(dims []int) []int {
	out := make([]int, len(dims))
	n := 1
	for k := len(dims) - 1; k >= 0; k-- {
		out[k] = n
		n *= dims[k]
	}
	return out
}

// axisOf resolves an axis in [-rank, rank).
func axisOf(axis int64, rank int) (int, error) {
	r := int64(rank)
	if axis < -r || axis >= r {
		return 0, fmt.Errorf("axis %d is outside [%d,%d)", axis, -r, r)
	}
	if axis < 0 {
		axis += r
	}
	return int(axis), nil
}

// axesOf resolves a list of axes, sorted; a repeated one is an error.
func axesOf(axes []int64, rank int) ([]int, error) {
	out := make([]int, len(axes))
	for k, ax := range axes {
		var err error
		if out[k], err = axisOf(ax, rank); err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	if len(slices.Compact(slices.Clone(out))) < len(out) {
		return nil, fmt.Errorf("axes %v name one axis twice", axes)
	}
	return out, nil
}

// offsets lists, in row-major order of dims, where elements lie that are step[k] apart along axis k.
func offsets(dims, step []int) []int {
	size(dims...)
	out := []int{0}
	for k, d := range dims {
		next := make([]int, 0, len(out)*d)
		for _, base := range out {
			for j := range d {
				next = append(next, base+j*step[k])
			}
		}
		out = next
	}
	return out
}

// take builds an array from elements of a by their offsets; offset -1 stands for zero.
func (a *array) take(dims, offs []int) *array {
	out := newArray(a.dtype, dims)
	for k, o := range offs {
		switch {
		case o < 0:
		case a.isFloat():
			out.f[k] = a.f[o]
		default:
			out.i[k] = a.i[o]
		}
	}
	return out
}

// pick returns the array whose element (j0, j1, …) is a's element (at[0][j0], at[1][j1], …). An index of -1 along any axis
// gives a zero. A nil list keeps its axis whole.
func (a *array) pick(at [][]int) *array {
	dims, offs := make([]int, len(at)), []int{0}
	st := strides(a.dims)
	for k, list := range at {
		if list == nil {
			list = sequence(a.dims[k])
		}
		dims[k] = len(list)
		next := make([]int, 0, size(len(offs), len(list)))
		for _, base := range offs {
			for _, j := range list {
				if base < 0 || j < 0 {
					next = append(next, -1)
				} else {
					next = append(next, base+j*st[k])
				}
			}
		}
		offs = next
	}
	return a.take(dims, offs)
}

// pickAxis is pick along one axis, all others whole.
func (a *array) pickAxis(axis int, list []int) *array {
	at := make([][]int, a.rank())
	if list == nil {
		list = []int{}
	}
	at[axis] = list
	return a.pick(at)
}

// transposed permutes the axes: output axis k is input axis perm[k].
func (a *array) transposed(perm []int) *array {
	dims, step, st := make([]int, len(perm)), make([]int, len(perm)), strides(a.dims)
	for k, p := range perm {
		dims[k], step[k] = a.dims[p], st[p]
	}
	return a.take(dims, offsets(dims, step))
}

// lastAxesSwapped transposes the matrices in the last two axes.
func (a *array) lastAxesSwapped() *array {
	perm := sequence(a.rank())
	n := len(perm)
	perm[n-1], perm[n-2] = n-2, n-1
	return a.transposed(perm)
}

// broadcast returns the common shape of several under numpy's rule.
func broadcast(shapes ...[]int) ([]int, error) {
	var out []int
	for _, s := range shapes {
		for len(out) < len(s) {
			out = slices.Insert(out, 0, 1)
		}
		for k, d := range s {
			at := len(out) - len(s) + k
			switch {
			case out[at] == 1:
				out[at] = d
			case d != 1 && d != out[at]:
				return nil, fmt.Errorf("shapes %v don't broadcast: %d against %d", shapes, out[at], d)
			}
		}
	}
	if out == nil {
		out = []int{}
	}
	return out, nil
}

// expanded broadcasts a to dims, which must be a broadcast of its shape.
func (a *array) expanded(dims []int) *array {
	if slices.Equal(a.dims, dims) {
		return a
	}
	return a.take(dims, offsets(dims, broadcastSteps(a.dims, dims)))
}

// broadcastSteps returns the strides with which an array of shape from is read as one of shape to: 0 along repeated axes.
func broadcastSteps(from, to []int) []int {
	step, st := make([]int, len(to)), strides(from)
	for k, d := range from {
		if d != 1 {
			step[len(to)-len(from)+k] = st[k]
		}
	}
	return step
}

// broadcastAll expands all arrays to their common shape.
func broadcastAll(in []*array) ([]*array, []int, error) {
	shapes := make([][]int, len(in))
	for k, a := range in {
		shapes[k] = a.dims
	}
	dims, err := broadcast(shapes...)
	if err != nil {
		return nil, nil, err
	}
	out := make([]*array, len(in))
	for k, a := range in {
		out[k] = a.expanded(dims)
	}
	return out, dims, nil
}
