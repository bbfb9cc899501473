package inject

import (
	"math"
	"regexp"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// layerPath is a layer's part of a module's path.
var layerPath = regexp.MustCompile(`^.*?\.layer\.\d+`)

// activations by the names that Hugging Face has for them, in operators that mean the same at every operator set from 9 on.
var activations = map[string]func(*graph.Patch, *graph.Value) *graph.Value{
	"relu":     func(p *graph.Patch, x *graph.Value) *graph.Value { return p.Op("Relu", x) },
	"tanh":     func(p *graph.Patch, x *graph.Value) *graph.Value { return p.Op("Tanh", x) },
	"swish":    swish,
	"silu":     swish,
	"gelu":     gelu,
	"gelu_new": geluTanh,
}

// swish is x·σ(x).
func swish(p *graph.Patch, x *graph.Value) *graph.Value {
	return p.Op("Mul", x, p.Op("Sigmoid", x))
}

// gelu is x·½(1 + erf(x/√2)).
func gelu(p *graph.Patch, x *graph.Value) *graph.Value {
	erf := p.Op("Erf", p.Op("Div", x, p.Float(graph.Float, math.Sqrt2)))
	return p.Op("Mul", p.Op("Mul", x, p.Op("Add", erf, p.Float(graph.Float, 1))), p.Float(graph.Float, 0.5))
}

// geluTanh is ½x(1 + tanh(√(2/π)(x + 0.044715·x³))).
func geluTanh(p *graph.Patch, x *graph.Value) *graph.Value {
	cube := p.Op("Mul", p.Op("Pow", x, p.Float(graph.Float, 3)), p.Float(graph.Float, 0.044715))
	t := p.Op("Tanh", p.Op("Mul", p.Op("Add", x, cube), p.Float(graph.Float, math.Sqrt(2/math.Pi))))
	return p.Op("Mul", p.Op("Mul", x, p.Float(graph.Float, 0.5)), p.Op("Add", t, p.Float(graph.Float, 1)))
}

// layerNorm applies n's LayerNorm, with n's parameters as they are trained, to x:
//
//	y = (x − mean(x)) / √(var(x) + ε) · scale + bias
func (in *Injection) layerNorm(p *graph.Patch, n *models.Norm, x *graph.Value) *graph.Value {
	scale := in.parameter(n.Name, n.Scale)
	var bias *graph.Value
	if n.Bias != nil {
		bias = in.parameter(n.Name, n.Bias)
	}
	return in.normalized(p, x, scale, bias, n.Eps)
}

// normalized is layerNorm with the given parameters; bias may be nil.
func (in *Injection) normalized(p *graph.Patch, x, scale, bias *graph.Value, eps float64) *graph.Value {
	if in.Graph.Opset() >= 17 {
		return p.With(graph.IntAttr("axis", -1), graph.FloatAttr("epsilon", float32(eps))).Op("LayerNormalization", x, scale, bias)
	}
	mean := p.With(graph.IntsAttr("axes", -1), graph.IntAttr("keepdims", 1))
	d := p.Op("Sub", x, mean.Op("ReduceMean", x))
	variance := mean.Op("ReduceMean", p.Op("Mul", d, d))
	root := p.Op("Sqrt", p.Op("Add", variance, p.Float(graph.Float, eps)))
	y := p.Op("Mul", p.Op("Div", d, root), scale)
	if bias != nil {
		y = p.Op("Add", y, bias)
	}
	return y
}
