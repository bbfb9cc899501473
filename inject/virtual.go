package inject

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/internal/numeric"
)

// The layouts of virtual tokens: the two libraries place them differently, so that weights trained for one mean nothing in
// the other.
const (
	LayoutPEFT       = "peft"
	LayoutAdapterHub = "adapterhub"
)

// The role of a table of virtual tokens that is trained itself, and of the one that an MLP turns into it.
const (
	roleVirtual   = "prompt_embeddings"
	roleEmbedding = "embedding"
)

// A parameter is one tensor behind a table of virtual tokens.
type parameter struct {
	role  string
	dims  []int64
	how   string
	start []float32
}

// virtual is a method whose parameters come to one table of virtual tokens, [num_virtual_tokens, features].
type virtual interface {
	// table computes it from the parameters by role.
	table(b *graph.Builder, param func(role string) *graph.Value) *graph.Value
}

// virtualTarget is the module that owns virtual tokens in the plan: they belong to none of the base's.
const virtualTarget = "prompt_encoder"

// virtualTable adds the parameters and what computes the table.
func (in *Injection) virtualTable(p *graph.Patch, m virtual, ps []parameter) *graph.Value {
	values := map[string]*graph.Value{}
	for _, x := range ps {
		values[x.role] = in.Trainable(p, x.role, Trainable{Target: virtualTarget, Role: x.role, Init: x.how}, graph.TensorOf(x.dims, x.start))
	}
	return m.table(p.Builder, func(role string) *graph.Value { return values[role] })
}

// VirtualTokens returns the table [num_virtual_tokens, features] that a prefix, prompt or p-tuning method of the plan has
// learned, computed from the trainables' values by name where an MLP was trained: what the libraries keep on disk.
func VirtualTokens(p *Plan, method string, values map[string]*graph.Tensor) (*graph.Tensor, error) {
	m, err := p.Method(method)
	if err != nil {
		return nil, err
	}
	v, ok := m.(virtual)
	if !ok {
		return nil, fmt.Errorf("inject: method %q has no virtual tokens", method)
	}
	g := graph.New("virtual tokens")
	g.Opsets[""] = 13
	b := g.Build(method)
	out := v.table(b, func(role string) *graph.Value {
		t := p.Find(method, virtualTarget, role)
		if t == nil || values[t.Name] == nil {
			b.Fail(fmt.Errorf("inject: %s: parameter %q has no value", method, role))
			return nil
		}
		return b.Init(role, values[t.Name])
	})
	if b.Err() != nil {
		return nil, b.Err()
	}
	if out.Init() != nil {
		return out.Init(), nil
	}
	program, err := refeval.New(g)
	if err != nil {
		return nil, fmt.Errorf("inject: %s: %w", method, err)
	}
	res, err := program.Run(context.Background(), nil, []string{out.Name()})
	if err != nil {
		return nil, fmt.Errorf("inject: %s: %w", method, err)
	}
	return single(res[0])
}

// single rounds a floating tensor to float32.
func single(t *graph.Tensor) (*graph.Tensor, error) {
	xs, err := t.Float64s()
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(xs))
	for i, x := range xs {
		out[i] = float32(x)
	}
	return graph.TensorOf(t.Dims, out), nil
}

// An mlp is a chain of linear maps with an activation between them, named as PyTorch's Sequential names them.
type mlp struct {
	name       string // "transform": transform.0.weight, transform.0.bias, transform.2.weight, …
	activation string // an ONNX operator
	sizes      []int  // in, hidden …, out
}

func (m mlp) role(i int, part string) string { return m.name + "." + strconv.Itoa(2*i) + "." + part }

// apply computes act(x·W₀ᵀ + b₀)·W₁ᵀ + b₁ …
func (m mlp) apply(b *graph.Builder, x *graph.Value, param func(role string) *graph.Value) *graph.Value {
	for i := range len(m.sizes) - 1 {
		if i > 0 {
			x = b.Op(m.activation, x)
		}
		x = b.With(graph.IntAttr("transB", 1)).Op("Gemm", x, param(m.role(i, "weight")), param(m.role(i, "bias")))
	}
	return x
}

// parameters returns the weights and biases as PyTorch's Linear starts them, U(−1/√in, 1/√in).
func (m mlp) parameters(in *Injection) []parameter {
	var out []parameter
	for i := range len(m.sizes) - 1 {
		from, to := m.sizes[i], m.sizes[i+1]
		bound := 1 / math.Sqrt(float64(from))
		w, b := m.role(i, "weight"), m.role(i, "bias")
		out = append(out,
			parameter{w, []int64{int64(to), int64(from)}, "kaiming_uniform(sqrt5)", numeric.Uniform(in.Rand(w), to*from, bound)},
			parameter{b, []int64{int64(to)}, "uniform(1/sqrt(in))", numeric.Uniform(in.Rand(b), to, bound)})
	}
	return out
}

// standardNormal returns a table that starts as PyTorch's Embedding does, N(0, 1).
func standardNormal(in *Injection, role string, rows, cols int) parameter {
	return parameter{role, []int64{int64(rows), int64(cols)}, "normal(1)", numeric.Normal(in.Rand(role), rows*cols, 1)}
}

// takePositions takes n position ids away from the text, which virtual tokens occupy: it is that much shorter at most.
func (in *Injection) takePositions(n int) error {
	have := &in.Plan.Encoder.Positions
	switch {
	case n >= *have && in.Encoder.Layers[0].Attention.Distances != nil:
		return fmt.Errorf("--num-virtual-tokens %d: the model knows distances within %d tokens and none would be left for text; use fewer", n, *have)
	case n >= *have:
		return fmt.Errorf("--num-virtual-tokens %d: the model has %d positions and none would be left for text; use --layout %s, which needs none", n, *have, LayoutAdapterHub)
	}
	*have -= n
	return nil
}

// batchSize returns the batch size as an int64 vector of one element.
func (in *Injection) batchSize(p *graph.Patch) *graph.Value {
	sizes := p.Op("Shape", in.Encoder.InputIDs)
	return p.With(graph.IntAttr("axis", 0)).Op("Gather", sizes, p.Ints(0))
}

// concat joins values along an axis, which must not be negative below opset 11.
func concat(b *graph.Builder, axis int64, vs ...*graph.Value) *graph.Value {
	return b.With(graph.IntAttr("axis", axis)).Op("Concat", vs...)
}

// filled is a tensor of the given sizes whose elements all are v.
func filled(b *graph.Builder, dtype graph.DType, v float64, sizes *graph.Value) *graph.Value {
	var one *graph.Tensor
	switch dtype {
	case graph.Bool:
		one = graph.TensorOf([]int64{1}, []bool{v != 0})
	case graph.Int32:
		one = graph.TensorOf([]int64{1}, []int32{int32(v)})
	case graph.Int64:
		one = graph.TensorOf([]int64{1}, []int64{int64(v)})
	case graph.Float, graph.Double:
		one = graph.FloatTensor(dtype, []int64{1}, []float64{v})
	default:
		b.Fail(fmt.Errorf("inject: a tensor of %s can't be made longer", dtype))
		return nil
	}
	return b.With(graph.TensorAttr("value", one)).Op("ConstantOfShape", sizes)
}

// toEnd is past the end of every axis.
const toEnd = math.MaxInt64

// slice is x[start:end] along an axis, in the form of the graph's opset.
func slice(b *graph.Builder, x *graph.Value, axis, start, end int64) *graph.Value {
	if b.Graph().Opset() < 10 {
		return b.With(graph.IntsAttr("axes", axis), graph.IntsAttr("starts", start), graph.IntsAttr("ends", end)).Op("Slice", x)
	}
	return b.Op("Slice", x, b.Ints(start), b.Ints(end), b.Ints(axis))
}

// equalParts splits x into n parts along axis 0, in the form of the graph's opset.
func equalParts(b *graph.Builder, x *graph.Value, n int) []*graph.Value {
	b = b.With(graph.IntAttr("axis", 0))
	if b.Graph().Opset() >= 18 {
		b = b.With(graph.IntAttr("num_outputs", int64(n)))
	}
	return b.OpN("Split", n, x)
}

// forget drops what is stated of the sizes of values that have become longer: a runtime believes it. Outputs of the graph keep
// their rank, which they must state.
func forget(vs ...*graph.Value) {
	for _, v := range vs {
		switch {
		case v == nil || v.Producer() == nil:
		case v.IsOutput():
			for i, d := range v.Shape {
				if !d.Known() {
					v.Shape[i] = graph.UnknownDim()
				}
			}
		default:
			v.Shape = nil
		}
	}
}
