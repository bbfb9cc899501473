package train

import (
	"fmt"
	"math"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/train/task"
)

// Memory is what one training step is expected to keep in memory, in bytes.
type Memory struct {
	Weights     int64 `json:"weights"`     // initializers; mapped from their files where they lie in files
	Activations int64 `json:"activations"` // the most that is alive at once between the graph's nodes
	Optimizer   int64 `json:"optimizer"`   // parameters, gradients and moments
}

// Total is the sum of the parts.
func (m Memory) Total() int64 { return m.Weights + m.Activations + m.Optimizer }

// Memory estimates a step on batch units of length tokens: it walks the nodes in order, adds each one's outputs and takes
// off what has no later use. It leaves out what an operator needs inside, and a runtime that reuses a buffer in place needs
// less.
func (s *StepGraph) Memory(batch, length int) (Memory, error) {
	m := Memory{Optimizer: 4 * int64(s.Layout.Size) * 5} // parameters, the best ones, the gradient and AdamW's two moments
	g := s.Graph.Clone()
	if err := shape.Infer(g); err != nil {
		return m, fmt.Errorf("train: memory: %w", err)
	}
	for _, v := range g.Initializers() {
		m.Weights += v.Init().Len() * v.Init().DType.Size()
	}
	w := walk{sizes: s.sizesOf(batch*s.group(), length), uses: map[*graph.Value]int{}}
	if t, ok := s.Task.(task.Sparse); ok {
		w.sizes[chosenDim] = int64(math.Ceil(t.Share() * float64(batch*length)))
	}
	for _, v := range g.Inputs() {
		w.add(v)
	}
	for _, n := range g.Nodes() {
		w.visit(n)
	}
	m.Activations = w.most
	return m, w.err
}

// A walk counts the bytes that are alive while a graph runs.
type walk struct {
	sizes       map[string]int64
	uses        map[*graph.Value]int // left
	alive, most int64
	err         error
}

func (w *walk) visit(n *graph.Node) {
	for _, v := range n.Outputs() {
		if v != nil {
			w.add(v)
		}
	}
	for _, v := range n.Inputs() {
		if v == nil || v.Producer() == nil {
			continue
		}
		if w.uses[v]--; w.uses[v] == 0 && !v.IsOutput() {
			w.alive -= w.bytes(v)
		}
	}
}

func (w *walk) add(v *graph.Value) {
	w.uses[v] = len(v.Uses())
	w.alive += w.bytes(v)
	w.most = max(w.most, w.alive)
}

// bytes returns a value's size; a shape that doesn't follow from the batch's is an error of the walk.
func (w *walk) bytes(v *graph.Value) int64 {
	n := v.DType.Size()
	known := v.Shape != nil
	for _, d := range v.Shape {
		k, ok := shape.FromDim(d).Eval(w.sizes)
		n, known = n*k, known && ok
	}
	if !known && w.err == nil {
		w.err = fmt.Errorf("train: memory: the size of %s isn't known from the batch's", v)
	}
	return n
}
