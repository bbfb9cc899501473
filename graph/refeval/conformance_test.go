package refeval

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx" // registers the official operator tests
	"gorgonia.org/tensor"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// TestOfficialOperatorTests runs the official ONNX operator tests that onnx-go carries, opsets 6 to 10. Every test whose
// operators are registered must pass.
func TestOfficialOperatorTests(t *testing.T) {
	ran, unknown := 0, map[string]int{}
	for _, make := range testbackend.FindAllTestsMatching(regexp.MustCompile("")) {
		tc := make()
		t.Run(tc.Title, func(t *testing.T) {
			g, err := onnxfile.Unmarshal(tc.ModelB, "")
			if err != nil {
				t.Fatal(err)
			}
			p, err := New(g)
			var u *UnsupportedError
			if errors.As(err, &u) {
				unknown[u.Op]++
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			ran++
			runOfficial(t, g, p, tc)
		})
	}
	t.Logf("%d official tests ran; not known: %v", ran, unknown)
	if ran < 264 {
		t.Errorf("only %d official tests ran, 264 did when this was written", ran)
	}
}

func runOfficial(t *testing.T, g *graph.Graph, p *Program, tc *testbackend.TestCase) {
	feeds := map[string]*graph.Tensor{}
	for k, in := range tc.Input {
		x, err := official(in, g.Inputs()[k])
		if err != nil {
			t.Fatal(err)
		}
		feeds[g.Inputs()[k].Name()] = x
	}
	var fetches []string
	for _, o := range g.Outputs() {
		fetches = append(fetches, o.Name())
	}
	got, err := p.Declared().Run(context.Background(), feeds, fetches)
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range tc.ExpectedOutput {
		x, err := official(want, g.Outputs()[k])
		if err != nil {
			t.Fatal(err)
		}
		graphtest.Close(t, got[k], x, 1e-5, 1e-6)
		if d := g.Outputs()[k].DType; got[k].DType != d {
			t.Errorf("output %d is %s, declared %s", k, got[k].DType, d)
		}
	}
}

// official converts a tensor of onnx-go, which carries each tensor of one element as float32[1]: then the declared type counts.
func official(in tensor.Tensor, v *graph.Value) (*graph.Tensor, error) {
	dims := int64s(in.Shape())
	switch data := in.Data().(type) {
	case float32:
		declared, ok := v.Shape.Dims()
		if !ok {
			return nil, fmt.Errorf("%s has no fixed shape", v)
		}
		return cast(floats(graph.Double, ints(declared), []float64{float64(data)}), v.DType).tensor(), nil
	case []float32:
		return graph.TensorOf(dims, data), nil
	case []float64:
		return graph.TensorOf(dims, data), nil
	case []int64:
		return graph.TensorOf(dims, data), nil
	case []int32:
		return graph.TensorOf(dims, data), nil
	case []bool:
		return graph.TensorOf(dims, data), nil
	default:
		return nil, fmt.Errorf("onnx-go has a tensor of %T", data)
	}
}
