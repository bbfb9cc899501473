package inject

import "math/rand/v2"

// LeadingSVD returns the r largest singular values of w [m, n], falling, with their left vectors (m long) and right vectors
// (n long); r must be at most min(m, n).
func LeadingSVD(w []float32, m, n, r int) (left [][]float64, values []float64, right [][]float64) {
	return leadingSVD(rand.New(rand.NewPCG(1, 2)), w, m, n, r)
}

// LeadingQR returns the first r columns of Q as [m, r] and the first r rows of R as [r, n] of w's QR decomposition, w [m, n];
// r must be at most min(m, n).
func LeadingQR(w []float32, m, n, r int) (q, rr []float64) { return leadingQR(w, m, n, r) }
