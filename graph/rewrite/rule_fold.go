package rewrite

import (
	"errors"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/graph/shape"
)

// fold-constant replaces nodes by constants: those whose inputs are all constants, and sizes that shape inference has found
// to be numbers. Results are small; a weight that is only rearranged or converted stays a computation on the original,
// since a folded one would be a second copy of it in memory.
func init() { register(rule{"fold-constant", nil, foldConstant}) }

// random operators give another result each time; a Dropout that is idle falls to drop-no-op.
var random = []string{"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial", "Dropout"}

func foldConstant(p *pass, n *graph.Node) error {
	switch {
	case n.Is(random...):
		return p.miss(n, "its result is random")
	case len(n.Captures()) > 0 || len(n.Subgraphs()) > 0:
		return p.miss(n, "it has a subgraph")
	}
	for _, o := range n.Outputs() {
		if o != nil && (o.IsOutput() || hasCapture(o)) {
			return p.miss(n, "the graph's interface or a subgraph reads %q by name", o.Name())
		}
	}
	tensors, err := p.evaluate(n)
	if err != nil {
		return err
	}
	for i, o := range slices.Clone(n.Outputs()) {
		if o != nil {
			if err := p.substitute(o, tensors[i]); err != nil {
				return err
			}
		}
	}
	return p.g.RemoveNode(n)
}

// substitute makes readers of v read the tensor. The name passes on once the node that computes v is gone.
func (p *pass) substitute(v *graph.Value, t *graph.Tensor) error {
	name := v.Name()
	if err := p.g.Rename(v, p.g.UniqueName(name+"/folded")); err != nil {
		return err
	}
	c, err := p.g.AddInitializer(name, t)
	if err != nil {
		return err
	}
	return p.g.ReplaceUses(v, c, nil)
}

func (p *pass) evaluate(n *graph.Node) ([]*graph.Tensor, error) {
	if n.Is("Constant") {
		if t := shape.ConstantTensor(n); t != nil {
			return []*graph.Tensor{t}, nil
		}
		return nil, p.miss(n, "it holds no numbers")
	}
	if t := p.knownElements(n); t != nil {
		return []*graph.Tensor{t}, nil
	}
	inputs := make([]*graph.Tensor, len(n.Inputs()))
	for i, v := range n.Inputs() {
		if v != nil {
			if inputs[i] = p.constant(v); inputs[i] == nil {
				return nil, p.miss(n, "input %d, %q, is no constant", i, v.Name())
			}
		}
	}
	if err := p.foldable(n); err != nil {
		return nil, err
	}
	out, err := refeval.EvalNode(n, p.g.Opsets[n.Domain], inputs)
	var unsupported *refeval.UnsupportedError
	if errors.As(err, &unsupported) {
		return nil, p.miss(n, "%v", err)
	}
	return out, err
}

// foldable checks the size of the result, and that it isn't a weight in another arrangement or type.
func (p *pass) foldable(n *graph.Node) error {
	for _, o := range n.Outputs() {
		if o == nil {
			continue
		}
		dims, ok := o.Shape.Dims()
		if !ok {
			continue // a result whose size depends on data, such as NonZero, is about as small as its input
		}
		size := max(o.DType.Size(), 1)
		for _, d := range dims {
			if d > 0 && size > p.opts.FoldLimit/d {
				return p.miss(n, "%s is larger than %d bytes", o, p.opts.FoldLimit)
			}
			size *= d
		}
	}
	if w := n.Input(0); n.Is("Transpose", "Reshape", "Cast", "Squeeze", "Unsqueeze") && w.DType.IsFloat() && w.Shape.Rank() >= 2 {
		return p.miss(n, "it rearranges the weight %q", w.Name())
	}
	return nil
}

// knownElements returns the tensor of a single output whose elements shape inference knows as numbers.
func (p *pass) knownElements(n *graph.Node) *graph.Tensor {
	if len(n.Outputs()) != 1 {
		return nil
	}
	v := n.Output(0)
	es, ok := p.info.Elements(v)
	dims, known := v.Shape.Dims()
	if !ok || !known {
		return nil
	}
	values := make([]int64, len(es))
	for i, e := range es {
		if values[i], ok = e.Const(); !ok {
			return nil
		}
	}
	return intTensor(v.DType, dims, values)
}

func intTensor(dtype graph.DType, dims, values []int64) *graph.Tensor {
	switch dtype {
	case graph.Int64:
		return graph.TensorOf(dims, values)
	case graph.Int32:
		return graph.TensorOf(dims, convert(values, func(v int64) int32 { return int32(v) }))
	case graph.Bool:
		return graph.TensorOf(dims, convert(values, func(v int64) bool { return v != 0 }))
	}
	return nil
}

func convert[T graph.Number](values []int64, f func(int64) T) []T {
	out := make([]T, len(values))
	for i, v := range values {
		out[i] = f(v)
	}
	return out
}
