package models

import (
	"math"

	"github.com/peftgraph/peftgraph/graph"
)

// Exporters write one and the same formula in dozens of ways: operands swapped, constants on either side, products in any
// association, fused or not. So formulas are not matched by form: they are evaluated at a few points, and compared with what
// they should be. A pointwise expression is a value together with the numbers its leaves stand for.
type pointwise struct {
	leaf map[*graph.Value]float64
}

// eval computes v from its leaves; false when an operation on the way is not pointwise or a leaf has no number.
func (p *pointwise) eval(v *graph.Value) (float64, bool) {
	if v == nil {
		return 0, false
	}
	if x, ok := p.leaf[v]; ok {
		return x, true
	}
	if t := tensorOf(v); t != nil {
		return constScalar(v)
	}
	n := producer(v)
	f := pointwiseOp(n)
	if f == nil || v.OutputIndex() != 0 {
		return 0, false
	}
	args := make([]float64, 0, 2)
	for _, in := range operands(n) {
		x, ok := p.eval(in)
		if !ok {
			return 0, false
		}
		args = append(args, x)
	}
	return f(n, args), true
}

// leaves returns what v is computed from through pointwise operations: values that vary (variables) and constants of more
// than one element (parameters). The walk ends at the values for which stop holds.
func leaves(v *graph.Value, stop func(*graph.Value) bool) (variables, parameters []*graph.Value) {
	seen := map[*graph.Value]bool{}
	var visit func(*graph.Value)
	visit = func(v *graph.Value) {
		if v == nil || seen[v] {
			return
		}
		seen[v] = true
		if t := tensorOf(v); t != nil {
			if t.Len() != 1 {
				parameters = append(parameters, v)
			}
			return
		}
		if stop(v) || pointwiseOp(producer(v)) == nil || v.OutputIndex() != 0 {
			if _, ok := constScalar(v); !ok {
				variables = append(variables, v)
			}
			return
		}
		for _, in := range operands(producer(v)) {
			visit(in)
		}
	}
	visit(v)
	return variables, parameters
}

// operands returns the inputs that a pointwise operation computes with; the others only say how to arrange the result.
func operands(n *graph.Node) []*graph.Value {
	if rearranges(n) || n.Is("CastLike", "Dropout") {
		return n.Inputs()[:min(1, len(n.Inputs()))]
	}
	return n.Inputs()
}

type scalarFunc func(n *graph.Node, x []float64) float64

func pointwiseOp(n *graph.Node) scalarFunc {
	if n == nil {
		return nil
	}
	switch n.Domain {
	case "":
		return pointwiseOps[n.Op]
	case contrib:
		return contribOps[n.Op]
	}
	return nil
}

func unary(f func(float64) float64) scalarFunc {
	return func(_ *graph.Node, x []float64) float64 { return f(at(x, 0, math.NaN())) }
}

func binary(f func(a, b float64) float64) scalarFunc {
	return func(_ *graph.Node, x []float64) float64 { return f(at(x, 0, math.NaN()), at(x, 1, math.NaN())) }
}

func fold(f func(a, b float64) float64) scalarFunc {
	return func(_ *graph.Node, x []float64) float64 {
		y := at(x, 0, math.NaN())
		for i := 1; i < len(x); i++ {
			y = f(y, x[i])
		}
		return y
	}
}

var (
	same = unary(func(x float64) float64 { return x })
	add  = func(a, b float64) float64 { return a + b }
)

var pointwiseOps = map[string]scalarFunc{
	"Identity": same, "Dropout": same, "Cast": same, "CastLike": same,
	"Reshape": same, "Flatten": same, "Squeeze": same, "Unsqueeze": same,

	"Add": binary(add), "Sum": fold(add), "Max": fold(math.Max), "Min": fold(math.Min), "Pow": binary(math.Pow),
	"Sub": binary(func(a, b float64) float64 { return a - b }),
	"Mul": binary(func(a, b float64) float64 { return a * b }),
	"Div": binary(func(a, b float64) float64 { return a / b }),

	"Neg": unary(func(x float64) float64 { return -x }), "Reciprocal": unary(func(x float64) float64 { return 1 / x }),
	"Sqrt": unary(math.Sqrt), "Exp": unary(math.Exp), "Log": unary(math.Log), "Erf": unary(math.Erf), "Tanh": unary(math.Tanh),
	"Sigmoid": unary(sigmoid), "Softplus": unary(softplus), "Relu": unary(relu), "Mish": unary(mish),
	"Gelu": func(n *graph.Node, x []float64) float64 {
		if n.Str("approximate", "none") == "tanh" {
			return geluTanh(at(x, 0, math.NaN()))
		}
		return gelu(at(x, 0, math.NaN()))
	},
}

// contribOps are onnxruntime's; BiasGelu and FastGelu add a bias vector to their argument.
var contribOps = map[string]scalarFunc{
	"Gelu":     unary(gelu),
	"BiasGelu": func(_ *graph.Node, x []float64) float64 { return gelu(at(x, 0, math.NaN()) + at(x, 1, 0)) },
	"FastGelu": func(_ *graph.Node, x []float64) float64 { return geluTanh(at(x, 0, math.NaN()) + at(x, 1, 0)) },
	"QuickGelu": func(n *graph.Node, x []float64) float64 {
		v := at(x, 0, math.NaN())
		return v * sigmoid(float64(n.Float("alpha", 1.702))*v)
	},
}

// at returns operand i, or def where the node has fewer; NaN for one that the operator requires makes no known function.
func at(x []float64, i int, def float64) float64 {
	if i < len(x) {
		return x[i]
	}
	return def
}

func sigmoid(x float64) float64   { return 1 / (1 + math.Exp(-x)) }
func softplus(x float64) float64  { return math.Log1p(math.Exp(x)) }
func relu(x float64) float64      { return math.Max(x, 0) }
func mish(x float64) float64      { return x * math.Tanh(softplus(x)) }
func silu(x float64) float64      { return x * sigmoid(x) }
func quickGelu(x float64) float64 { return x * sigmoid(1.702*x) }

// gelu(x) = x·Φ(x), Hendrycks and Gimpel 2016, arXiv:1606.08415.
func gelu(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

// geluTanh(x) = ½x(1 + tanh(√(2/π)(x + 0.044715x³))), the approximation of the same paper.
func geluTanh(x float64) float64 {
	return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

// activations are the functions recognised between two linear maps, by their names in Hugging Face configurations
// (gelu_tanh stands for gelu_new, gelu_fast and gelu_pytorch_tanh, which are the same function).
var activations = map[string]func(float64) float64{
	"gelu": gelu, "gelu_tanh": geluTanh, "quick_gelu": quickGelu, "relu": relu, "silu": silu, "tanh": math.Tanh, "mish": mish,
	"sigmoid": sigmoid,
}

// probes are where functions are compared.
var probes = []float64{-3.1, -2.1, -1.3, -0.4, 0.2, 0.9, 1.7, 2.3, 4.5}

// sameFunction is how far apart a function and its known form may be: constants may have 8 bits (bfloat16). It is as far as
// gelu and gelu_tanh are from each other, so the nearest one is taken.
const sameFunction = 5e-4

func close64(a, b float64) bool { return math.Abs(a-b) <= 2e-5*math.Max(1, math.Abs(b)) }

// otherActivation names a pointwise function of one variable that is none of the known ones.
const otherActivation = "other"

// activationName says which function of x (or of x + bias, for fused operators) y is; "" when it is x itself or can't be
// evaluated.
func activationName(y, x, bias *graph.Value) string {
	values := make([]float64, len(probes))
	args := make([]float64, len(probes))
	unchanged := true
	for i, at := range probes {
		p := pointwise{leaf: map[*graph.Value]float64{x: at}}
		args[i] = at
		if bias != nil {
			b := 0.3 * float64(i%3)
			p.leaf[bias] = b
			args[i] += b
		}
		v, ok := p.eval(y)
		if !ok {
			return ""
		}
		values[i] = v
		unchanged = unchanged && close64(v, args[i])
	}
	if unchanged {
		return ""
	}
	best, nearest := otherActivation, sameFunction
	for name, f := range activations {
		if d := distance(f, args, values); d < nearest {
			best, nearest = name, d
		}
	}
	return best
}

// distance is the largest difference between f at args and values.
func distance(f func(float64) float64, args, values []float64) float64 {
	worst := 0.0
	for i, x := range args {
		if d := math.Abs(values[i] - f(x)); d > worst || math.IsNaN(d) {
			worst = d
		}
	}
	if math.IsNaN(worst) {
		return math.Inf(1)
	}
	return worst
}
