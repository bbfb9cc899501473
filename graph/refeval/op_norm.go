package refeval

import (
	"fmt"
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "LayerNormalization", 1, arity{2, 3}, layerNorm) // 17 in the standard, 1 in onnxruntime
	register("", "SimplifiedLayerNormalization", 1, arity{2, 2}, rmsNorm)
	register("", "RMSNormalization", 23, arity{2, 2}, rmsNorm)
	register("com.microsoft", "SkipLayerNormalization", 1, arity{3, 5}, skipNorm(true))
	register("com.microsoft", "SkipSimplifiedLayerNormalization", 1, arity{3, 4}, skipNorm(false))
}

// normalized is what a normalisation computes: y = (x - mean)·invStd·scale + bias over the axes from axis on.
type normalized struct{ y, mean, invStd *array }

// normalize runs Ba, Kiros & Hinton 2016; without centering it is Zhang & Sennrich 2019, mean staying 0.
func normalize(x, scale, bias *array, axis int, eps float64, center bool, stash graph.DType) (normalized, error) {
	stats := slices.Clone(x.dims)
	for k := axis; k < len(stats); k++ {
		stats[k] = 1
	}
	n := product(x.dims[axis:])
	r := normalized{newArray(x.dtype, x.dims), newArray(stash, stats), newArray(stash, stats)}
	for k := range r.mean.f {
		in, out := x.f[k*n:(k+1)*n], r.y.f[k*n:(k+1)*n]
		if center {
			r.mean.f[k] = mean(in)
		}
		for j, v := range in {
			out[j] = v - r.mean.f[k]
		}
		r.invStd.f[k] = 1 / math.Sqrt(sumSquare(out)/float64(n)+eps)
		for j := range out {
			out[j] *= r.invStd.f[k]
		}
	}
	var err error
	if r.y, err = affine(r.y, scale, bias); err != nil {
		return normalized{}, err
	}
	return r, nil
}

// affine is y·scale + bias; bias may be nil, and neither may widen y.
func affine(y, scale, bias *array) (*array, error) {
	out, err := combine(y, scale.as(y.dtype), mul[float64], nil)
	if err == nil && bias != nil {
		out, err = combine(out, bias.as(y.dtype), add[float64], nil)
	}
	if err == nil && !slices.Equal(out.dims, y.dims) {
		err = fmt.Errorf("scale %s and bias %s don't broadcast to %v", scale, bias, y.dims)
	}
	return out, err
}

func (c *call) floatArgs(n int) error {
	for i := range n {
		if a := c.arg(i); a != nil && !a.isFloat() {
			return fmt.Errorf("input %d is %s, must be floating", i, a)
		}
	}
	return nil
}

func layerNorm(c *call) ([]*array, error) {
	r, err := axisNorm(c, true)
	if err != nil {
		return nil, err
	}
	return []*array{r.y, r.mean, r.invStd}, nil
}

func rmsNorm(c *call) ([]*array, error) {
	r, err := axisNorm(c, false)
	if err != nil {
		return nil, err
	}
	return []*array{r.y, r.invStd}, nil
}

func axisNorm(c *call, center bool) (normalized, error) {
	if err := c.floatArgs(3); err != nil {
		return normalized{}, err
	}
	axis, err := c.axis(-1, c.in[0].rank())
	if err != nil {
		return normalized{}, err
	}
	stash := graph.DType(c.node.Int("stash_type", int64(graph.Float)))
	if !stash.IsFloat() {
		return normalized{}, fmt.Errorf("stash_type is %s, must be floating", stash)
	}
	return normalize(c.in[0], c.in[1], c.arg(2), axis, attr(c, "epsilon", 1e-5), center, stash)
}

// skipNorm is onnxruntime's normalisation of input + skip + bias; output 3 is that sum.
func skipNorm(center bool) kernel {
	return func(c *call) ([]*array, error) {
		if err := c.floatArgs(5); err != nil {
			return nil, err
		}
		beta, bias := c.arg(3), c.arg(4)
		if !center {
			beta, bias = nil, c.arg(3)
		}
		total, err := combine(c.in[0], c.in[1], add[float64], nil)
		if err == nil && bias != nil {
			total, err = combine(total, bias, add[float64], nil)
		}
		if err != nil {
			return nil, err
		}
		if total.rank() == 0 {
			return nil, fmt.Errorf("input %s needs an axis to normalise", c.in[0])
		}
		r, err := normalize(total, c.in[2], beta, total.rank()-1, attr(c, "epsilon", 1e-12), center, graph.Float)
		if err != nil {
			return nil, err
		}
		return []*array{r.y, r.mean, r.invStd, total}, nil
	}
}
