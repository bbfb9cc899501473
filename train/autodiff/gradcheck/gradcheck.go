// Package gradcheck compares emitted gradients with central differences of the loss, on any executor.
package gradcheck

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// An Executor computes named values of a graph from named inputs; refeval's programs and the runtime's sessions are some.
type Executor interface {
	Run(ctx context.Context, feeds map[string]*graph.Tensor, fetches []string) ([]*graph.Tensor, error)
}

// Options says how many differences are taken, and how.
type Options struct {
	// Elements bounds how many elements of each parameter are varied one by one; they are drawn at random where the
	// parameter has more. 0 means all.
	Elements int
	// Directions, where not 0, varies each parameter as a whole along that many random directions instead: cheaper for big
	// parameters, and less noisy in single precision, because more of the loss changes.
	Directions int
	// Step is the first step of [Slope]; 0 means [DefaultStep]. Single precision wants a larger one.
	Step float64
	// Floor bounds the norm that errors are relative to from below; 0 means 1e-6. It keeps the rounding noise of a gradient
	// that is exactly zero, a key bias's for example, from counting as an error of 100 %.
	Floor float64
	// Seed chooses elements and directions; one seed always chooses the same.
	Seed uint64
}

// A Result is the comparison for one parameter.
type Result struct {
	Param string
	// RelErr is ‖difference‖ / max(‖central differences‖, ‖gradient‖, Floor) over what was checked.
	RelErr float64
	// MaxAbs is the largest absolute difference.
	MaxAbs float64
	// Checked is the number of elements, or directions, compared.
	Checked int
}

// Check compares, for each parameter, the gradient that exec computes with central differences of the loss as
// [Slope] takes them. grads maps parameters, which must be among the feeds, to the names of their gradients. Results are sorted by name.
// For full precision feed parameters as Double to an executor that computes in float64.
func Check(ctx context.Context, exec Executor, feeds map[string]*graph.Tensor, loss string, grads map[string]string, opt Options) ([]Result, error) {
	if opt.Step == 0 {
		opt.Step = DefaultStep
	}
	if opt.Floor == 0 {
		opt.Floor = 1e-6
	}
	params := slices.Sorted(maps.Keys(grads))
	fetches := make([]string, len(params))
	for i, p := range params {
		if t := feeds[p]; t == nil || t.DType != graph.Float && t.DType != graph.Double {
			return nil, fmt.Errorf("gradcheck: parameter %q: it has to be fed as float or double", p)
		}
		fetches[i] = grads[p]
	}
	computed, err := exec.Run(ctx, feeds, fetches)
	if err != nil {
		return nil, fmt.Errorf("gradcheck: %w", err)
	}
	c := &checker{ctx: ctx, exec: exec, feeds: maps.Clone(feeds), loss: loss, opt: opt}
	results := make([]Result, len(params))
	for i, p := range params {
		c.random = rand.New(rand.NewPCG(opt.Seed, uint64(i)))
		if results[i], err = c.param(p, computed[i]); err != nil {
			return nil, fmt.Errorf("gradcheck: parameter %q: %w", p, err)
		}
	}
	return results, nil
}

type checker struct {
	ctx    context.Context
	exec   Executor
	feeds  map[string]*graph.Tensor
	loss   string
	opt    Options
	random *rand.Rand
}

func (c *checker) param(name string, gradient *graph.Tensor) (Result, error) {
	at := c.feeds[name]
	defer func() { c.feeds[name] = at }()
	if !slices.Equal(at.Dims, gradient.Dims) {
		return Result{}, fmt.Errorf("its gradient has dimensions %v, it has %v", gradient.Dims, at.Dims)
	}
	x, err := at.Float64s()
	if err != nil {
		return Result{}, err
	}
	g, err := gradient.Float64s()
	if err != nil {
		return Result{}, err
	}
	r := Result{Param: name}
	var diff2, fd2, g2 float64
	for _, d := range c.directions(len(x)) {
		fd, err := c.slope(name, at, x, d)
		if err != nil {
			return Result{}, err
		}
		along := d.dot(g)
		r.Checked++
		r.MaxAbs = math.Max(r.MaxAbs, math.Abs(fd-along))
		diff2 += (fd - along) * (fd - along)
		fd2 += fd * fd
		g2 += along * along
	}
	r.RelErr = math.Sqrt(diff2) / math.Max(c.opt.Floor, math.Sqrt(math.Max(fd2, g2)))
	if math.IsNaN(diff2) {
		r.RelErr, r.MaxAbs = math.Inf(1), math.Inf(1)
	}
	return r, nil
}

// A direction is a unit vector: the axis of one element, or dense.
type direction struct {
	element int
	dense   []float64
}

func (d direction) at(i int) float64 {
	switch {
	case d.dense != nil:
		return d.dense[i]
	case d.element == i:
		return 1
	}
	return 0
}

func (d direction) dot(g []float64) float64 {
	if d.dense == nil {
		return g[d.element]
	}
	sum := 0.
	for i, v := range d.dense {
		sum += v * g[i]
	}
	return sum
}

// directions chooses what to vary of a parameter of n elements.
func (c *checker) directions(n int) []direction {
	var out []direction
	if c.opt.Directions > 0 {
		for range c.opt.Directions {
			out = append(out, direction{dense: c.unit(n)})
		}
		return out
	}
	chosen := c.random.Perm(n)
	if c.opt.Elements > 0 && n > c.opt.Elements {
		chosen = chosen[:c.opt.Elements]
	}
	for _, i := range chosen {
		out = append(out, direction{element: i})
	}
	return out
}

func (c *checker) unit(n int) []float64 {
	v := make([]float64, n)
	norm2 := 0.
	for i := range v {
		v[i] = c.random.NormFloat64()
		norm2 += v[i] * v[i]
	}
	for i := range v {
		v[i] /= math.Sqrt(norm2)
	}
	return v
}

func (c *checker) slope(name string, at *graph.Tensor, x []float64, d direction) (float64, error) {
	return Slope(c.opt.Step, func(h float64) (float64, error) {
		moved := slices.Clone(x)
		for i := range moved {
			moved[i] += h * d.at(i)
		}
		c.feeds[name] = graph.FloatTensor(at.DType, at.Dims, moved)
		return c.value()
	})
}

func (c *checker) value() (float64, error) {
	out, err := c.exec.Run(c.ctx, c.feeds, []string{c.loss})
	if err != nil {
		return 0, err
	}
	v, err := out[0].Float64s()
	if err != nil {
		return 0, err
	}
	if len(v) != 1 {
		return 0, fmt.Errorf("the loss %q has %d elements, want 1", c.loss, len(v))
	}
	return v[0], nil
}
