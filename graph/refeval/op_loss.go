package refeval

import (
	"fmt"
	"slices"
)

func init() {
	register("", "NegativeLogLikelihoodLoss", 12, arity{2, 3}, one(func(c *call) (*array, error) { return nll(c, c.in[0]) }))
	register("", "SoftmaxCrossEntropyLoss", 12, arity{2, 3}, crossEntropy)
}

func crossEntropy(c *call) ([]*array, error) {
	x, err := c.floatArg(0)
	if err != nil {
		return nil, err
	}
	if x.rank() < 2 {
		return nil, fmt.Errorf("scores %s need the axes [batch, class]", x)
	}
	logProb := x.alongAxis(1, logSoftmax)
	loss, err := nll(c, logProb)
	return []*array{loss, logProb}, err
}

// nll is -w[t]·logProb[b, t, …] for each target t, reduced as the attribute says; the mean divides by Σ w[t]. Targets equal
// to ignore_index weigh nothing.
func nll(c *call, logProb *array) (*array, error) {
	targets, weights := c.in[1], c.arg(2)
	if logProb.rank() < 2 || !slices.Equal(targets.dims, slices.Delete(slices.Clone(logProb.dims), 1, 2)) {
		return nil, fmt.Errorf("targets %s don't fit scores %s", targets, logProb)
	}
	classes := logProb.dims[1]
	if weights != nil && (!weights.isFloat() || !slices.Equal(weights.dims, []int{classes})) {
		return nil, fmt.Errorf("weights %s must be one number for each of %d classes", weights, classes)
	}
	ignore, hasIgnore := c.node.Int("ignore_index", 0), c.node.Attr("ignore_index") != nil
	out, total, inner := newArray(logProb.dtype, targets.dims), 0., product(logProb.dims[2:])
	for k, t := range targets.i {
		if hasIgnore && t == ignore {
			continue
		}
		if t < 0 || t >= int64(classes) {
			return nil, fmt.Errorf("target %d is outside %d classes", t, classes)
		}
		w := 1.
		if weights != nil {
			w = weights.f[t]
		}
		total += w
		out.f[k] = -w * logProb.f[(k/inner*classes+int(t))*inner+k%inner]
	}
	return reduceLoss(c, out, total)
}

func reduceLoss(c *call, losses *array, weight float64) (*array, error) {
	scalar := func(v float64) (*array, error) { return floats(losses.dtype, []int{}, []float64{v}), nil }
	switch how := c.node.Str("reduction", "mean"); how {
	case "none":
		return losses, nil
	case "sum":
		return scalar(sum(losses.f))
	case "mean":
		return scalar(sum(losses.f) / weight)
	default:
		return nil, fmt.Errorf("reduction is %q, must be none, sum or mean", how)
	}
}
