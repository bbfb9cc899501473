package shape_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/graph/shape"
)

// fixtures are files that real exporters wrote, with tiny random weights.
const fixtures = "../../models/testdata"

// sidecar is what stands beside a fixture: among others, inputs of two sizes.
type sidecar struct {
	Hidden int64 `json:"hidden"`
	Runs   []struct {
		Inputs map[string]struct {
			Shape []int64   `json:"shape"`
			Data  []float64 `json:"data"`
		} `json:"inputs"`
		Outputs map[string]struct {
			Shape []int64 `json:"shape"`
		} `json:"outputs"`
	} `json:"runs"`
}

func exporterFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(fixtures, "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no exporter files in %s: %v", fixtures, err)
	}
	return files
}

func load(t *testing.T, file string) (*graph.Graph, *shape.Info) {
	t.Helper()
	g, err := onnxfile.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := shape.Analyse(g)
	if err != nil {
		t.Fatal(err)
	}
	return g, info
}

// feeds returns the inputs of one run as tensors of the declared types, and the sizes they give the input's dimensions.
func (s *sidecar) feeds(t *testing.T, g *graph.Graph, run int) (map[string]*graph.Tensor, map[string]int64) {
	t.Helper()
	feeds, sizes := map[string]*graph.Tensor{}, map[string]int64{}
	for name, in := range s.Runs[run].Inputs {
		v := g.Value(name)
		if v == nil {
			t.Fatalf("the graph has no input %q", name)
		}
		if v.DType.IsFloat() {
			feeds[name] = graph.FloatTensor(graph.Float, in.Shape, in.Data)
		} else {
			ints := make([]int64, len(in.Data))
			for i, x := range in.Data {
				ints[i] = int64(x)
			}
			feeds[name] = graph.TensorOf(in.Shape, ints)
		}
		for i, d := range v.Shape {
			sizes[d.Sym] = in.Shape[i]
		}
	}
	return feeds, sizes
}

func readSidecar(t *testing.T, file string) *sidecar {
	t.Helper()
	data, err := os.ReadFile(strings.TrimSuffix(file, ".onnx") + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var s sidecar
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// Every shape that inference claims must be the one that the value has when the graph runs, at two sizes; and it must
// claim every dimension of every floating value.
func TestShapesAreThoseOfARun(t *testing.T) {
	for _, file := range exporterFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			g, info := load(t, file)
			if ops := info.Unknown(); len(ops) > 0 {
				t.Errorf("operators without a rule: %v", ops)
			}
			s := readSidecar(t, file)
			program, err := refeval.New(g)
			var unsupported *refeval.UnsupportedError
			if err != nil && !errors.As(err, &unsupported) {
				t.Fatal(err)
			}
			for run := range s.Runs {
				feeds, sizes := s.feeds(t, g, run)
				for name, out := range s.Runs[run].Outputs {
					compareShape(t, g.Value(name), out.Shape, sizes)
				}
				if program != nil {
					compareRun(t, g, program, feeds, sizes)
				}
			}
		})
	}
}

func compareRun(t *testing.T, g *graph.Graph, p *refeval.Program, feeds map[string]*graph.Tensor, sizes map[string]int64) {
	t.Helper()
	var names []string
	for _, n := range g.Nodes() {
		for _, o := range n.Outputs() {
			if o != nil {
				names = append(names, o.Name())
			}
		}
	}
	tensors, err := p.Declared().Run(context.Background(), feeds, names)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		v, got := g.Value(name), tensors[i]
		if v.DType != got.DType {
			t.Errorf("%s: %s is %s when run", v.Producer(), v, got.DType)
		}
		compareShape(t, v, got.Dims, sizes)
	}
}

func compareShape(t *testing.T, v *graph.Value, got []int64, sizes map[string]int64) {
	t.Helper()
	if len(v.Shape) != len(got) || v.Shape == nil {
		t.Errorf("%s: %s has dimensions %v when run", v.Producer(), v, got)
		return
	}
	for k, d := range v.Shape {
		e := shape.FromDim(d)
		if !e.Known() && v.DType.IsFloat() {
			t.Errorf("%s: %s: axis %d is unknown, %d when run", v.Producer(), v, k, got[k])
		}
		if n, ok := e.Eval(sizes); e.Known() && (!ok || n != got[k]) {
			t.Errorf("%s: %s has dimensions %v when run", v.Producer(), v, got)
		}
	}
}

func TestLastHiddenState(t *testing.T) {
	for _, file := range exporterFiles(t) {
		g, _ := load(t, file)
		v := g.Value("last_hidden_state")
		if v == nil {
			continue
		}
		in := g.Inputs()[0].Shape
		want := graph.Shape{in[0], in[1], graph.Fixed(readSidecar(t, file).Hidden)}
		if v.Shape.String() != want.String() {
			t.Errorf("%s: %s, want %s", filepath.Base(file), v, want)
		}
	}
}
