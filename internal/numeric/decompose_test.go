package numeric

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// The decompositions of matrices whose results NumPy computed, see testdata/decompose/make_decompose.py.
func TestDecompositionsEqualNumPy(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "decompose", "decompose.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name    string
		M, N, R int
		W       []float32
		Values  []float64 // the r largest singular values
		Product []float64 // [m, n], their part of w
		Q, Rows []float64 // [m, r], [r, n]
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			left, values, right := LeadingSVD(rand.New(rand.NewPCG(1, 2)), c.W, c.M, c.N, c.R)
			near(t, "singular values", values, c.Values, 1e-7*c.Values[0])
			orthoNormal(t, right)
			part := make([]float64, c.M*c.N)
			for k, s := range values {
				for i, u := range left[k] {
					Axpy(s*u, right[k], part[i*c.N:(i+1)*c.N])
				}
			}
			near(t, "leading part", part, c.Product, 1e-7*c.Values[0])
			q, rows := LeadingQR(c.W, c.M, c.N, c.R)
			near(t, "Q", q, c.Q, 1e-10)
			near(t, "R", rows, c.Rows, 1e-10*c.Values[0])
		})
	}
}

func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tolerance) {
			t.Fatalf("%s[%d] is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func orthoNormal(t *testing.T, vs [][]float64) {
	t.Helper()
	for i := range vs {
		for j := range i + 1 {
			want := 0.0
			if i == j {
				want = 1
			}
			if d := math.Abs(Dot(vs[i], vs[j]) - want); !(d < 1e-9) {
				t.Errorf("vectors %d and %d: product off by %v", i, j, d)
			}
		}
	}
}

// A Krylov space that closes early must not hide repeated singular values.
func TestSVDOfRepeatedValues(t *testing.T) {
	const n = 60
	w := make([]float32, n*n)
	for i := range n {
		w[i*n+i] = 1
		if i < 3 {
			w[i*n+i] = 2
		}
	}
	_, values, right := LeadingSVD(rand.New(rand.NewPCG(1, 2)), w, n, n, 5)
	near(t, "singular values", values, []float64{2, 2, 2, 1, 1}, 1e-9)
	orthoNormal(t, right)
	_, values, _ = LeadingSVD(rand.New(rand.NewPCG(1, 2)), make([]float32, n*n), n, n, 3)
	near(t, "singular values of zero", values, []float64{0, 0, 0}, 0)
}

// PiSSA of one module of BERT-base: Lanczos iteration needs a few hundred products with the weight.
func BenchmarkLeadingSVD(b *testing.B) {
	w := Normal(rand.New(rand.NewPCG(3, 4)), 768*768, 0.04)
	for b.Loop() {
		LeadingSVD(rand.New(rand.NewPCG(1, 2)), w, 768, 768, 8)
	}
}
