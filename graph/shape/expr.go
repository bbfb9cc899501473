package shape

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

// An Expr is an integer that may depend on named dimensions: a sum of products, or unknown (the zero value). It is kept
// in normal form, so that equal strings mean equal numbers: "2*batch*sequence+10" has its factors sorted, the number
// first; terms are sorted, the number last. What is no polynomial appears as a call: "min(512,sequence)", "div(a,b)".
type Expr struct {
	known bool
	terms []term
}

// A term is coef times the product of atoms. An atom is a name or a call in its printed form.
type term struct {
	coef  int64
	atoms []string
}

func (t term) key() string { return strings.Join(t.atoms, "*") }

// Int returns the expression of a number.
func Int(n int64) Expr { return normal([]term{{coef: n}}) }

// Name returns the expression of a named dimension.
func Name(name string) Expr { return Expr{true, []term{{1, []string{name}}}} }

// FromDim returns the expression of a dimension; unknown for an unknown one.
func FromDim(d graph.Dim) Expr {
	switch {
	case d.Sym != "":
		return Parse(d.Sym)
	case d.N >= 0:
		return Int(d.N)
	}
	return Expr{}
}

// Dim returns the dimension of that size. Negative numbers, which no dimension can have, give an unknown one.
func (e Expr) Dim() graph.Dim {
	if n, ok := e.Const(); ok {
		if n < 0 {
			return graph.UnknownDim()
		}
		return graph.Fixed(n)
	}
	if !e.known {
		return graph.UnknownDim()
	}
	return graph.Symbol(e.String())
}

// Known reports whether anything is known of the number.
func (e Expr) Known() bool { return e.known }

// Const returns the number when it depends on nothing.
func (e Expr) Const() (int64, bool) {
	switch {
	case !e.known || len(e.terms) > 1:
		return 0, false
	case len(e.terms) == 0:
		return 0, true
	}
	return e.terms[0].coef, len(e.terms[0].atoms) == 0
}

// Equal reports whether both are known and certainly equal.
func (e Expr) Equal(f Expr) bool { return e.known && f.known && e.String() == f.String() }

// String prints the normal form, or "?" for an unknown number.
func (e Expr) String() string {
	if !e.known {
		return "?"
	}
	if len(e.terms) == 0 {
		return "0"
	}
	var sb strings.Builder
	for i, t := range e.terms {
		if i > 0 && t.coef >= 0 {
			sb.WriteByte('+')
		}
		switch {
		case len(t.atoms) == 0:
			fmt.Fprint(&sb, t.coef)
		case t.coef == 1:
			sb.WriteString(t.key())
		default:
			fmt.Fprintf(&sb, "%d*%s", t.coef, t.key())
		}
	}
	return sb.String()
}

// maxTerms bounds an expression's length; a longer one is no shape that a person meant.
const maxTerms = 64

// normal merges the terms of equal atoms, drops zeros and sorts. A coefficient that overflows, or too many terms, give an
// unknown number.
func normal(terms []term) Expr {
	sums := map[string]*term{}
	var out []term
	for _, t := range terms {
		slices.Sort(t.atoms)
		if s := sums[t.key()]; s != nil {
			sum := s.coef + t.coef
			if (sum > s.coef) != (t.coef > 0) {
				return Expr{}
			}
			s.coef = sum
			continue
		}
		sums[t.key()] = &term{t.coef, t.atoms}
	}
	for _, t := range sums {
		if t.coef != 0 {
			out = append(out, *t)
		}
	}
	if len(out) > maxTerms {
		return Expr{}
	}
	slices.SortFunc(out, func(a, b term) int {
		if (len(a.atoms) == 0) != (len(b.atoms) == 0) {
			return cmp.Compare(len(b.atoms), len(a.atoms))
		}
		return cmp.Compare(a.key(), b.key())
	})
	return Expr{true, out}
}

// Add returns e + f.
func (e Expr) Add(f Expr) Expr {
	if !e.known || !f.known {
		return Expr{}
	}
	return normal(slices.Concat(e.terms, f.terms))
}

// Sub returns e − f.
func (e Expr) Sub(f Expr) Expr { return e.Add(f.Mul(Int(-1))) }

// Mul returns e · f.
func (e Expr) Mul(f Expr) Expr {
	if isZero(e) || isZero(f) {
		return Int(0)
	}
	if !e.known || !f.known {
		return Expr{}
	}
	var terms []term
	for _, a := range e.terms {
		for _, b := range f.terms {
			c, ok := mulInt(a.coef, b.coef)
			if !ok {
				return Expr{}
			}
			terms = append(terms, term{c, slices.Concat(a.atoms, b.atoms)})
		}
	}
	return normal(terms)
}

func isZero(e Expr) bool {
	n, ok := e.Const()
	return ok && n == 0
}

func mulInt(a, b int64) (int64, bool) {
	if a == math.MinInt64 || b == math.MinInt64 {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(max(a, -a)), uint64(max(b, -b)))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, false
	}
	if (a < 0) != (b < 0) {
		return -int64(lo), true
	}
	return int64(lo), true
}

// Div returns e / f rounded down; ONNX's integer division rounds toward zero, which is the same for sizes.
func (e Expr) Div(f Expr) Expr {
	if !e.known || !f.known || isZero(f) {
		return Expr{}
	}
	a, okA := e.Const()
	b, okB := f.Const()
	if okA && okB {
		if a < 0 || b < 0 {
			return Expr{}
		}
		return Int(a / b)
	}
	if q, ok := e.divExact(f); ok {
		return q
	}
	return call("div", e, f)
}

// divExact divides term by term when f is a single term that divides each, or when f equals e but for a factor.
func (e Expr) divExact(f Expr) (Expr, bool) {
	if len(f.terms) != 1 {
		if e.Equal(f) {
			return Int(1), true
		}
		return Expr{}, false
	}
	d := f.terms[0]
	var terms []term
	for _, t := range e.terms {
		rest, ok := without(t.atoms, d.atoms)
		if !ok || t.coef%d.coef != 0 {
			return Expr{}, false
		}
		terms = append(terms, term{t.coef / d.coef, rest})
	}
	return normal(terms), true
}

// without removes each of sub from atoms, once.
func without(atoms, sub []string) ([]string, bool) {
	rest := slices.Clone(atoms)
	for _, s := range sub {
		i := slices.Index(rest, s)
		if i < 0 {
			return nil, false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return rest, true
}

// Min returns the smaller of e and f.
func (e Expr) Min(f Expr) Expr {
	switch {
	case e.atMost(f):
		return e
	case f.atMost(e):
		return f
	}
	return call("min", e, f)
}

// Max returns the larger of e and f.
func (e Expr) Max(f Expr) Expr {
	switch {
	case e.atMost(f):
		return f
	case f.atMost(e):
		return e
	}
	return call("max", e, f)
}

// endless is from where on a number counts as larger than any size: exporters write INT_MAX for "to the end".
const endless = math.MaxInt32

// atMost reports whether e ≤ f is certain.
func (e Expr) atMost(f Expr) bool {
	if n, ok := f.Const(); ok && n >= endless && e.known {
		if m, ok := e.Const(); !ok || m <= n {
			return true
		}
	}
	low, ok := f.Sub(e).lower()
	return ok && low >= 0
}

// lower returns a lower bound: names count at least 1, calls at least 0.
func (e Expr) lower() (int64, bool) {
	if !e.known {
		return 0, false
	}
	var sum int64
	for _, t := range e.terms {
		switch {
		case len(t.atoms) == 0:
			sum += t.coef
		case t.coef < 0:
			return 0, false
		case !slices.ContainsFunc(t.atoms, isCall):
			sum += t.coef
		}
	}
	return sum, true
}

func isCall(atom string) bool { return strings.HasSuffix(atom, ")") }

// call returns an expression that is one atom: the function of the arguments, sorted where order doesn't matter.
func call(fn string, a, b Expr) Expr {
	if !a.known || !b.known {
		return Expr{}
	}
	args := []string{a.String(), b.String()}
	if fn != "div" {
		slices.Sort(args)
	}
	return Name(fn + "(" + strings.Join(args, ",") + ")")
}

// Eval returns the number for given sizes of the named dimensions; false when a name is missing or nothing is known.
func (e Expr) Eval(sizes map[string]int64) (int64, bool) {
	if !e.known {
		return 0, false
	}
	var sum int64
	for _, t := range e.terms {
		product := t.coef
		for _, a := range t.atoms {
			v, ok := evalAtom(a, sizes)
			if !ok {
				return 0, false
			}
			product *= v
		}
		sum += product
	}
	return sum, true
}

func evalAtom(atom string, sizes map[string]int64) (int64, bool) {
	if v, ok := sizes[atom]; ok {
		return v, true
	}
	fn, args, ok := splitCall(atom)
	if !ok {
		return 0, false
	}
	a, okA := args[0].Eval(sizes)
	b, okB := args[1].Eval(sizes)
	switch {
	case !okA || !okB:
		return 0, false
	case fn == "min":
		return min(a, b), true
	case fn == "max":
		return max(a, b), true
	case fn == "div" && b != 0:
		return a / b, true
	}
	return 0, false
}
