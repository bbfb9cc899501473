package gradcheck

import "math"

// DefaultStep is the first step of a difference that suits float64.
const DefaultStep = 8e-3

// Slope returns f'(0) by the method of Ridders (Advances in Engineering Software 4, 1982, 75): central differences at steps
// that are halved from the first one, extrapolated to 0, of which it takes the estimate whose predecessors agree with it best.
// A large step rounds least, so it is left only where the function isn't smooth that far, at a ReLU's kink for one.
func Slope(step float64, f func(h float64) (float64, error)) (float64, error) {
	best, bound := math.NaN(), math.Inf(1)
	var before []float64
	for range 10 {
		up, err := f(step)
		if err != nil {
			return 0, err
		}
		down, err := f(-step)
		if err != nil {
			return 0, err
		}
		row := []float64{(up - down) / (2 * step)}
		rounding := 0x1p-52 * max(math.Abs(up), math.Abs(down)) / step // agreement below that is chance
		for j, b := range before {
			d := row[j] + (row[j]-b)/(math.Exp2(float64(2*j+2))-1)
			if e := max(math.Abs(d-row[j]), math.Abs(d-b), rounding); e < bound {
				best, bound = d, e
			}
			row = append(row, d)
		}
		if bound <= max(rounding, 1e-10*math.Abs(best)) {
			break
		}
		before, step = row, step/2
	}
	return best, nil
}
