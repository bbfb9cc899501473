package inject

import (
	"fmt"
	"math"
	"math/rand/v2"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
)

// A loraStart is one way to start A [r, in] and B [out, r].
type loraStart struct {
	a, b string // what the plan calls the starts
	make func(rng *rand.Rand, l *models.Linear, r int, scale float64) (a, b []float32, err error)
	// fromBase: s·B·A is a part of the weight, which the layer is relieved of.
	fromBase bool
}

// loraStarts are PEFT's init_lora_weights: True is "default", False is "random".
var loraStarts = map[string]loraStart{
	"default":    {a: "kaiming_uniform(sqrt5)", b: "zeros", make: startDefault},
	"random":     {a: "kaiming_uniform(sqrt5)", b: "kaiming_uniform(sqrt5)", make: startRandom},
	"gaussian":   {a: "normal(1/r)", b: "zeros", make: startGaussian},
	"orthogonal": {a: "orthogonal", b: "orthogonal", make: startOrthogonal},
	"pissa":      {a: "pissa", b: "pissa", make: startPiSSA, fromBase: true},
	"olora":      {a: "olora", b: "olora", make: startOLoRA, fromBase: true},
}

// factors are what one module's update starts from.
type factors struct {
	r     int
	scale float64
	a, b  []float32 // [r, in], [out, r]
	err   error
}

// start computes a module's factors; it reads the graph and changes nothing.
func (l *LoRA) start(in *Injection, lin *models.Linear) (f factors) {
	if lin.Weight.DType != graph.Float {
		f.err = fmt.Errorf("its weight %q is %s: only float32 models can be trained; export the model in float32", lin.Weight.Name(), lin.Weight.DType)
		return f
	}
	if f.r, f.scale, f.err = l.size(in.path(lin.Name), lin.In, lin.Out); f.err != nil {
		return f
	}
	if in.unset && l.FromBase() {
		f.a, f.b = nans(f.r*lin.In), nans(lin.Out*f.r)
		return f
	}
	f.a, f.b, f.err = loraStarts[l.Init].make(in.Rand(lin.Name), lin, f.r, f.scale)
	return f
}

func nans(n int) []float32 { return slices.Repeat([]float32{float32(math.NaN())}, n) }

// concurrently calls do for 0…n−1 on all cores: decompositions of a large model's weights take seconds.
func concurrently(n int, do func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(n, goruntime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// startDefault: A Kaiming uniform with a=√5, which is U(−1/√in, 1/√in), and B zero.
func startDefault(rng *rand.Rand, l *models.Linear, r int, _ float64) (a, b []float32, err error) {
	return numeric.Uniform(rng, r*l.In, 1/math.Sqrt(float64(l.In))), make([]float32, l.Out*r), nil
}

// startRandom: both as torch.nn.Linear starts.
func startRandom(rng *rand.Rand, l *models.Linear, r int, _ float64) (a, b []float32, err error) {
	return numeric.Uniform(rng, r*l.In, 1/math.Sqrt(float64(l.In))), numeric.Uniform(rng, l.Out*r, 1/math.Sqrt(float64(r))), nil
}

// startGaussian: A normal with standard deviation 1/r, B zero.
func startGaussian(rng *rand.Rand, l *models.Linear, r int, _ float64) (a, b []float32, err error) {
	return numeric.Normal(rng, r*l.In, 1/float64(r)), make([]float32, l.Out*r), nil
}

// startOrthogonal: A and B span orthogonal halves of the rank, so that B·A is zero and neither is (as PEFT's "orthogonal":
// with the odd and even rows of an orthogonal matrix Q, A = (N(in, r/2)·Q_odd)ᵀ/10 and B = N(r/2, out)ᵀ·Q_even/10).
func startOrthogonal(rng *rand.Rand, l *models.Linear, r int, _ float64) (a, b []float32, err error) {
	if r%2 != 0 {
		return nil, nil, fmt.Errorf("--init orthogonal: rank %d: must be even", r)
	}
	q, _ := numeric.LeadingQR(numeric.Normal(rng, r*r, 1), r, r, r)
	a, b = make([]float32, r*l.In), make([]float32, l.Out*r)
	half := r / 2
	span := func(n, offset int, set func(i, k int, v float32)) {
		g := numeric.Normal(rng, n*half, 1)
		for i := range n {
			for k := range r {
				sum := 0.0
				for h := range half {
					sum += float64(g[i*half+h]) * q[(2*h+offset)*r+k]
				}
				set(i, k, float32(sum/10))
			}
		}
	}
	span(l.In, 0, func(i, k int, v float32) { a[k*l.In+i] = v })
	span(l.Out, 1, func(o, k int, v float32) { b[o*r+k] = v })
	return a, b, nil
}

// startPiSSA takes the r largest singular values of W = U·S·Vᵀ (Meng et al. 2024): B = U·√(S/s), A = √(S/s)·Vᵀ.
func startPiSSA(rng *rand.Rand, l *models.Linear, r int, scale float64) (a, b []float32, err error) {
	w, err := decomposable(l, r, "pissa")
	if err != nil {
		return nil, nil, err
	}
	u, s, v := numeric.LeadingSVD(rng, w, l.Out, l.In, r)
	a, b = make([]float32, r*l.In), make([]float32, l.Out*r)
	for k := range r {
		f := math.Sqrt(s[k] / scale)
		for i, x := range v[k] {
			a[k*l.In+i] = float32(f * x)
		}
		for o, x := range u[k] {
			b[o*r+k] = float32(f * x)
		}
	}
	return a, b, nil
}

// startOLoRA takes the first r columns of Q and rows of R of W = Q·R (Büyükakyüz 2024): B = Q[:, :r], A = R[:r].
func startOLoRA(_ *rand.Rand, l *models.Linear, r int, _ float64) (a, b []float32, err error) {
	w, err := decomposable(l, r, "olora")
	if err != nil {
		return nil, nil, err
	}
	q, rr := numeric.LeadingQR(w, l.Out, l.In, r)
	a, b = make([]float32, len(rr)), make([]float32, len(q))
	for i, x := range rr {
		a[i] = float32(x)
	}
	for i, x := range q {
		b[i] = float32(x)
	}
	return a, b, nil
}

// decomposable returns a module's weight as [out, in].
func decomposable(l *models.Linear, r int, how string) ([]float32, error) {
	if r > min(l.In, l.Out) {
		return nil, fmt.Errorf("--init %s: rank %d: a weight of %d×%d has no more than %d", how, r, l.Out, l.In, min(l.In, l.Out))
	}
	w, _, err := baseLinear(l)
	if err != nil {
		return nil, err
	}
	data, err := graph.Data[float32](w)
	if err != nil {
		return nil, err
	}
	for _, v := range data {
		if v-v != 0 {
			return nil, fmt.Errorf("--init %s: the weight %q has elements that are not finite", how, l.Weight.Name())
		}
	}
	return data, nil
}
