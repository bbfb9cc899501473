package models

import (
	"math"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// buildActivations append an activation, by the names of Hugging Face's configurations. GELUs are primitives where the operator
// set has no Gelu; onnxruntime and the canonical form of training both recognise them there.
var buildActivations = map[string]func(b *graph.Builder, x *graph.Value) *graph.Value{
	"gelu":              emitGelu,
	"gelu_new":          emitGeluTanh,
	"gelu_fast":         emitGeluTanh,
	"gelu_pytorch_tanh": emitGeluTanh,
	"quick_gelu":        func(b *graph.Builder, x *graph.Value) *graph.Value { return swish(b, x, 1.702) },
	"silu":              func(b *graph.Builder, x *graph.Value) *graph.Value { return swish(b, x, 1) },
	"swish":             func(b *graph.Builder, x *graph.Value) *graph.Value { return swish(b, x, 1) },
	"relu":              func(b *graph.Builder, x *graph.Value) *graph.Value { return b.Op("Relu", x) },
	"sigmoid":           func(b *graph.Builder, x *graph.Value) *graph.Value { return b.Op("Sigmoid", x) },
	"tanh":              func(b *graph.Builder, x *graph.Value) *graph.Value { return b.Op("Tanh", x) },
}

// BuildableActivations returns the names of the activations that [Build] can write, sorted.
func BuildableActivations() []string {
	out := make([]string, 0, len(buildActivations))
	for name := range buildActivations {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

const opsetGelu = 20

// emitGelu: x·½·(1 + erf(x/√2)).
func emitGelu(b *graph.Builder, x *graph.Value) *graph.Value {
	if b.Graph().Opset() >= opsetGelu {
		return b.Op("Gelu", x)
	}
	f := func(v float64) *graph.Value { return b.Float(graph.Float, v) }
	cdf := b.Op("Add", b.Op("Erf", b.Op("Div", x, f(math.Sqrt2))), f(1))
	return b.Op("Mul", b.Op("Mul", x, cdf), f(0.5))
}

// emitGeluTanh: ½x·(1 + tanh(√(2/π)·(x + 0.044715x³))).
func emitGeluTanh(b *graph.Builder, x *graph.Value) *graph.Value {
	if b.Graph().Opset() >= opsetGelu {
		return b.With(graph.StringAttr("approximate", "tanh")).Op("Gelu", x)
	}
	f := func(v float64) *graph.Value { return b.Float(graph.Float, v) }
	inner := b.Op("Add", x, b.Op("Mul", b.Op("Pow", x, f(3)), f(0.044715)))
	tanh := b.Op("Tanh", b.Op("Mul", inner, f(math.Sqrt(2/math.Pi))))
	return b.Op("Mul", b.Op("Mul", x, f(0.5)), b.Op("Add", tanh, f(1)))
}

// swish: x·σ(αx).
func swish(b *graph.Builder, x *graph.Value, alpha float64) *graph.Value {
	scaled := x
	if alpha != 1 {
		scaled = b.Op("Mul", x, b.Float(graph.Float, alpha))
	}
	return b.Op("Mul", x, b.Op("Sigmoid", scaled))
}
