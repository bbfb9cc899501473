package shape

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// constantElements reads a small constant. Floats count where they are whole numbers: some exporters multiply sizes as
// floats (Cast, ReduceProd, Cast).
func constantElements(t *graph.Tensor) []Expr {
	if t.Len() > maxElements || t.DType.Size() == 0 {
		return nil
	}
	es := make([]Expr, t.Len())
	if !t.DType.IsFloat() {
		vs, err := t.Int64s()
		if err != nil {
			return nil
		}
		for i, v := range vs {
			es[i] = Int(v)
		}
		return es
	}
	vs, err := t.Float64s()
	if err != nil {
		return nil
	}
	for i, v := range vs {
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			es[i] = Int(int64(v))
		}
	}
	return es
}

// combine applies f to the elements of two inputs; a single element goes with each of the other's.
func combine(a, b []Expr, f func(a, b Expr) Expr) []Expr {
	if a == nil || b == nil || len(a) != len(b) && len(a) != 1 && len(b) != 1 {
		return nil
	}
	at := func(es []Expr, i int) Expr {
		if len(es) == 1 {
			return es[0]
		}
		return es[i]
	}
	n := max(len(a), len(b))
	if len(a) == 0 || len(b) == 0 {
		n = 0
	}
	out := make([]Expr, n)
	for i := range out {
		out[i] = f(at(a, i), at(b, i))
	}
	return out
}

// truth returns 1, 0 or unknown.
func truth(yes, no bool) Expr {
	switch {
	case yes:
		return Int(1)
	case no:
		return Int(0)
	}
	return Expr{}
}

func less(a, b Expr) Expr   { return truth(a.Add(Int(1)).atMost(b), b.atMost(a)) }
func lessEq(a, b Expr) Expr { return truth(a.atMost(b), b.Add(Int(1)).atMost(a)) }

func equal(a, b Expr) Expr {
	return truth(a.Equal(b), a.Add(Int(1)).atMost(b) || b.Add(Int(1)).atMost(a))
}

func and(a, b Expr) Expr {
	if isZero(a) || isZero(b) {
		return Int(0)
	}
	return truth(isTrue(a) && isTrue(b), false)
}

func or(a, b Expr) Expr {
	return truth(isTrue(a) || isTrue(b), isZero(a) && isZero(b))
}

func isTrue(e Expr) bool {
	n, ok := e.Const()
	return ok && n != 0
}

// keepsElements copies the elements of input 0 to output 0: only the type or the arrangement changed.
func (c *context) keepsElements() { c.info.note(c.Output(0), c.elements(0)) }
