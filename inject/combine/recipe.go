package combine

import (
	"cmp"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/peftgraph/peftgraph/internal/numeric"
)

// combine returns a module's new A [rank, in] and B [out, rank]; the scale is 1.
func (r recipe) combine(m *module, rank int, opt Options) (a, b []float32) {
	switch {
	case r.exact:
		return m.cat(rank)
	case !r.delta:
		return r.apart(m, opt)
	case r.prune == "" || opt.Density == 1 && !r.ties:
		return m.nearest(rank)
	}
	var deltas [][]float64
	var weights []float64
	for _, p := range m.parts {
		d := make([]float64, m.out*m.in)
		for o := range m.out {
			p.row(o, m.in, p.scale, d[o*m.in:(o+1)*m.in])
		}
		deltas, weights = append(deltas, d), append(weights, p.weight)
	}
	return factors(r.merge(m, "delta", deltas, weights, opt), m.out, m.in, rank)
}

// cat is A = [A₁; A₂; …] and B = [w₁·s₁·B₁, w₂·s₂·B₂, …], filled up with zeros.
func (m *module) cat(rank int) (a, b []float32) {
	a, b = make([]float32, 0, rank*m.in), make([]float32, m.out*rank)
	for _, p := range m.parts {
		k := len(a) / m.in
		for o := range m.out {
			for j, v := range p.b[o*p.rank : (o+1)*p.rank] {
				b[o*rank+k+j] = float32(p.factor() * float64(v))
			}
		}
		a = append(a, p.a...)
	}
	return append(a, make([]float32, rank*m.in-len(a))...), b
}

// apart merges the A and the B each for itself, as PEFT does: the root of weight times scale goes to both and the sign to A.
func (r recipe) apart(m *module, opt Options) (a, b []float32) {
	var as, bs [][]float64
	var fa, fb []float64
	for _, p := range m.parts {
		as, bs = append(as, numeric.Widen(p.a)), append(bs, numeric.Widen(p.b))
		root := math.Sqrt(math.Abs(p.factor()))
		fa, fb = append(fa, math.Copysign(root, p.factor())), append(fb, root)
	}
	return numeric.Narrow(r.merge(m, "A", as, fa, opt)), numeric.Narrow(r.merge(m, "B", bs, fb, opt))
}

// merge prunes tensors of one shape and sums them with their factors, or averages those of the elected sign.
func (r recipe) merge(m *module, what string, xs [][]float64, fs []float64, opt Options) []float64 {
	for i := range xs {
		switch {
		case opt.Density == 1 || r.prune == "":
		case r.prune == "magnitude":
			keepLargest(xs[i], opt.Density)
		default:
			h := fnv.New64a()
			h.Write([]byte(m.target + "/" + what))
			dropRandom(rand.New(rand.NewPCG(opt.Seed, h.Sum64()+uint64(m.parts[i].input))), xs[i], opt.Density)
		}
	}
	sum := make([]float64, len(xs[0]))
	for j := range sum {
		if r.ties {
			sum[j] = elect(xs, fs, j, opt.Signs)
			continue
		}
		for i, x := range xs {
			sum[j] += fs[i] * x[j]
		}
	}
	return sum
}

// elect is TIES at element j: the mean of f·x over the x whose sign is that of Σ x, or of Σ sign x for "frequency"; a sum of
// zero counts as positive.
func elect(xs [][]float64, fs []float64, j int, signs string) float64 {
	total := 0.0
	for _, x := range xs {
		if signs == "frequency" {
			total += sign(x[j])
		} else {
			total += x[j]
		}
	}
	want, sum, n := 1.0, 0.0, 0
	if total < 0 {
		want = -1
	}
	for i, x := range xs {
		if sign(x[j]) == want {
			sum += fs[i] * x[j]
			n++
		}
	}
	return sum / float64(max(n, 1))
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// keepLargest zeroes all but the ⌊density·n⌋ elements of the largest magnitude.
func keepLargest(x []float64, density float64) {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(math.Abs(x[j]), math.Abs(x[i])) })
	for _, i := range order[int(density*float64(len(x))):] {
		x[i] = 0
	}
}

// dropRandom zeroes each element with probability 1 − density and divides the others by density.
func dropRandom(rng *rand.Rand, x []float64, density float64) {
	for i := range x {
		if rng.Float64() < density {
			x[i] /= density
		} else {
			x[i] = 0
		}
	}
}

// nearest returns factors of the best approximation of the weighted sum. The sum itself, B·A with all parts side by side, is
// never formed: with B = Q·R and Aᵀ = P·S its singular values are those of R·Sᵀ.
func (m *module) nearest(rank int) (a, b []float32) {
	all := 0
	for _, p := range m.parts {
		all += p.rank
	}
	if all >= min(m.in, m.out) {
		sum := make([]float64, m.out*m.in)
		for o := range m.out {
			for _, p := range m.parts {
				p.row(o, m.in, p.factor(), sum[o*m.in:(o+1)*m.in])
			}
		}
		return factors(sum, m.out, m.in, rank)
	}
	wideA, wideB := m.cat(all)
	tall := make([]float32, len(wideA))
	for k := range all {
		for i := range m.in {
			tall[i*all+k] = wideA[k*m.in+i]
		}
	}
	q, qr := numeric.LeadingQR(wideB, m.out, all, all)
	p, pr := numeric.LeadingQR(tall, m.in, all, all)
	core := make([]float32, all*all)
	for i := range all {
		for j := range all {
			sum := 0.0
			for k := range all {
				sum += qr[i*all+k] * pr[j*all+k]
			}
			core[i*all+j] = float32(sum)
		}
	}
	left, values, right := numeric.LeadingSVD(rand.New(rand.NewPCG(1, 2)), core, all, all, min(rank, all))
	for k := range left {
		left[k], right[k] = numeric.Times(q, all, left[k]), numeric.Times(p, all, right[k])
	}
	return pack(left, values, right, m.out, m.in, rank)
}

// factors returns A and B of the rank with B·A nearest to w [out, in].
func factors(w []float64, out, in, rank int) (a, b []float32) {
	left, values, right := numeric.LeadingSVD(rand.New(rand.NewPCG(1, 2)), numeric.Narrow(w), out, in, rank)
	return pack(left, values, right, out, in, rank)
}

// pack makes A of the right vectors and B of the left ones times the values.
func pack(left [][]float64, values []float64, right [][]float64, out, in, rank int) (a, b []float32) {
	a, b = make([]float32, rank*in), make([]float32, out*rank)
	for k, s := range values {
		for i, v := range right[k] {
			a[k*in+i] = float32(v)
		}
		for o, v := range left[k] {
			b[o*rank+k] = float32(s * v)
		}
	}
	return a, b
}
