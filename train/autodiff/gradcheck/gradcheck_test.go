package gradcheck

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// loss = Σ x²·y; dx is its gradient, off is not.
const square = `graph "square" (x float[2,3], y float[3]) => (loss, dx, off)
opset 13
init two float[] = [2]
xx = Mul(x, x)
xxy = Mul(xx, y)
loss = ReduceSum(xxy) {keepdims=0}
xy = Mul(x, y)
dx = Mul(xy, two)
off = Add(dx, y)
flat = ReduceSum(dx) {keepdims=0}
`

func setup(t *testing.T) (*refeval.Program, map[string]*graph.Tensor) {
	t.Helper()
	p, err := refeval.New(graphtest.MustParse(t, square))
	if err != nil {
		t.Fatal(err)
	}
	return p, map[string]*graph.Tensor{
		"x": graphtest.Rand(1, graph.Double, []int64{2, 3}, -1, 1),
		"y": graphtest.Rand(2, graph.Double, []int64{3}, 1, 2),
	}
}

func TestCheckTellsRightFromWrong(t *testing.T) {
	p, feeds := setup(t)
	for _, opt := range []Options{{}, {Elements: 2, Seed: 7}, {Directions: 3}} {
		for name, right := range map[string]bool{"dx": true, "off": false} {
			r, err := Check(context.Background(), p, feeds, "loss", map[string]string{"x": name}, opt)
			if err != nil {
				t.Fatal(err)
			}
			want := max(opt.Elements, opt.Directions)
			if want == 0 {
				want = 6
			}
			if len(r) != 1 || r[0].Param != "x" || r[0].Checked != want {
				t.Fatalf("%+v: results %+v", opt, r)
			}
			if good := r[0].RelErr < 1e-10 && r[0].MaxAbs < 1e-10; good != right || math.IsNaN(r[0].RelErr) {
				t.Errorf("%+v: %s: %+v", opt, name, r[0])
			}
		}
	}
	if d, err := feeds["x"].Float64s(); err != nil || d[0] != mustFloats(graphtest.Rand(1, graph.Double, []int64{2, 3}, -1, 1))[0] {
		t.Error("the caller's feeds changed")
	}
}

func mustFloats(t *graph.Tensor) []float64 {
	f, err := t.Float64s()
	if err != nil {
		panic(err)
	}
	return f
}

func TestCheckRefuses(t *testing.T) {
	p, feeds := setup(t)
	for _, c := range []struct{ param, grad, loss, want string }{
		{"z", "dx", "loss", "fed as float"},
		{"x", "none", "loss", "none"},
		{"x", "flat", "loss", "dimensions"},
		{"x", "dx", "xy", "6 elements"},
	} {
		_, err := Check(context.Background(), p, feeds, c.loss, map[string]string{c.param: c.grad}, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v", c, err)
		}
	}
}
