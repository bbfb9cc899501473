package graph

import (
	"math"
	"strings"
	"testing"
)

// linear builds y = relu(x·w + b).
func linear(t *testing.T) *Graph {
	t.Helper()
	g := New("linear")
	g.Opsets[""] = 17
	x, err := g.AddInput("x", Float, Shape{Symbol("batch"), Fixed(2)})
	if err != nil {
		t.Fatal(err)
	}
	w, _ := g.AddInitializer("w", TensorOf([]int64{2, 3}, []float32{1, 2, 3, 4, 5, 6}))
	c, _ := g.AddInitializer("b", TensorOf(nil, []float32{1, 1, 1}))
	b := g.Build("l")
	y := b.Op("Relu", b.Op("Add", b.Op("MatMul", x, w), c))
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	g.AddOutput(y)
	return g
}

func mustCheck(t *testing.T, g *Graph) {
	t.Helper()
	if err := g.Check(); err != nil {
		t.Fatalf("%v\n%s", err, g)
	}
}

func ops(g *Graph) string {
	var out []string
	for _, n := range g.Nodes() {
		out = append(out, n.Op)
	}
	return strings.Join(out, " ")
}

func TestPatchTapsAndShunts(t *testing.T) {
	g := linear(t)
	p := g.NewPatch("peft")
	x, y := g.Value("x"), g.Value("l/MatMul")
	a := p.Init("A", TensorOf([]int64{2, 3}, make([]float32, 6)))
	p.Shunt(y, p.Op("Sum", y, p.Op("MatMul", x, a)))
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	mustCheck(t, g)
	if got, want := ops(g), "MatMul MatMul Sum Add Relu"; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
	if got := g.Value("l/Add").Producer().Input(0).Name(); got != "peft/Sum" {
		t.Errorf("Add reads %q", got)
	}
	if got := y.Users(); len(got) != 1 || got[0].Op != "Sum" {
		t.Errorf("the shunted value is still read by %v", got)
	}
}

func TestShuntKeepsOutputName(t *testing.T) {
	g := linear(t)
	p := g.NewPatch("peft")
	y := g.Outputs()[0]
	p.Shunt(y, p.Op("Neg", y))
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	mustCheck(t, g)
	if out := g.Outputs()[0]; out.Name() != "l/Relu" || out.Producer().Op != "Neg" || y.Name() != "l/Relu/base" {
		t.Errorf("output %q of %s, old value %q", out.Name(), out.Producer(), y.Name())
	}
}

func TestShuntRefusesAnotherType(t *testing.T) {
	g := linear(t)
	p := g.NewPatch("peft/query")
	bad := p.Typed(p.Op("Cast", g.Value("x")), Int64, nil)
	g.Value("l/Add").DType = Float
	p.Shunt(g.Value("l/Add"), bad)
	if err := p.Apply(); err == nil || !strings.Contains(err.Error(), `"peft/query"`) {
		t.Fatalf("want an error that names the patch, got %v", err)
	}
}

func TestSortIsStableAndFindsCycles(t *testing.T) {
	g := linear(t)
	before := ops(g)
	if err := g.Sort(); err != nil || ops(g) != before {
		t.Fatalf("sorting a sorted graph: %v, %q became %q", err, before, ops(g))
	}
	g.nodes[0], g.nodes[2] = g.nodes[2], g.nodes[0]
	if g.Check() == nil {
		t.Fatal("Check accepts nodes out of order")
	}
	if err := g.Sort(); err != nil || ops(g) != before {
		t.Fatalf("after sorting: %v, %q", err, ops(g))
	}
	g.nodes[0].SetInput(0, g.Outputs()[0])
	if err := g.Sort(); err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Fatalf("want a cycle reported, got %v", err)
	}
}

func TestPruneAndRemove(t *testing.T) {
	g := linear(t)
	b := g.Build("dead")
	b.Op("Exp", b.Op("Mul", g.Value("x"), b.Float(Float, 2)))
	if n, c := g.Prune(); n != 2 || c != 1 {
		t.Errorf("pruned %d nodes and %d constants, want 2 and 1", n, c)
	}
	mustCheck(t, g)
	if err := g.RemoveNode(g.nodes[0]); err == nil {
		t.Error("removed a node whose output is used")
	}
	if err := g.RemoveInitializer(g.Value("w")); err == nil {
		t.Error("removed a constant that is used")
	}
}

func TestAddOutput(t *testing.T) {
	g := linear(t)
	n := g.Nodes()[2]
	mask, err := n.AddOutput(2, "l/mask")
	if err != nil || mask.Producer() != n || n.Output(2) != mask || n.Output(1) != nil {
		t.Fatalf("new output %v, %v", mask, err)
	}
	mustCheck(t, g)
	if _, err := n.AddOutput(2, "l/again"); err == nil {
		t.Error("an output was replaced")
	}
	if _, err := n.AddOutput(1, "x"); err == nil || len(n.Outputs()) != 3 {
		t.Errorf("a taken name was accepted: %v", err)
	}
	mustCheck(t, g)
}

func TestCloneIsIndependent(t *testing.T) {
	g := linear(t)
	want := g.String()
	c := g.Clone()
	mustCheck(t, c)
	if c.String() != want {
		t.Fatalf("clone differs:\n%s\n%s", c, want)
	}
	c.nodes[1].SetInput(1, c.Value("x"))
	if err := c.InitializerToInput(c.Value("w")); err != nil {
		t.Fatal(err)
	}
	mustCheck(t, c)
	mustCheck(t, g)
	if g.String() != want {
		t.Errorf("changing the clone changed the original:\n%s", g)
	}
}

func TestConstantsAreShared(t *testing.T) {
	g := linear(t)
	b := g.Build("s")
	ints, again := b.Ints(1, -1), b.Ints(1, -1)
	if ints != again || b.Float(Float, .5) == b.Float(Double, .5) || b.Ints(1) == b.Int(1) {
		t.Error("constants are not shared by type, shape and content")
	}
	long := make([]float32, 100)
	first := b.Const(TensorOf(nil, long))
	other := append([]float32{1}, long[1:]...)
	if b.Const(TensorOf(nil, long)) != first || b.Const(TensorOf(nil, other)) == first {
		t.Error("long constants are not compared by content")
	}
}

func TestDataViews(t *testing.T) {
	raw := []byte{0, 0, 0, 128, 63, 0, 0, 0, 64}
	x, err := NewTensor(Float, []int64{2}, raw[1:]) // unaligned on purpose
	if err != nil {
		t.Fatal(err)
	}
	if f, err := Data[float32](x); err != nil || f[0] != 1 || f[1] != 2 {
		t.Errorf("got %v, %v", f, err)
	}
	if _, err := Data[int32](x); err == nil {
		t.Error("a float tensor was read as int32")
	}
	if _, err := NewTensor(Float, []int64{3}, raw); err == nil {
		t.Error("9 bytes were accepted as 3 floats")
	}
	if _, err := NewTensor(Float, []int64{1 << 62, 4}, nil); err == nil {
		t.Error("dimensions that overflow were accepted")
	}
	h, _ := NewTensor(Float16, []int64{4}, []byte{0, 0x3c, 1, 0, 0, 0xfc, 0, 0x80})
	if f, _ := h.Float64s(); f[0] != 1 || f[1] != 1.0/(1<<24) || !(f[2] < -1e300) || f[3] != 0 {
		t.Errorf("float16 values %v", f)
	}
}

func TestShortFloatsRound(t *testing.T) {
	for bits := range 1 << 16 {
		h, err := NewTensor(Float16, []int64{1}, []byte{byte(bits), byte(bits >> 8)})
		if err != nil {
			t.Fatal(err)
		}
		f, _ := h.Float64s()
		if math.IsNaN(f[0]) {
			continue
		}
		if got := floatToHalf(f[0]); got != uint16(bits) {
			t.Fatalf("float16 %#04x is %v, which rounds to %#04x", bits, f[0], got)
		}
	}
	for v, want := range map[float64]float64{1 + 1./2048: 1, 1 + 3./2048: 1 + 2./1024, 65519: 65504, 65520: math.Inf(1), 1e-9: 0} {
		if got, _ := FloatScalar(Float16, v).Float64s(); got[0] != want {
			t.Errorf("%v rounds to float16 %v, want %v", v, got[0], want)
		}
	}
	for v, want := range map[float64]float64{1 + 1./256: 1, 1 + 3./256: 1 + 2./128, -3: -3} {
		if got, _ := FloatScalar(BFloat16, v).Float64s(); got[0] != want {
			t.Errorf("%v rounds to bfloat16 %v, want %v", v, got[0], want)
		}
	}
}
