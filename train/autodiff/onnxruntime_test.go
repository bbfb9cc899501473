package autodiff

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/runtimetest"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train/autodiff/gradcheck"
)

// session loads g into onnxruntime with the given values as outputs.
func session(r *runtime.Runtime, g *graph.Graph, outputs []*graph.Value, level string) (*runtime.Session, error) {
	for _, o := range outputs {
		if !o.IsOutput() {
			g.AddOutput(o)
		}
	}
	model, err := onnxfile.Marshal(g, onnxfile.Options{})
	if err != nil {
		return nil, err
	}
	return r.NewSession(context.Background(), model, runtime.Options{OptLevel: level, Threads: 1})
}

// declared converts feeds to the element types that the graph declares.
func declared(g *graph.Graph, feeds map[string]*graph.Tensor) (map[string]*graph.Tensor, error) {
	out := map[string]*graph.Tensor{}
	for name, t := range feeds {
		if v := g.Value(name); v.DType.IsFloat() {
			x, err := t.Float64s()
			if err != nil {
				return nil, err
			}
			t = graph.FloatTensor(v.DType, t.Dims, x)
		}
		out[name] = t
	}
	return out, nil
}

// compare runs the gradients of one case through onnxruntime in the graph's own types and through refeval.
func (c ruleCase) compare(r *runtime.Runtime, opset, level string, opt Options) error {
	g, err := c.graph(opset)
	if err != nil {
		return err
	}
	grads, err := Gradients(g, g.Value("loss"), c.wrt(g), opt)
	if err != nil {
		return err
	}
	// One gradient may be the same value as another, or as an input of the graph.
	b := g.Build("result")
	var names []string
	for i, d := range grads {
		grads[i] = b.Typed(b.Op("Identity", d), d.DType, d.Shape.Clone())
		names = append(names, grads[i].Name())
	}
	s, err := session(r, g, grads, level)
	if err != nil {
		return err
	}
	defer s.Close()
	p, err := refeval.New(g)
	if err != nil {
		return err
	}
	for _, sizes := range sizeSets {
		feeds, err := c.feeds(p, g, sizes)
		if err != nil {
			return err
		}
		if feeds, err = declared(g, feeds); err != nil {
			return err
		}
		want, err := p.Run(context.Background(), feeds, names)
		if err != nil {
			return err
		}
		got, err := s.Run(context.Background(), feeds, names)
		if err != nil {
			return fmt.Errorf("%v: %w", sizes, err)
		}
		for i := range want {
			if err := graphtest.Differ(got[i], want[i], 1e-4, 1e-5); err != nil {
				return fmt.Errorf("%v: %s: %w", sizes, names[i], err)
			}
		}
	}
	return nil
}

// noKernel is an operator that has a rule, for graphs that are rewritten before they run, and no kernel in onnxruntime 1.30.
const noKernel = "= Swish("

// TestRulesOnONNXRuntime runs what every rule emits in single precision on stock onnxruntime.
func TestRulesOnONNXRuntime(t *testing.T) {
	r := runtimetest.Open(t)
	for _, c := range ruleCases {
		for _, opset := range strings.Fields(c.opsets) {
			t.Run(opset+" "+c.String(), func(t *testing.T) {
				if strings.Contains(c.body, noKernel) {
					return
				}
				for _, level := range []string{"disable", "all"} {
					for _, fused := range []bool{false, true} {
						if err := c.compare(r, opset, level, Options{FusedMatMul: fused}); err != nil {
							t.Fatalf("level %s, fused %v: %v", level, fused, err)
						}
					}
				}
			})
		}
	}
}

// TestRulesAtTheTrainingOpset runs the cases at opset 21, to which training copies are raised, as far as their forward graphs
// are valid there.
func TestRulesAtTheTrainingOpset(t *testing.T) {
	r := runtimetest.Open(t)
	ran := 0
	for _, c := range ruleCases {
		g, err := c.graph("21")
		if err != nil {
			continue
		}
		forward, err := session(r, g, []*graph.Value{g.Value("loss")}, "disable")
		if err != nil {
			continue
		}
		forward.Close()
		ran++
		if err := c.compare(r, "21", "extended", Options{}); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
	t.Logf("%d of %d cases", ran, len(ruleCases))
	if ran < 140 {
		t.Errorf("only %d of %d cases are valid at opset 21", ran, len(ruleCases))
	}
}

// TestBERTOnONNXRuntime compares a whole model's gradient in single precision with refeval's in double, and with differences
// of the loss that onnxruntime itself computes.
func TestBERTOnONNXRuntime(t *testing.T) {
	r := runtimetest.Open(t)
	for _, opt := range []Options{{}, {FusedMatMul: true}} {
		g, params := bert(t, tiny(2), 0, 1)
		grads, err := Gradients(g, g.Value("loss"), params, opt)
		if err != nil {
			t.Fatal(err)
		}
		loss, flat := g.Value("loss"), concatFlat(t, g, grads)
		s, err := session(r, g, []*graph.Value{loss, flat}, "extended")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		p, err := refeval.New(g)
		if err != nil {
			t.Fatal(err)
		}
		feeds, err := declared(g, bertFeeds(3, 5, tiny(2).params(2)))
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]string{"theta": flat.Name()}
		results, err := gradcheck.Check(context.Background(), s, feeds, loss.Name(), names, gradcheck.Options{Directions: 8, Step: 5e-2})
		if err != nil || results[0].RelErr > 1e-3 {
			t.Errorf("FusedMatMul %t: %v %+v", opt.FusedMatMul, err, results)
		}
		fetches := []string{loss.Name(), flat.Name()}
		want, err := p.Run(context.Background(), feeds, fetches)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Run(context.Background(), feeds, fetches)
		if err != nil {
			t.Fatal(err)
		}
		for i := range fetches {
			graphtest.Close(t, got[i], want[i], 1e-3, 1e-6)
		}
		t.Logf("FusedMatMul %t: along 8 directions, relative error %.1e", opt.FusedMatMul, results[0].RelErr)
	}
}

// With a mask drawn by the forward pass the gradient is dY·mask/(1 − ratio), and in inference mode it is dY.
func TestDropoutUsesTheForwardsMask(t *testing.T) {
	r := runtimetest.Open(t)
	for _, training := range []bool{true, false} {
		g := parsed(t, `graph "g" (x float[200], training bool[]) => (loss)
			opset 21
			init ratio float[] = [0.25]
			y = Dropout(x, ratio, training) {seed=7} "drop"
			loss = ReduceSum(y) {keepdims=0}
		`)
		grads, err := gradients(g, "x")
		if err != nil {
			t.Fatal(err)
		}
		s, err := session(r, g, []*graph.Value{g.Value("y"), grads[0]}, "extended")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		feeds := map[string]*graph.Tensor{"x": graphtest.Rand(1, graph.Float, []int64{200}, 1, 2), "training": graph.Scalar(training)}
		out, err := s.Run(context.Background(), feeds, []string{"y", grads[0].Name()})
		if err != nil {
			t.Fatal(err)
		}
		x, y, dX := floats(t, feeds["x"]), floats(t, out[0]), floats(t, out[1])
		dropped := 0
		for i := range x {
			if y[i] == 0 {
				dropped++
			}
			if math.Abs(dX[i]*x[i]-y[i]) > 1e-5 {
				t.Fatalf("element %d: y %v of x %v, gradient %v", i, y[i], x[i], dX[i])
			}
		}
		if training && (dropped < 25 || dropped > 75) || !training && dropped != 0 {
			t.Errorf("training %v: %d of 200 elements dropped", training, dropped)
		}
	}
}

func floats(t *testing.T, x *graph.Tensor) []float64 {
	t.Helper()
	f, err := x.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	return f
}
