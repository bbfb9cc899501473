// Package numeric has the decompositions, products and random draws that adapters start from and are merged by, and what else
// several packages compute on plain slices.
package numeric

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// LeadingQR returns the first r columns of Q as [m, r] and the first r rows of R as [r, n] of the QR decomposition of
// w [m, n], r ≤ min(m, n), by Householder reflections with LAPACK's choice of signs, which is also PyTorch's.
func LeadingQR(w []float32, m, n, r int) (q, rr []float64) {
	a := make([]float64, m*n)
	for i, v := range w {
		a[i] = float64(v)
	}
	vs := make([][]float64, r)
	for k := range r {
		vs[k] = reflection(a, m, n, k)
		mirror(a, n, k, vs[k])
	}
	rr = make([]float64, r*n)
	for k := range r {
		copy(rr[k*n+k:(k+1)*n], a[k*n+k:(k+1)*n])
	}
	q = make([]float64, m*r)
	for k := range r {
		q[k*r+k] = 1
	}
	for k := r - 1; k >= 0; k-- {
		mirror(q, r, k, vs[k])
	}
	return q, rr
}

// reflection returns the unit vector v, from row k on, whose reflection I − 2·v·vᵀ clears column k of a [m, n] below the
// diagonal; nil when it is clear.
func reflection(a []float64, m, n, k int) []float64 {
	v := make([]float64, m-k)
	for i := range v {
		v[i] = a[(k+i)*n+k]
	}
	if Norm(v[1:]) == 0 {
		return nil
	}
	v[0] += math.Copysign(Norm(v), v[0])
	Scale(v, 1/Norm(v))
	return v
}

// mirror applies I − 2·v·vᵀ to the rows of a [·, n] from k on.
func mirror(a []float64, n, k int, v []float64) {
	if v == nil {
		return
	}
	sums := make([]float64, n)
	for i, f := range v {
		Axpy(f, a[(k+i)*n:(k+i+1)*n], sums)
	}
	for i, f := range v {
		Axpy(-2*f, sums, a[(k+i)*n:(k+i+1)*n])
	}
}

// LeadingSVD returns the r largest singular values of w [m, n], r ≤ min(m, n), with their left vectors (m long) and right
// vectors (n long): Lanczos iteration on w·wᵀ or wᵀ·w, the smaller, each new vector made orthogonal to all earlier ones,
// until the r vectors no longer move or the whole space is spanned.
func LeadingSVD(rng *rand.Rand, w []float32, m, n, r int) (left [][]float64, values []float64, right [][]float64) {
	if m < n {
		right, values, left = LeadingSVD(rng, Transpose(w, m, n), n, m, r)
		return left, values, right
	}
	l := lanczos{rng: rng, size: n, apply: func(v []float64) []float64 {
		return timesTransposed(w, n, Times(w, n, v))
	}}
	squares, right := l.leading(r)
	for k, s := range squares {
		u := Times(w, n, right[k])
		values = append(values, math.Sqrt(max(s, 0)))
		if norm := Norm(u); norm > 0 {
			Scale(u, 1/norm)
		}
		left = append(left, u)
	}
	return left, values, right
}

// A lanczos iteration finds the largest eigenvalues of a symmetric positive semidefinite operator.
type lanczos struct {
	rng   *rand.Rand
	size  int
	apply func([]float64) []float64

	basis       [][]float64
	next        []float64 // the basis vector to come; nil when the basis holds all that its vectors lead to
	diag, below []float64 // the operator in the basis, which is tridiagonal
}

// leading returns the r largest eigenvalues, falling, with their unit eigenvectors.
func (l *lanczos) leading(r int) (values []float64, vectors [][]float64) {
	for look := min(l.size, r+24); ; look = min(l.size, look+look/2) {
		l.extend(look)
		values, rows := eigen(l.diag, l.below[:look-1])
		if look < l.size && !l.settled(values, rows, r) {
			continue
		}
		for _, row := range rows[:r] {
			v := make([]float64, l.size)
			for j, f := range row {
				Axpy(f, l.basis[j], v)
			}
			vectors = append(vectors, v)
		}
		return values[:r], vectors
	}
}

// settled reports whether ‖G·v − λ·v‖ is negligible for the r largest. Where the basis is closed it isn't told apart from
// one that lacks the second vector of a repeated value.
func (l *lanczos) settled(values []float64, rows [][]float64, r int) bool {
	last := len(l.basis) - 1
	for _, row := range rows[:r] {
		if l.next == nil || l.below[last]*math.Abs(row[last]) > 1e-12*values[0] {
			return false
		}
	}
	return true
}

// extend grows the basis to n vectors.
func (l *lanczos) extend(n int) {
	for len(l.basis) < n {
		if l.next == nil {
			l.next = make([]float64, l.size)
			for i := range l.next {
				l.next[i] = l.rng.NormFloat64()
			}
			l.clear(l.next)
			Scale(l.next, 1/Norm(l.next))
		}
		v := l.next
		l.basis = append(l.basis, v)
		w := l.apply(v)
		l.diag = append(l.diag, Dot(v, w))
		whole := Norm(w)
		l.clear(w)
		out := Norm(w)
		if l.next = w; out <= 1e-13*whole {
			l.next, out = nil, 0
		} else {
			Scale(w, 1/out)
		}
		l.below = append(l.below, out)
	}
}

// clear makes v orthogonal to the basis; the second round takes what rounding left of the first.
func (l *lanczos) clear(v []float64) {
	for range 2 {
		for _, b := range l.basis {
			Axpy(-Dot(v, b), b, v)
		}
	}
}

// eigen returns the eigenvalues, falling, and the unit eigenvectors of the symmetric tridiagonal matrix with the given
// diagonal and n−1 elements below it, by the QL algorithm with implicit shifts (Bowdler, Martin, Reinsch, Wilkinson 1968).
func eigen(diag, below []float64) (values []float64, vectors [][]float64) {
	n := len(diag)
	d, e := slices.Clone(diag), append(slices.Clone(below), 0)
	z := make([][]float64, n)
	for i := range z {
		z[i] = make([]float64, n)
		z[i][i] = 1
	}
	const most = 100 // two or three rounds a value are usual
	for l := range n {
		for range most {
			m := l
			for m < n-1 && math.Abs(e[m]) > 1e-16*(math.Abs(d[m])+math.Abs(d[m+1])) {
				m++
			}
			if m == l {
				break
			}
			chase(d, e, z, l, m)
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(d[j], d[i]) })
	for _, i := range order {
		values, vectors = append(values, d[i]), append(vectors, z[i])
	}
	return values, vectors
}

// chase is one shifted QL step on the block l…m.
func chase(d, e []float64, z [][]float64, l, m int) {
	g := (d[l+1] - d[l]) / (2 * e[l])
	g = d[m] - d[l] + e[l]/(g+math.Copysign(math.Hypot(g, 1), g))
	sin, cos, p := 1.0, 1.0, 0.0
	for i := m - 1; i >= l; i-- {
		f, b := sin*e[i], cos*e[i]
		r := math.Hypot(f, g)
		e[i+1] = r
		if r == 0 {
			d[i+1] -= p
			e[m] = 0
			return
		}
		sin, cos = f/r, g/r
		g = d[i+1] - p
		r = (d[i]-g)*sin + 2*cos*b
		p = sin * r
		d[i+1] = g + p
		g = cos*r - b
		for k, hi := range z[i+1] {
			lo := z[i][k]
			z[i+1][k], z[i][k] = sin*lo+cos*hi, cos*lo-sin*hi
		}
	}
	d[l] -= p
	e[l], e[m] = g, 0
}
