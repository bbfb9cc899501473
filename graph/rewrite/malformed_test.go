package rewrite

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

// Whatever nodes a file has, rules may leave them alone or fail; they may not panic, and what they change stays a graph.
func TestMalformedGraphs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	changed := 0
	for trial := range 3000 {
		g := malformed(r)
		before := g.String()
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("trial %d: %v\n%s", trial, p, before)
				}
			}()
			report, err := Canonical(g, Options{Contrib: true})
			if check := g.Check(); err == nil && check != nil {
				t.Errorf("trial %d: %s: %v\n%s", trial, report, check, before)
			}
			if err == nil && len(report) > 0 {
				changed++
			}
		}()
	}
	if changed < 300 {
		t.Errorf("only %d graphs of 3000 were changed: this tests too little", changed)
	}
}

var oddOperators = strings.Fields(`Add Mul Sub Div Pow Sqrt Reciprocal ReduceMean ReduceSum Erf Tanh Cast CastLike Reshape Transpose MatMul Identity
	Dropout Split Softmax Clip Slice Shape Gather Concat Unsqueeze Squeeze Expand Flatten Attention Sum Constant Relu
	com.microsoft.BiasGelu com.microsoft.FastGelu com.microsoft.SkipLayerNormalization`)

// malformed returns a chain of random operators over random values, some of which lack inputs or have odd attributes.
func malformed(r *rand.Rand) *graph.Graph {
	g := graph.New("malformed")
	g.Opsets[""], g.Opsets[microsoft] = []int64{7, 9, 11, 13, 18, 21, 23}[r.IntN(7)], 1
	x, _ := g.AddInput("x", graph.Float, graph.ShapeOf(2, 2))
	w, _ := g.AddInitializer("w", graph.TensorOf([]int64{2, 2}, []float32{1, 1, 1, 1}))
	half, _ := g.AddInitializer("half", graph.Scalar(float32(0.5)))
	two, _ := g.AddInitializer("two", graph.TensorOf(nil, []int64{2, 2}))
	values := []*graph.Value{x, w, half, two}
	pick := func() *graph.Value {
		if r.IntN(40) == 0 {
			return nil
		}
		return values[len(values)-1-r.IntN(min(len(values), 6))]
	}
	for i := range 2 + r.IntN(8) {
		op := oddOperators[r.IntN(len(oddOperators))]
		spec := graph.NodeSpec{Name: fmt.Sprint("n", i), Op: op}
		if rest, ok := strings.CutPrefix(op, "com.microsoft."); ok {
			spec.Domain, spec.Op = microsoft, rest
		}
		for range 1 + r.IntN(3) {
			spec.Inputs = append(spec.Inputs, pick())
		}
		spec.Outputs = []string{fmt.Sprint("y", i)}
		if r.IntN(20) == 0 {
			spec.Outputs = append([]string{""}, spec.Outputs...)
		}
		for _, a := range []graph.Attr{graph.IntAttr("axis", int64(r.IntN(4)-1)), graph.IntAttr("to", 1), graph.IntsAttr("axes", int64(r.IntN(3)-1)),
			graph.IntsAttr("perm", 1, 0), graph.TensorAttr("value", graph.Scalar(float32(2)))} {
			if r.IntN(2) == 0 {
				spec.Attrs = append(spec.Attrs, a)
			}
		}
		n, err := g.AddNode(spec)
		if err != nil {
			panic(err)
		}
		for _, o := range n.Outputs() {
			if o != nil {
				values = append(values, o)
			}
		}
	}
	g.AddOutput(values[len(values)-1])
	if r.IntN(2) == 0 {
		g.AddOutput(values[r.IntN(len(values))])
	}
	return g
}
