package autodiff

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/train/autodiff/gradcheck"
)

// A bertSize is the shape of a BERT with LoRA.
type bertSize struct{ layers, hidden, heads, intermediate, vocab, positions, rank int }

// params returns the number of trainable parameters with LoRA in n layers and three labels.
func (s bertSize) params(n int) int64 { return int64(n*4*s.rank*s.hidden + 3*s.hidden + 3) }

func tiny(layers int) bertSize { return bertSize{layers, 8, 2, 16, 20, 10, 2} }

// bertText writes a BERT in canonical form, with LoRA on query and value of the layers in lora, whose parameters are pieces
// of the flat input theta, a classifier and cross entropy.
func bertText(s bertSize, lora ...int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	var sizes []string
	var pieces []string
	for _, l := range lora {
		for _, m := range []string{"q", "v"} {
			pieces = append(pieces, fmt.Sprintf("L%d.%s.A [%d,%d]", l, m, s.rank, s.hidden), fmt.Sprintf("L%d.%s.B [%d,%d]", l, m, s.hidden, s.rank))
			sizes = append(sizes, fmt.Sprint(s.rank*s.hidden), fmt.Sprint(s.rank*s.hidden))
		}
	}
	pieces = append(pieces, fmt.Sprintf("head.w [3,%d]", s.hidden), "head.b [3]")
	sizes = append(sizes, fmt.Sprint(3*s.hidden), "3")
	line("graph \"bert\" (input_ids int64[batch,sequence], attention_mask int64[batch,sequence], labels int64[batch], theta float[%d]) => ()", s.params(len(lora)))
	line("opset 21")
	line("init sizes int64[%d] = [%s]", len(sizes), strings.Join(sizes, ","))
	var parts []string
	for _, p := range pieces {
		parts = append(parts, strings.Fields(p)[0]+".flat")
	}
	line("%s = Split(theta, sizes) {axis=0}", strings.Join(parts, ", "))
	for _, p := range pieces {
		name, dims, _ := strings.Cut(p, " ")
		line("init %s.dims int64[%d] = %s", name, strings.Count(dims, ",")+1, dims)
		line("%s = Reshape(%s.flat, %s.dims)", name, name, name)
	}
	line(`init words float[%d,%d]
		init positions float[%d,%d]
		init oneAt int64[1] = [1]
		init twoAt int64[1] = [2]
		init zero int64[1] = [0]
		init first int64[] = [0]
		init one float[] = [1]
		init scale float[] = [0.5]
		init far float[] = [-10000]
		init axes12 int64[2] = [1,2]
		init column int64[2] = [-1,1]
		init heads int64[4] = [0,0,%d,%d]
		init merged int64[3] = [0,0,%d]
		we = Gather(words, input_ids) "embeddings/word"
		ids = Shape(input_ids)
		len = Slice(ids, oneAt, twoAt)
		pe = Slice(positions, zero, len)
		emb = Add(we, pe) "embeddings/add"
		maskf = Cast(attention_mask) {to=1}
		mask4 = Unsqueeze(maskf, axes12)
		off = Sub(one, mask4)
		bias = Mul(off, far)`, s.vocab, s.hidden, s.positions, s.hidden, s.heads, s.hidden/s.heads, s.hidden)
	norm := func(out, in, name string) {
		line("init %[1]s.w float[%[2]d]\ninit %[1]s.b float[%[2]d]", name, s.hidden)
		line("%s = LayerNormalization(%s, %s.w, %s.b) {epsilon=1e-05f} %q", out, in, name, name, name)
	}
	norm("h0", "emb", "embeddings/norm")
	for l := range s.layers {
		p := fmt.Sprintf("L%d.", l)
		linear := func(out, in, name string, from, to int) {
			line("init %s.w float[%d,%d]\ninit %s.b float[%d]", p+name, from, to, p+name, to)
			line("%s.m = MatMul(%s, %s.w) %q", p+out, in, p+name, p+name+"/matmul")
			last := p + out + ".m"
			if slices.Contains(lora, l) && (name == "q" || name == "v") {
				line("%s.At = Transpose(%s.A) {perm=[1,0]}\n%s.Bt = Transpose(%s.B) {perm=[1,0]}", p+name, p+name, p+name, p+name)
				line("%s.low = MatMul(%s, %s.At) %q", p+name, in, p+name, p+name+"/A")
				line("%s.mid = Mul(%s.low, scale)\n%s.up = MatMul(%s.mid, %s.Bt) %q", p+name, p+name, p+name, p+name, p+name, p+name+"/B")
				line("%s.sum = Add(%s, %s.up)", p+name, last, p+name)
				last = p + name + ".sum"
			}
			line("%s = Add(%s, %s.b) %q", p+out, last, p+name, p+name+"/bias")
		}
		h := fmt.Sprintf("h%d", l)
		for _, m := range []struct{ name, perm string }{{"q", "0,2,1,3"}, {"k", "0,2,3,1"}, {"v", "0,2,1,3"}} {
			linear(m.name+".out", h, m.name, s.hidden, s.hidden)
			line("%[1]s.r = Reshape(%[1]s.out, heads)\n%[1]s.t = Transpose(%[1]s.r) {perm=[%[2]s]} %[3]q", p+m.name, m.perm, p+m.name+"/heads")
		}
		line(`%[1]sscores = MatMul(%[1]sq.t, %[1]sk.t) "%[1]sscores"
			%[1]sscaled = Mul(%[1]sscores, scale)
			%[1]smasked = Add(%[1]sscaled, bias)
			%[1]sprobs = Softmax(%[1]smasked) {axis=-1} "%[1]ssoftmax"
			%[1]scontext = MatMul(%[1]sprobs, %[1]sv.t) "%[1]scontext"
			%[1]sc.t = Transpose(%[1]scontext) {perm=[0,2,1,3]}
			%[1]sc.r = Reshape(%[1]sc.t, merged)`, p)
		linear("o.out", p+"c.r", "o", s.hidden, s.hidden)
		line("%sres1 = Add(%so.out, %s)", p, p, h)
		norm(p+"n1", p+"res1", p+"norm1")
		linear("i.out", p+"n1", "i", s.hidden, s.intermediate)
		line("%si.act = Gelu(%si.out) %q", p, p, p+"gelu")
		linear("f.out", p+"i.act", "f", s.intermediate, s.hidden)
		line("%[1]sres2 = Add(%[1]sf.out, %[1]sn1)", p)
		norm(fmt.Sprintf("h%d", l+1), p+"res2", p+"norm2")
	}
	line(`cls = Gather(h%d, first) {axis=1} "first token"
		logits = Gemm(cls, head.w, head.b) {transB=1} "head"
		logp = LogSoftmax(logits) {axis=-1} "loss/logsoftmax"
		target = Reshape(labels, column)
		picked = GatherElements(logp, target) {axis=1} "loss/pick"
		mean = ReduceMean(picked) {keepdims=0} "loss/mean"
		loss = Neg(mean) "loss/neg"`, s.layers)
	return b.String()
}

// bert returns the graph and its trainables, cut from theta.
func bert(t testing.TB, s bertSize, lora ...int) (*graph.Graph, []*graph.Value) {
	t.Helper()
	g := graphtest.MustParse(t, bertText(s, lora...))
	if err := shape.Infer(g); err != nil {
		t.Fatal(err)
	}
	var params []*graph.Value
	for _, o := range g.Value("theta").Users()[0].Outputs() {
		params = append(params, o.Users()[0].Output(0))
	}
	return g, params
}

func bertFeeds(batch, sequence, theta int64) map[string]*graph.Tensor {
	mask := make([]int64, batch*sequence)
	for i := range mask {
		if int64(i)%sequence < sequence-int64(i)/sequence {
			mask[i] = 1
		}
	}
	return map[string]*graph.Tensor{
		"input_ids":      graphtest.Rand(1, graph.Int64, []int64{batch, sequence}, 0, 20),
		"attention_mask": graph.TensorOf([]int64{batch, sequence}, mask),
		"labels":         graphtest.Rand(2, graph.Int64, []int64{batch}, 0, 3),
		"theta":          graphtest.Rand(3, graph.Double, []int64{theta}, -1, 1),
	}
}

// concatFlat joins the gradients to one flat vector, as the trainer does.
func concatFlat(t testing.TB, g *graph.Graph, grads []*graph.Value) *graph.Value {
	t.Helper()
	b := g.Build("flat")
	flat := make([]*graph.Value, len(grads))
	for i, d := range grads {
		flat[i] = b.Op("Reshape", d, b.Ints(-1))
	}
	v := b.With(graph.IntAttr("axis", 0)).Op("Concat", flat...)
	if err := errors.Join(b.Err(), shape.Infer(g)); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBERTWithLoRA(t *testing.T) {
	for _, opt := range []Options{{}, {FusedMatMul: true, Scope: "backward"}} {
		g, params := bert(t, tiny(2), 0, 1)
		exact := map[string]*graph.Tensor{}
		opt.Rounded = func(c *graph.Value, v float64) { exact[c.Name()] = graph.Scalar(v) }
		grads, err := Gradients(g, g.Value("loss"), params, opt)
		if err != nil {
			t.Fatal(err)
		}
		flat := concatFlat(t, g, grads)
		if err := g.Check(); err != nil {
			t.Fatal(err)
		}
		p, err := refeval.New(g)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range [][2]int64{{3, 5}, {1, 2}} {
			feeds := bertFeeds(size[0], size[1], tiny(2).params(2))
			maps.Copy(feeds, exact)
			r, err := gradcheck.Check(context.Background(), p, feeds, "loss", map[string]string{"theta": flat.Name()}, gradcheck.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("FusedMatMul %t, batch %d, sequence %d: %d elements, relative error %.1e", opt.FusedMatMul, size[0], size[1], r[0].Checked, r[0].RelErr)
			if !(r[0].RelErr <= 1e-10) || int64(r[0].Checked) != tiny(2).params(2) {
				t.Errorf("%+v", r)
			}
		}
	}
}

// The lowest trainable layer bounds the backward pass from below, and frozen weights get no gradient.
func TestPruning(t *testing.T) {
	g, params := bert(t, tiny(3), 1, 2)
	before := len(g.Nodes())
	grads, err := Gradients(g, g.Value("loss"), params, Options{})
	if err != nil {
		t.Fatal(err)
	}
	emitted := map[string]int{}
	for _, n := range g.Nodes()[before:] {
		emitted[n.Op]++
		if strings.HasPrefix(n.Name, "grad/L0.") || strings.HasPrefix(n.Name, "grad/embeddings") {
			t.Errorf("%s lies below the lowest trainable layer", n)
		}
		// In layer 1 nothing needs the gradient of the layer's input, nor of what leads to the keys alone.
		for _, frozen := range []string{"grad/L1.q/matmul", "grad/L1.k/", "grad/L1.v/matmul"} {
			if strings.HasPrefix(n.Name, frozen) {
				t.Errorf("%s computes what no trainable needs", n)
			}
		}
		for _, o := range n.Outputs() {
			if len(o.Uses()) == 0 && !slices.Contains(grads, o) {
				t.Errorf("%s computes %s for nobody", n, o)
			}
		}
	}
	// 8 LoRA matrices (6 of their products have an input gradient too, 2 Gemms each), head.w and the head's input; o, i, f of
	// both layers and q, k, v of layer 2 are frozen and have one Gemm each, for their input.
	want := 8 + 6 + 2 + 3*2 + 3
	if emitted["Gemm"] != want {
		t.Errorf("%d Gemm nodes are emitted, want %d", emitted["Gemm"], want)
	}
	t.Logf("%d forward nodes, %d emitted: %v", before, len(g.Nodes())-before, emitted)
}
