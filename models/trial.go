package models

import (
	"context"
	"errors"
	"math"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
)

// A trial computes parts of a graph on made-up inputs: exporters write one and the same thing in too many forms to read it
// from the nodes, but what they compute is the same. Parts that are found already are fed instead of computed, so that what a
// trial asks for costs little in a model of any size.
type trial struct {
	e             *Encoder
	program       *refeval.Program
	batch, length int
	feeds         map[string]*graph.Tensor
}

// hiddenTokens is how many tokens at the end of the last row the mask of a trial hides, where it hides any.
const hiddenTokens = 2

// newTrial feeds the graph's inputs: ids that count down from the end of the vocabulary, which padding never is, a mask that
// hides the last tokens of the last row if hide, positions that count, and ones for what has no role.
func newTrial(e *Encoder, p *refeval.Program, length int, hide bool) *trial {
	t := &trial{e: e, program: p, batch: 2, length: length, feeds: map[string]*graph.Tensor{}}
	if s := e.InputIDs.Shape; len(s) == 2 && s[0].Known() {
		t.batch = int(s[0].N)
	}
	rows := int(e.wordRows())
	for _, in := range e.Graph.Inputs() {
		if in.Init() != nil || in.Shape != nil && in.Shape.Rank() != 2 {
			continue
		}
		t.feed(in, in.DType, func(i int) float64 {
			k := i % t.length
			switch in {
			case e.InputIDs:
				return float64(rows - 1 - k%max(rows/2, 1))
			case e.TokenTypeIDs:
				return 0
			case e.PositionIDs:
				return float64(k)
			case e.AttentionMask:
				if hide && i >= t.batch*t.length-hiddenTokens {
					return 0
				}
			}
			return 1
		}, t.batch, t.length)
	}
	if v := e.Embeddings.WordOut; v != nil {
		table := tensorOf(e.Embeddings.Word)
		t.feed(v, table.DType, func(int) float64 { return 0 }, t.batch, t.length, int(table.Dims[len(table.Dims)-1]))
	}
	return t
}

// wordRows is the size of the vocabulary.
func (e *Encoder) wordRows() int64 {
	dims := tensorOf(e.Embeddings.Word).Dims
	return dims[len(dims)-2]
}

// feed gives v the elements f(0), f(1), …, of the type dtype where v doesn't state one.
func (t *trial) feed(v *graph.Value, dtype graph.DType, f func(i int) float64, dims ...int) {
	n, shape := 1, make([]int64, len(dims))
	for i, d := range dims {
		n, shape[i] = n*d, int64(d)
	}
	data := make([]float64, n)
	for i := range data {
		data[i] = f(i)
	}
	if v.DType != graph.Undefined {
		dtype = v.DType
	}
	t.feeds[v.Name()] = numbers(dtype, shape, data)
}

// numbers makes a tensor of the types that inputs and features have.
func numbers(dtype graph.DType, dims []int64, data []float64) *graph.Tensor {
	switch dtype {
	case graph.Int64:
		return graph.TensorOf(dims, converted(data, func(x float64) int64 { return int64(x) }))
	case graph.Int32:
		return graph.TensorOf(dims, converted(data, func(x float64) int32 { return int32(x) }))
	case graph.Bool:
		return graph.TensorOf(dims, converted(data, func(x float64) bool { return x != 0 }))
	}
	if !dtype.IsFloat() {
		dtype = graph.Float
	}
	return graph.FloatTensor(dtype, dims, data)
}

func converted[T graph.Number](data []float64, f func(float64) T) []T {
	out := make([]T, len(data))
	for i, x := range data {
		out[i] = f(x)
	}
	return out
}

// value computes v.
func (t *trial) value(v *graph.Value) (*graph.Tensor, error) {
	if v == nil {
		return nil, errors.New("an input is missing")
	}
	if c := tensorOf(v); c != nil {
		return c, nil
	}
	out, err := t.program.Run(context.Background(), t.feeds, []string{v.Name()})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// layer feeds what a layer reads and projects: queries and keys that have nothing in common, the rest zeros. Ranks are those
// of the layer's input and of the projections' outputs: exporters may flatten either. With rank 4 the queries and keys are fed
// once more as they enter their product, for files in which nothing computes how they are split into heads.
func (t *trial) layer(l *Layer, r ranks, heads int) {
	dims := func(rank, width int) []int {
		if rank == 2 {
			return []int{t.batch * t.length, width}
		}
		return []int{t.batch, t.length, width}
	}
	zero := func(int) float64 { return 0 }
	dtype := l.Query.Weight.DType
	t.feed(l.Input, dtype, zero, dims(r.in, l.Query.In)...)
	t.feed(l.Value.Output, dtype, zero, dims(r.out, l.Value.Out)...)
	t.feed(l.Query.Output, dtype, query, dims(r.out, l.Query.Out)...)
	t.feed(l.Key.Output, dtype, key, dims(r.out, l.Key.Out)...)
	if r.out != 4 {
		return
	}
	size := l.Query.Out / heads
	split := func(f func(int) float64) func(i int) float64 {
		return func(i int) float64 {
			feature, token, head, row := i%size, i/size%t.length, i/size/t.length%heads, i/size/t.length/heads
			return f(((row*t.length+token)*heads+head)*size + feature)
		}
	}
	t.feed(l.Attention.QueryHeads, dtype, split(query), t.batch, heads, t.length, size)
	if !l.Attention.KeyTransposed {
		t.feed(l.Attention.KeyHeads, dtype, split(key), t.batch, heads, t.length, size)
		return
	}
	t.feed(l.Attention.KeyHeads, dtype, func(i int) float64 {
		token, feature, matrix := i%t.length, i/t.length%size, i/t.length/size
		return split(key)((matrix*t.length+token)*size + feature)
	}, t.batch, heads, size, t.length)
}

// forget stops feeding what a layer reads and projects.
func (t *trial) forget(l *Layer) {
	for _, v := range []*graph.Value{l.Input, l.Query.Output, l.Key.Output, l.Value.Output, l.Attention.QueryHeads, l.Attention.KeyHeads} {
		delete(t.feeds, v.Name())
	}
}

func query(i int) float64 { return wave(i, 0.7) }

func key(i int) float64 { return wave(i, 1.3) }

// wave is a sequence of multiples of 1/64 in [-1, 1], which every floating type holds exactly, without a period.
func wave(i int, step float64) float64 {
	x := float64(i + 1)
	return math.Round(64*math.Sin(step*x+0.001*x*x)) / 64
}

// maxTokens is the most tokens that a file may fix the batch's size to.
const maxTokens = 1 << 16

// fixedSize refuses texts of less than two tokens, of which positions can't be told, and batches of no text or of more than a
// trial can hold.
func (e *Encoder) fixedSize() *NotRecognisedError {
	tokens := int64(1)
	for i, d := range e.InputIDs.Shape {
		if !d.Known() {
			continue
		}
		if tokens *= min(d.N, maxTokens+1); tokens < 1 || tokens > maxTokens || i == 1 && d.N < 2 {
			return refuse(firstUser(e.InputIDs), "the input %s takes batches of a size that nothing can be learned from", e.InputIDs)
		}
	}
	return nil
}
