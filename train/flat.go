package train

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
)

// ParamsInput is the training graph's input that holds all trainable parameters, float32 [N].
const ParamsInput = "train/params"

// A Slot is where one trainable lies in the flat vector.
type Slot struct {
	inject.Trainable
	Offset int
}

// A Layout is the order of all trainables in the flat vector: embeddings, layers from the first to the last, then the head.
// onnxruntime runs the weight gradients in the order in which they are concatenated, so that each layer's activations are
// free again before the next layer's are needed.
type Layout struct {
	Slots []Slot
	Size  int
}

var layerNumber = regexp.MustCompile(`\.layer\.(\d+)\.`)

// depth orders modules as data flows.
func depth(t inject.Trainable) int {
	if m := layerNumber.FindStringSubmatch(t.Target); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	if t.Method == "head" || t.Target == "pooler.dense" || t.Target == "classifier" {
		return 1 << 20
	}
	return -1
}

// NewLayout lays out a plan's trainables.
func NewLayout(p *inject.Plan) Layout {
	var l Layout
	ts := slices.Clone(p.Trainables)
	slices.SortStableFunc(ts, func(a, b inject.Trainable) int { return depth(a) - depth(b) })
	for _, t := range ts {
		l.Slots = append(l.Slots, Slot{t, l.Size})
		l.Size += t.Len()
	}
	return l
}

// Flatten copies tensors by trainable name into one vector.
func (l Layout) Flatten(values map[string]*graph.Tensor) ([]float32, error) {
	flat := make([]float32, l.Size)
	for _, s := range l.Slots {
		x := values[s.Name]
		if x == nil {
			return nil, fmt.Errorf("train: trainable %q has no value", s.Name)
		}
		data, err := graph.Data[float32](x)
		if err != nil {
			return nil, fmt.Errorf("train: trainable %q: %w", s.Name, err)
		}
		if len(data) != s.Len() {
			return nil, fmt.Errorf("train: trainable %q has %d elements, want %d", s.Name, len(data), s.Len())
		}
		copy(flat[s.Offset:], data)
	}
	return flat, nil
}

// Tensors returns copies of the parts of a flat vector by trainable name.
func (l Layout) Tensors(flat []float32) map[string]*graph.Tensor {
	out := make(map[string]*graph.Tensor, len(l.Slots))
	for _, s := range l.Slots {
		out[s.Name] = graph.TensorOf(s.Shape, slices.Clone(flat[s.Offset:s.Offset+s.Len()]))
	}
	return out
}

// Decay says for each element whether weight decay applies: not to biases nor to LayerNorm, as is usual for BERT.
func (l Layout) Decay() []bool {
	out := make([]bool, l.Size)
	for _, s := range l.Slots {
		for i := s.Offset; s.Role != "bias" && len(s.Shape) > 1 && i < s.Offset+s.Len(); i++ {
			out[i] = true
		}
	}
	return out
}

// feed replaces the trainables of g, which are initializers, by parts of the input [ParamsInput], and returns the parts in
// the layout's order.
func (l Layout) feed(g *graph.Graph) ([]*graph.Value, error) {
	params, err := g.AddInput(ParamsInput, graph.Float, graph.ShapeOf(int64(l.Size)))
	if err != nil {
		return nil, err
	}
	p := g.NewPatch("train/unpack")
	sizes := make([]int64, len(l.Slots))
	for i, s := range l.Slots {
		sizes[i] = int64(s.Len())
	}
	pieces := p.With(graph.IntAttr("axis", 0)).OpN("Split", len(sizes), params, p.Ints(sizes...))
	if p.Err() != nil {
		return nil, p.Err()
	}
	parts := make([]*graph.Value, len(pieces))
	for i, s := range l.Slots {
		// A vector needs no Reshape, and one that changes nothing would be taken out by the canonical form.
		if parts[i] = p.Typed(pieces[i], graph.Float, graph.ShapeOf(int64(s.Len()))); len(s.Shape) != 1 {
			parts[i] = p.Typed(p.Op("Reshape", pieces[i], p.Ints(s.Shape...)), graph.Float, graph.ShapeOf(s.Shape...))
		}
		old := g.Value(s.Name)
		if old == nil {
			return nil, fmt.Errorf("train: trainable %q is not in the graph", s.Name)
		}
		p.Shunt(old, parts[i])
	}
	if err := p.Apply(); err != nil {
		return nil, err
	}
	return parts, nil
}
