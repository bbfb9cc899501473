package multitask

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/shape"
)

// number gives every value of a part its number, and counts those that parts share.
func (j *joining) number(task int, p Part) (*branch, error) {
	b := &branch{Part: p, j: j, task: task, scope: "task/" + p.Name + "/", number: map[*graph.Value]int{}, done: map[*graph.Value]*graph.Value{}}
	b.Graph = p.Graph.Clone()
	b.Graph.SetOutputs(b.Graph.Value(p.Plan.Logits))
	b.Graph.Prune()
	if err := shape.Unify(b.Graph.Inputs()...); err != nil {
		return nil, err
	}
	if err := shape.Infer(b.Graph); err != nil {
		return nil, err
	}
	b.batch = b.Graph.Value(p.Plan.Encoder.Inputs.IDs).Shape[0]
	seen := map[int]bool{}
	file := func(v *graph.Value, key string) {
		n, ok := j.numbers[key]
		if !ok {
			n = len(j.numbers)
			j.numbers[key] = n
		}
		if b.number[v] = n; !seen[n] {
			seen[n] = true
			j.shared[n]++
		}
	}
	for _, v := range b.Graph.Inputs() {
		if j.g.Value(v.Name()) == nil || v.Init() != nil {
			return nil, fmt.Errorf("its input %s is not the base's", v)
		}
		file(v, "input "+v.Name())
		j.outer[b.number[v]] = j.g.Value(v.Name())
	}
	for _, v := range b.Graph.Initializers() {
		key, err := j.tensorKey(v.Init())
		if err != nil {
			return nil, fmt.Errorf("initializer %q: %w", v.Name(), err)
		}
		file(v, key)
	}
	for _, n := range b.Graph.Nodes() {
		key, err := b.nodeKey(n)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n, err)
		}
		for i, v := range n.Outputs() {
			switch {
			case constant(v) != nil:
				file(v, key)
			case v != nil:
				file(v, fmt.Sprintf("%s → %d", key, i))
			}
		}
	}
	return b, nil
}

// constant returns the tensor that v always is, be it an initializer or a Constant node's, or nil.
func constant(v *graph.Value) *graph.Tensor {
	if v == nil || v.Init() != nil {
		return v.Const()
	}
	if n := v.Producer(); n.Is("Constant") && n.Attr("value") != nil {
		return n.Attr("value").T
	}
	return nil
}

// nodeKey is equal for nodes that compute the same, and for constants that are the same.
func (b *branch) nodeKey(n *graph.Node) (string, error) {
	if t := constant(n.Output(0)); t != nil {
		return b.j.tensorKey(t)
	}
	if len(n.Subgraphs()) > 0 {
		return "", fmt.Errorf("it has a subgraph and can't be put into another")
	}
	var sb strings.Builder
	fmt.Fprintf(&sb, "%s.%s", n.Domain, n.Op)
	for _, v := range n.Inputs() {
		if v == nil {
			sb.WriteString(" -")
		} else {
			fmt.Fprintf(&sb, " %d", b.number[v])
		}
	}
	for _, a := range n.Attrs {
		fmt.Fprintf(&sb, " %s:%d=%v %v %q %v %v %q", a.Name, a.Kind, a.F, a.I, a.S, a.Floats, a.Ints, a.Strings)
		for _, t := range append(a.Tensors[:len(a.Tensors):len(a.Tensors)], a.T) {
			key, err := b.j.tensorKey(t)
			if err != nil {
				return "", err
			}
			sb.WriteString(" " + key)
		}
	}
	return sb.String(), nil
}

// tensorKey is equal for tensors that are equal. One that lies in a file is known by its place, without reading it, unless
// there are copies of the file.
func (j *joining) tensorKey(t *graph.Tensor) (string, error) {
	if t == nil {
		return "no tensor", nil
	}
	if ref := t.Ref(); ref != nil && !j.copies {
		return fmt.Sprintf("tensor %s%v in %q at %d", t.DType, t.Dims, ref.File.Path(), ref.Offset), nil
	}
	hash, err := onnxfile.HashTensor(t)
	return fmt.Sprintf("tensor %s%v of %s", t.DType, t.Dims, hash), err
}

// copies reports whether the parts' weights lie in other files than the first one's.
func copies(parts []Part) bool {
	files := func(p Part) map[string]bool {
		out := map[string]bool{}
		for _, v := range p.Graph.Initializers() {
			if ref := v.Init().Ref(); ref != nil {
				out[ref.File.Path()] = true
			}
		}
		return out
	}
	first := files(parts[0])
	return slices.ContainsFunc(parts, func(p Part) bool { return !maps.Equal(files(p), first) })
}
