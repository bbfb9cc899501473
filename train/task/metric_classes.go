package task

import "math"

// confusion counts examples by [label][prediction].
func confusion(classes int, labels, predictions []int) [][]float64 {
	c := make([][]float64, classes)
	for i := range c {
		c[i] = make([]float64, classes)
	}
	for i, l := range labels {
		c[l][predictions[i]]++
	}
	return c
}

// accuracy is the share of examples whose prediction is the label's.
func accuracy(c [][]float64) float64 {
	right, all := 0.0, 0.0
	for k := range c {
		for j := range c {
			all += c[k][j]
		}
		right += c[k][k]
	}
	return right / max(1, all)
}

// macroF1 is the unweighted mean over the classes of 2·tp/(2·tp+fp+fn); a class that is neither a label nor a prediction
// counts 0, as in scikit-learn.
func macroF1(c [][]float64) float64 {
	sum := 0.0
	for k := range c {
		tp, wrong := c[k][k], 0.0
		for j := range c {
			if j != k {
				wrong += c[k][j] + c[j][k]
			}
		}
		if tp > 0 {
			sum += 2 * tp / (2*tp + wrong)
		}
	}
	return sum / float64(len(c))
}

// matthews is the multi-class Matthews correlation coefficient (Gorodkin 2004); 0 when either side is constant.
func matthews(c [][]float64) float64 {
	var trace, total, labelled2, predicted2, cross float64
	for k := range c {
		var label, predicted float64
		for j := range c {
			label += c[k][j]
			predicted += c[j][k]
		}
		trace += c[k][k]
		total += label
		labelled2 += label * label
		predicted2 += predicted * predicted
		cross += label * predicted
	}
	below := math.Sqrt(total*total-predicted2) * math.Sqrt(total*total-labelled2)
	if below == 0 {
		return 0
	}
	return (trace*total - cross) / below
}
