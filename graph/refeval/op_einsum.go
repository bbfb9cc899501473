package refeval

import (
	"fmt"
	"slices"
	"strings"
)

func init() {
	register("", "Einsum", 12, arity{1, many}, one(einsum))
}

// einsum evaluates an equation such as "bhqd,bhkd->bhqk" over any number of operands: the product of all, broadcast to one
// axis for each letter, summed over the letters that the result lacks.
func einsum(c *call) (*array, error) {
	equation := strings.ReplaceAll(c.node.Str("equation", ""), " ", "")
	left, right, explicit := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(c.in) || strings.Contains(equation, ".") {
		return nil, fmt.Errorf("equation %q: %d terms for %d inputs; an ellipsis is not supported", equation, len(terms), len(c.in))
	}
	if !explicit {
		right = implicitResult(left)
	}
	for _, l := range right {
		if !strings.ContainsRune(left, l) {
			return nil, fmt.Errorf("equation %q: no input has the letter %c", equation, l)
		}
	}
	letters := right // those that are summed go last
	for _, l := range strings.ReplaceAll(left, ",", "") {
		if !strings.ContainsRune(letters, l) {
			letters += string(l)
		}
	}
	out, err := einsumOperand(c.in[0], terms[0], letters)
	for k := 1; k < len(terms) && err == nil; k++ {
		var x *array
		if x, err = einsumOperand(c.in[k], terms[k], letters); err == nil {
			out, err = combine(out, x, mul[float64], mul[int64])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("equation %q: %w", equation, err)
	}
	summed := sequence(len(letters))[len(right):]
	return out.reduced(summed, false, reduction{sum[float64], sum[int64]}), nil
}

// implicitResult is the letters that occur once, in alphabetical order.
func implicitResult(left string) string {
	var out []string
	for _, l := range strings.Split(strings.ReplaceAll(left, ",", ""), "") {
		if strings.Count(left, l) == 1 {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "")
}

// einsumOperand lays x out with one axis for each letter, 1 for letters its term lacks; a repeated letter takes a diagonal.
func einsumOperand(x *array, term, letters string) (*array, error) {
	if len(term) != x.rank() {
		return nil, fmt.Errorf("term %q for an input %s", term, x)
	}
	dims, step, st := slices.Repeat([]int{1}, len(letters)), make([]int, len(letters)), strides(x.dims)
	for k, l := range []byte(term) {
		at := strings.IndexByte(letters, l)
		if dims[at] != 1 && dims[at] != x.dims[k] {
			return nil, fmt.Errorf("term %q: letter %c is both %d and %d", term, l, dims[at], x.dims[k])
		}
		dims[at] = x.dims[k]
		step[at] += st[k]
	}
	return x.take(dims, offsets(dims, step)), nil
}
