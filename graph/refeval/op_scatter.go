package refeval

import (
	"fmt"
	"slices"
)

func init() {
	register("", "Scatter", 9, arity{3, 3}, one(scatterElements))
	register("", "ScatterElements", 11, arity{3, 3}, one(scatterElements))
	register("", "ScatterND", 11, arity{3, 3}, one(scatterND))
}

func scatterElements(c *call) (*array, error) {
	if !slices.Equal(c.in[1].dims, c.in[2].dims) {
		return nil, fmt.Errorf("indices %s and updates %s differ in shape", c.in[1], c.in[2])
	}
	offs, err := elementOffsets(c)
	if err != nil {
		return nil, err
	}
	return c.scatter(offs)
}

func scatterND(c *call) (*array, error) {
	x, idx, updates := c.in[0], c.in[1], c.in[2]
	starts, n, err := sliceOffsets(x, idx, 0)
	if err != nil {
		return nil, err
	}
	want := slices.Concat(idx.dims[:idx.rank()-1], x.dims[idx.dims[idx.rank()-1]:])
	if !slices.Equal(updates.dims, want) {
		return nil, fmt.Errorf("updates %s must have shape %v", updates, want)
	}
	offs := make([]int, 0, len(starts)*n)
	for _, s := range starts {
		for j := range n {
			offs = append(offs, s+j)
		}
	}
	return c.scatter(offs)
}

// scatter combines update k into a copy of input 0 at offs[k], in order.
func (c *call) scatter(offs []int) (*array, error) {
	x, updates, how := c.in[0], c.in[2], c.node.Str("reduction", "none")
	if x.dtype != updates.dtype {
		return nil, fmt.Errorf("data %s and updates %s differ in type", x, updates)
	}
	out := x.reshaped(x.dims)
	out.f, out.i = slices.Clone(x.f), slices.Clone(x.i)
	if x.isFloat() {
		return out, scatterInto(out.f, updates.f, offs, how)
	}
	return out, scatterInto(out.i, updates.i, offs, how)
}

func scatterInto[T number](out, updates []T, offs []int, how string) error {
	f, ok := map[string]func(old, update T) T{
		"none": func(_, update T) T { return update },
		"add":  add[T],
		"mul":  mul[T],
		"max":  func(x, y T) T { return max(x, y) },
		"min":  func(x, y T) T { return min(x, y) },
	}[how]
	if !ok {
		return fmt.Errorf("reduction %q is not known", how)
	}
	for k, o := range offs {
		out[o] = f(out[o], updates[k])
	}
	return nil
}
