package models

import (
	"context"
	"math"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// The strongest thing that can be said of a recognised encoder: computed from its parts alone, each part gives the values
// that the graph has there, and the whole gives PyTorch's outputs.
func TestPartsComputeWhatTheGraphComputes(t *testing.T) {
	for _, f := range fixtures(t) {
		if !f.IsEncoder() {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			e := recognise(t, f.g)
			for i, run := range f.Runs {
				proveValues(t, e, f.Feeds(f.g, i), run.Outputs)
			}
		})
	}
}

// oldFeeds makes two sentences for a graph without a sidecar, of the length that its inputs fix.
func oldFeeds(e *Encoder) map[string]*graph.Tensor {
	feeds := map[string]*graph.Tensor{}
	for _, in := range e.Graph.Inputs() {
		if in.Init() != nil {
			continue
		}
		n := int64(7)
		if d := in.Shape[1]; d.Known() {
			n = d.N
		}
		dims := []int64{2, n}
		switch {
		case in == e.InputIDs:
			feeds[in.Name()] = modelstest.Array{Shape: dims, Data: fill(2*n, func(i int64) float64 { return float64(3 + i*5%11) })}.Tensor(in.DType)
		case in == e.AttentionMask:
			feeds[in.Name()] = modelstest.Array{Shape: dims, Data: fill(2*n, func(i int64) float64 { return math.Min(1, math.Max(0, float64(2*n-2-i))) })}.Tensor(in.DType)
		default:
			feeds[in.Name()] = modelstest.Array{Shape: dims, Data: fill(2*n, func(i int64) float64 { return float64(i % n / 4 % 2) })}.Tensor(in.DType)
		}
	}
	return feeds
}

func fill(n int64, f func(int64) float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = f(int64(i))
	}
	return out
}

// proof evaluates a graph once and compares.
type proof struct {
	t      *testing.T
	e      *Encoder
	values map[*graph.Value][]float64
	batch  int
	length int
}

func proveValues(t *testing.T, e *Encoder, feeds map[string]*graph.Tensor, outputs map[string]modelstest.Array) {
	t.Helper()
	p := &proof{t: t, e: e, values: map[*graph.Value][]float64{}}
	dims := feeds[e.InputIDs.Name()].Dims
	p.batch, p.length = int(dims[0]), int(dims[1])
	p.evaluate(feeds)
	for _, l := range e.Linears() {
		p.same(l.Name+" Output", p.of(l.Output), p.linear(l, l.BiasNode == nil))
	}
	for _, n := range e.Norms() {
		if n.Skip == nil {
			p.same(n.Name+" Output", p.of(n.Output), p.norm(n, p.of(n.Input)))
		}
	}
	p.embeddings()
	for i := range e.Layers {
		p.layer(&e.Layers[i])
	}
	p.head(outputs)
	for _, out := range e.Graph.Outputs() {
		if want, ok := outputs[out.Name()]; ok {
			p.near(out.Name()+" against PyTorch", p.of(out), want.Data, 1e-4)
		}
	}
}

// takeApart replaces opset 23's Attention nodes, which refeval does not know, by softmax(q·kᵀ/√d + mask)·v.
func (p *proof) takeApart() {
	p.t.Helper()
	for i := range p.e.Layers {
		a := &p.e.Layers[i].Attention
		n := a.Node
		if !n.Is("Attention") {
			continue
		}
		b := p.e.Graph.Build("apart")
		keys := b.With(graph.IntsAttr("perm", 0, 1, 3, 2)).Op("Transpose", n.Input(1))
		scale := b.Float(graph.Float, 1/math.Sqrt(float64(p.e.HeadDim)))
		scores := b.Op("Mul", b.Op("MatMul", n.Input(0), keys), scale)
		if mask := n.Input(3); mask.DType == graph.Bool {
			scores = b.Op("Where", mask, scores, b.Float(graph.Float, -1e30))
		} else {
			scores = b.Op("Add", scores, mask)
		}
		context := b.Op("MatMul", b.With(graph.IntAttr("axis", -1)).Op("Softmax", scores), n.Input(2))
		if b.Err() != nil {
			p.t.Fatal(b.Err())
		}
		if err := p.e.Graph.ReplaceUses(a.Context, context, nil); err != nil {
			p.t.Fatal(err)
		}
		if err := p.e.Graph.RemoveNode(n); err != nil {
			p.t.Fatal(err)
		}
		a.Context, a.Node = context, scores.Producer()
	}
	if err := p.e.Graph.Sort(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *proof) evaluate(feeds map[string]*graph.Tensor) {
	p.t.Helper()
	p.takeApart()
	prog, err := refeval.New(p.e.Graph)
	if err != nil {
		p.t.Fatal(err)
	}
	var fetch []*graph.Value
	var names []string
	for _, v := range p.e.Graph.Values() {
		if n := v.Producer(); n != nil && (v.DType.IsFloat() || v.DType == graph.Undefined) || v == p.e.InputIDs || v == p.e.AttentionMask {
			fetch, names = append(fetch, v), append(names, v.Name())
		}
	}
	got, err := prog.Run(context.Background(), feeds, names)
	if err != nil {
		p.t.Fatal(err)
	}
	for i, v := range fetch {
		if p.values[v], err = got[i].Float64s(); err != nil {
			p.t.Fatal(err)
		}
	}
}

// of returns the content of a value: computed, or a constant's.
func (p *proof) of(v *graph.Value) []float64 {
	p.t.Helper()
	if x, ok := p.values[v]; ok {
		return x
	}
	if tensor := tensorOf(v); tensor != nil {
		x, err := tensor.Float64s()
		if err != nil {
			p.t.Fatal(err)
		}
		return x
	}
	p.t.Fatalf("%s was not evaluated", v)
	return nil
}

func (p *proof) same(what string, got, want []float64) { p.t.Helper(); p.near(what, got, want, 2e-5) }

func (p *proof) near(what string, got, want []float64, tolerance float64) {
	p.t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		p.t.Errorf("%s: %d elements, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > tolerance*math.Max(1, math.Abs(want[i])) || math.IsNaN(got[i]) {
			p.t.Errorf("%s: element %d is %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}

// linear computes x·W (+ b).
func (p *proof) linear(l *Linear, bias bool) []float64 {
	x, w := p.of(l.Input), p.of(l.Weight)
	rows := len(x) / l.In
	y := make([]float64, rows*l.Out)
	for r := range rows {
		for o := range l.Out {
			sum := 0.0
			for i := range l.In {
				at := i*l.Out + o
				if l.Transposed {
					at = o*l.In + i
				}
				sum += x[r*l.In+i] * w[at]
			}
			y[r*l.Out+o] = sum
		}
	}
	if bias && l.Bias != nil {
		y = addRows(y, p.of(l.Bias))
	}
	return y
}

func addRows(x, b []float64) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		y[i] = x[i] + b[i%len(b)]
	}
	return y
}

// norm computes (x-mean)/√(var+ε)·scale + bias over rows of x.
func (p *proof) norm(n *Norm, x []float64) []float64 {
	scale := p.of(n.Scale)
	h := len(scale)
	y := make([]float64, len(x))
	for r := 0; r < len(x); r += h {
		mean, variance := 0.0, 0.0
		for _, v := range x[r : r+h] {
			mean += v / float64(h)
		}
		for _, v := range x[r : r+h] {
			variance += (v - mean) * (v - mean) / float64(h)
		}
		for i := range h {
			y[r+i] = (x[r+i] - mean) / math.Sqrt(variance+n.Eps) * scale[i]
			if n.Bias != nil {
				y[r+i] += p.of(n.Bias)[i]
			}
		}
	}
	return y
}

func (p *proof) embeddings() {
	p.t.Helper()
	ids, table := p.of(p.e.InputIDs), p.of(p.e.Embeddings.Word)
	h := len(table) / p.e.Vocab
	var want []float64
	for _, id := range ids {
		want = append(want, table[int(id)*h:int(id+1)*h]...)
	}
	p.same("word embeddings", p.of(p.e.Embeddings.WordOut), want)
}

// layer recomputes a layer from the values of its projections on: softmax(q·kᵀ/√d + mask)·v, residuals, feed-forward.
func (p *proof) layer(l *Layer) {
	p.t.Helper()
	q, k, v := p.heads(&l.Query), p.heads(&l.Key), p.heads(&l.Value)
	p.same(l.Query.Name+" heads", p.of(l.Attention.QueryHeads), q)
	p.same(l.Value.Name+" heads", p.of(l.Attention.ValueHeads), v)
	if l.Attention.KeyTransposed {
		p.same(l.Key.Name+" heads", p.of(l.Attention.KeyHeads), p.swapLast(k))
	} else {
		p.same(l.Key.Name+" heads", p.of(l.Attention.KeyHeads), k)
	}
	probs := p.probs(q, k, &l.Attention)
	if l.Attention.Probs != nil {
		p.same(l.Query.Name+" probabilities", p.of(l.Attention.Probs), probs)
	}
	context := p.product(probs, v)
	p.same(l.Query.Name+" context", p.of(l.Attention.Context), context)
	p.same(l.AttentionOutput.Name+" Input", p.of(l.AttentionOutput.Input), p.join(context))
	sum := addRows(p.linear(&l.AttentionOutput, true), p.of(l.Input))
	p.same(l.AttentionNorm.Name+" of the residual", p.of(l.AttentionNorm.Output), p.norm(&l.AttentionNorm, sum))
	up := p.linear(&l.Intermediate, true)
	for i := range up {
		up[i] = activations[p.e.Activation](up[i])
	}
	p.same(l.Intermediate.Name+" activation", p.of(l.ActivationOut), up)
	sum = addRows(p.linear(&l.Dense, true), p.of(l.AttentionNorm.Output))
	p.same(l.OutputNorm.Name+" of the residual", p.of(l.Output), p.norm(&l.OutputNorm, sum))
}

// heads splits the output of a projection: [batch, sequence, hidden] to [batch, heads, sequence, head].
func (p *proof) heads(l *Linear) []float64 {
	x := p.linear(l, true)
	y := make([]float64, 0, len(x))
	for b := range p.batch {
		for h := range p.e.Heads {
			for s := range p.length {
				at := (b*p.length+s)*p.e.Hidden + h*p.e.HeadDim
				y = append(y, x[at:at+p.e.HeadDim]...)
			}
		}
	}
	return y
}

func (p *proof) join(x []float64) []float64 {
	y := make([]float64, 0, len(x))
	for b := range p.batch {
		for s := range p.length {
			for h := range p.e.Heads {
				at := ((b*p.e.Heads+h)*p.length + s) * p.e.HeadDim
				y = append(y, x[at:at+p.e.HeadDim]...)
			}
		}
	}
	return y
}

func (p *proof) swapLast(x []float64) []float64 {
	s, d := p.length, p.e.HeadDim
	y := make([]float64, len(x))
	for m := 0; m < len(x); m += s * d {
		for i := range s {
			for j := range d {
				y[m+j*s+i] = x[m+i*d+j]
			}
		}
	}
	return y
}

func (p *proof) probs(q, k []float64, a *Attention) []float64 {
	s, d, bias := p.length, p.e.HeadDim, a.PositionBias
	mask := p.of(p.e.AttentionMask)
	y := make([]float64, 0, p.batch*p.e.Heads*s*s)
	for m := range p.batch * p.e.Heads {
		for i := range s {
			row, total := make([]float64, s), 0.0
			for j := range s {
				for c := range d {
					row[j] += (q[(m*s+i)*d+c]*k[(m*s+j)*d+c] + p.distance(a, q[(m*s+i)*d+c], k[(m*s+j)*d+c], i-j, c)) / math.Sqrt(float64(d))
				}
				if bias != nil {
					b := p.of(bias)
					row[j] += b[((m*s+i)*s+j)%len(b)]
				}
				row[j] = math.Exp(row[j]) * mask[m/p.e.Heads*s+j]
				total += row[j]
			}
			for j := range s {
				y = append(y, row[j]/total)
			}
		}
	}
	return y
}

// distance is feature c's part of q·R[i-j] (+ k·R[i-j]), where a layer has a table R of distances.
func (p *proof) distance(a *Attention, q, k float64, distance, c int) float64 {
	if a.Distances == nil {
		return 0
	}
	r := p.of(a.Distances)[(distance+p.e.MaxPositions-1)*p.e.HeadDim+c]
	if !a.RelativeToKey {
		return q * r
	}
	return (q + k) * r
}

func (p *proof) product(probs, v []float64) []float64 {
	s, d := p.length, p.e.HeadDim
	y := make([]float64, len(v))
	for r := 0; r < len(probs)/s; r++ {
		for j := range s {
			for c := range d {
				y[r*d+c] += probs[r*s+j] * v[(r/s*s+j)*d+c]
			}
		}
	}
	return y
}

func (p *proof) head(outputs map[string]modelstest.Array) {
	p.t.Helper()
	if want, ok := outputs["last_hidden_state"]; ok {
		p.near("LastHidden against PyTorch", p.of(p.e.LastHidden), want.Data, 1e-4)
	}
	if p.e.Pooled == nil {
		return
	}
	pooled := p.linear(p.e.Pooler, true)
	for i := range pooled {
		pooled[i] = activations[p.e.PoolerActivation](pooled[i])
	}
	p.same("Pooled", p.of(p.e.Pooled), pooled)
	if p.e.Classifier != nil && p.e.Task == SequenceClassification {
		p.same("Logits", p.of(p.e.Logits), p.linear(p.e.Classifier, true))
	}
}
