package shape

import (
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

// newGraph has the inputs ids int64[batch,sequence] and x float[batch,sequence,24].
func newGraph(opset int64) (g *graph.Graph, ids, x *graph.Value) {
	g = graph.New("t")
	g.Opsets[""] = opset
	g.Opsets["com.microsoft"] = 1
	batch, sequence := graph.Symbol("batch"), graph.Symbol("sequence")
	ids, _ = g.AddInput("ids", graph.Int64, graph.Shape{batch, sequence})
	x, _ = g.AddInput("x", graph.Float, graph.Shape{batch, sequence, graph.Fixed(24)})
	return g, ids, x
}

func infer(t *testing.T, b *graph.Builder) *Info {
	t.Helper()
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	info, err := Analyse(b.Graph())
	if err != nil {
		t.Fatalf("%v\n%s", err, b.Graph())
	}
	return info
}

func wantShape(t *testing.T, v *graph.Value, dtype graph.DType, shape string) {
	t.Helper()
	if v.DType != dtype || v.Shape.String() != shape {
		t.Errorf("%s, want %s%s", v, dtype, shape)
	}
}

// The attention reshape of the legacy PyTorch exporter: Shape, Gather, Unsqueeze, Concat, Reshape, Transpose.
func TestAttentionReshape(t *testing.T) {
	g, _, x := newGraph(14)
	b := g.Build("n")
	dim := func(i int64) *graph.Value {
		return b.Op("Unsqueeze", b.Op("Gather", b.Op("Shape", x), b.Int(i)), b.Ints(0))
	}
	concat := b.With(graph.IntAttr("axis", 0))
	heads := b.Op("Reshape", x, concat.Op("Concat", dim(0), dim(1), b.Ints(4), b.Ints(6)))
	perm := b.With(graph.IntsAttr("perm", 0, 2, 1, 3)).Op("Transpose", heads)
	flat := b.Op("Reshape", x, b.Ints(-1, 24))
	product := b.Op("Reshape", x, concat.Op("Concat", b.Op("Mul", dim(0), dim(1)), b.Ints(24)))
	back := b.Op("Reshape", flat, concat.Op("Concat", dim(0), b.Ints(-1), b.Ints(24)))
	infer(t, b)
	wantShape(t, heads, graph.Float, "[batch,sequence,4,6]")
	wantShape(t, perm, graph.Float, "[batch,4,sequence,6]")
	wantShape(t, flat, graph.Float, "[batch*sequence,24]")
	wantShape(t, product, graph.Float, "[batch*sequence,24]")
	wantShape(t, back, graph.Float, "[batch,sequence,24]")
}

// Where(Equal(target, -1), ones, target) is how PyTorch's expand arrives.
func TestExpandTarget(t *testing.T) {
	g, ids, _ := newGraph(14)
	b := g.Build("n")
	one := b.With(graph.IntAttr("axis", 0))
	s := b.Op("Shape", ids)
	seq := b.Op("Slice", s, b.Ints(1), b.Ints(2))
	target := one.Op("Concat", b.Op("Slice", s, b.Ints(0), b.Ints(1)), b.Ints(1, -1), seq)
	ones := b.With(graph.TensorAttr("value", graph.TensorOf(nil, []int64{1}))).Op("ConstantOfShape", b.Ints(4))
	where := b.Op("Where", b.Op("Equal", target, b.Op("Mul", ones, b.Int(-1))), ones, target)
	mask := b.Op("Unsqueeze", ids, b.Ints(1, 2))
	out := b.Op("Expand", mask, where)
	info := infer(t, b)
	wantShape(t, out, graph.Int64, "[batch,1,1,sequence]")
	es, ok := info.Elements(where)
	if !ok || len(es) != 4 || es[0].String() != "batch" || es[2].String() != "1" {
		t.Errorf("elements of the target: %v", es)
	}
}

func TestSliceOfPositions(t *testing.T) {
	g, ids, x := newGraph(13)
	b := g.Build("n")
	table := b.Const(graph.TensorOf([]int64{1, 512}, make([]int64, 512)))
	end := b.Op("Unsqueeze", b.Op("Gather", b.Op("Shape", ids), b.Int(1)), b.Ints(0))
	pos := b.Op("Slice", table, b.Ints(0), end, b.Ints(1), b.Ints(1))
	emb := b.Op("Gather", b.Const(graph.TensorOf([]int64{512, 24}, make([]float32, 512*24))), pos)
	sum := b.Op("Add", x, emb)
	last := b.Op("Slice", x, b.Ints(-1), b.Ints(1<<62), b.Ints(1))
	rest := b.Op("Slice", x, b.Ints(1), b.Ints(1<<62), b.Ints(1))
	first := b.Op("Slice", x, b.Ints(0), b.Ints(1), b.Ints(1))
	infer(t, b)
	wantShape(t, pos, graph.Int64, "[1,min(512,sequence)]")
	wantShape(t, emb, graph.Float, "[1,min(512,sequence),24]")
	wantShape(t, sum, graph.Float, "[batch,sequence,24]")
	wantShape(t, last, graph.Float, "[batch,1,24]")
	wantShape(t, rest, graph.Float, "[batch,sequence-1,24]")
	wantShape(t, first, graph.Float, "[batch,1,24]")
}

// Old exporters count positions by NonZero(ConstantOfShape); newer ones by Range.
func TestCounting(t *testing.T) {
	g, ids, _ := newGraph(11)
	b := g.Build("n")
	seq := b.Op("Gather", b.Op("Shape", ids), b.Int(1))
	vec := b.With(graph.IntsAttr("axes", 0)).Op("Unsqueeze", seq)
	ones := b.With(graph.TensorAttr("value", graph.TensorOf(nil, []int64{1}))).Op("ConstantOfShape", vec)
	old := b.With(graph.IntsAttr("axes", 1)).Op("Squeeze", b.Op("Transpose", b.Op("NonZero", ones)))
	ranged := b.Op("Range", b.Int(0), seq, b.Int(1))
	longer := b.Op("Range", b.Int(0), b.Op("Add", seq, b.Int(10)), b.Int(1))
	infer(t, b)
	wantShape(t, old, graph.Int64, "[sequence]")
	wantShape(t, ranged, graph.Int64, "[sequence]")
	wantShape(t, longer, graph.Int64, "[sequence+10]")
}

func TestUnnamedInputDimensions(t *testing.T) {
	g := graph.New("t")
	g.Opsets[""] = 14
	unnamed := graph.ShapeOf(-1, -1)
	ids, _ := g.AddInput("ids", graph.Int64, unnamed)
	mask, _ := g.AddInput("mask", graph.Int64, unnamed)
	b := g.Build("n")
	sum := b.Op("Mul", ids, mask)
	infer(t, b)
	wantShape(t, ids, graph.Int64, "[ids.0,ids.1]")
	wantShape(t, mask, graph.Int64, "[mask.0,mask.1]")
	wantShape(t, sum, graph.Int64, "[?,?]")
	if err := Unify(ids, mask); err != nil {
		t.Fatal(err)
	}
	infer(t, b)
	wantShape(t, sum, graph.Int64, "[ids.0,ids.1]")
	if err := Unify(); err != nil {
		t.Errorf("nothing to unify: %v", err)
	}
	flat, _ := g.AddInput("flat", graph.Int64, graph.ShapeOf(3))
	if err := Unify(ids, flat); err == nil || !strings.Contains(err.Error(), `"flat"`) {
		t.Errorf("error %v, want one that names the input of another rank", err)
	}
}

// One exporter calls batch and sequence both "batch"; taking that literally would claim what isn't true.
func TestRepeatedInputDimension(t *testing.T) {
	g := graph.New("t")
	g.Opsets[""] = 14
	both := graph.Shape{graph.Symbol("batch"), graph.Symbol("batch")}
	ids, _ := g.AddInput("ids", graph.Int64, both)
	mask, _ := g.AddInput("mask", graph.Int64, both)
	b := g.Build("n")
	sum := b.Op("Mul", ids, mask)
	infer(t, b)
	wantShape(t, sum, graph.Int64, "[batch,batch.1]")
}

// What the file states is kept where inference knows less, and an operator without a rule is reported.
func TestStatedFacts(t *testing.T) {
	g, _, x := newGraph(14)
	g.Opsets["vendor"] = 1
	b := g.Build("n")
	y := b.In("vendor").Op("Mystery", x)
	y.DType, y.Shape = graph.Float, graph.Shape{graph.Symbol("batch"), graph.Fixed(5)}
	z := b.Op("Relu", y)
	example := b.Op("Relu", x)
	example.Shape = graph.ShapeOf(1, 128, 24) // the size that a file was traced with
	g.AddOutput(b.Op("Neg", x))
	g.Outputs()[0].Shape = graph.ShapeOf(8, 128, 768)
	info := infer(t, b)
	wantShape(t, g.Outputs()[0], graph.Float, "[batch,sequence,24]")
	if got := info.Overruled(); len(got) != 1 || !strings.Contains(got[0], "768") {
		t.Errorf("overruled: %v", got)
	}
	wantShape(t, z, graph.Float, "[batch,5]")
	wantShape(t, example, graph.Float, "[batch,sequence,24]")
	if got := info.Unknown(); len(got) != 1 || got[0] != "vendor.Mystery" {
		t.Errorf("operators without a rule: %v", got)
	}
}

func TestContradictionsNameTheNode(t *testing.T) {
	cases := map[string]struct {
		build func(b *graph.Builder, x *graph.Value)
		want  string
	}{
		"broadcast": {func(b *graph.Builder, x *graph.Value) {
			b.Op("Add", x, b.Const(graph.TensorOf(nil, make([]float32, 5))))
		}, "24 and 5 differ"},
		"inner dimension": {func(b *graph.Builder, x *graph.Value) {
			b.Op("MatMul", x, b.Const(graph.TensorOf([]int64{5, 2}, make([]float32, 10))))
		}, "inner dimensions 24 and 5 differ"},
		"types": {func(b *graph.Builder, x *graph.Value) { b.Op("Add", x, b.Int(1)) }, "types float and int64"},
		"stated rank": {func(b *graph.Builder, x *graph.Value) {
			b.Op("Relu", x).Shape = graph.ShapeOf(1, 24)
		}, "contradict"},
		"stated type": {func(b *graph.Builder, x *graph.Value) { b.Op("Relu", x).DType = graph.Int64 }, "stated to be int64"},
		"axis": {func(b *graph.Builder, x *graph.Value) {
			b.With(graph.IntAttr("axis", 3)).Op("Gather", x, b.Int(0))
		}, "axis 3"},
		"element count": {func(b *graph.Builder, x *graph.Value) {
			b.Op("Reshape", b.Const(graph.TensorOf(nil, make([]float32, 6))), b.Ints(4, -1))
		}, "can't take the shape"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g, _, x := newGraph(14)
			c.build(g.Build("bad"), x)
			err := Infer(g)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `"bad/`) {
				t.Errorf("error %v, want one with %q that names the node", err, c.want)
			}
		})
	}
}

func TestInferTwiceChangesNothing(t *testing.T) {
	g, _, x := newGraph(17)
	b := g.Build("n")
	b.Op("MatMul", x, b.Const(graph.TensorOf([]int64{24, 3}, make([]float32, 72))))
	infer(t, b)
	once := g.String()
	infer(t, b)
	if g.String() != once {
		t.Errorf("first\n%s\nthen\n%s", once, g)
	}
}
