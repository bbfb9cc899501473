package task

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/data"
)

// vocabulary is enough of a tokenizer.
func vocabulary(t *testing.T) Encoder {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vocab.txt")
	if err := os.WriteFile(path, []byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tokenizer, err := data.LoadTokenizer(path)
	if err != nil {
		t.Fatal(err)
	}
	return Encoder{tokenizer, 16}
}

// read reads a file of that name and content as a task does.
func read(t *testing.T, k Task, name, content string, opt data.Options) (*data.Set, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	opt.Schema = k.Schema()
	return data.Read(path, opt)
}

// lossOf computes a task's loss of a batch and its gradient for the outputs, with weights whose sum is 1, as the trainer does.
func lossOf(t *testing.T, k Task, b *data.Batch, labels []string, rows [][]float32) (loss float64, gradient []float64) {
	t.Helper()
	g := graph.New("loss")
	g.Opsets[""] = 21
	input := func(name string, x *graph.Tensor) *graph.Value {
		v, err := g.AddInput(name, x.DType, graph.ShapeOf(x.Dims...))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var flat []float32
	for _, row := range rows {
		flat = append(flat, row...)
	}
	weights, err := graph.Data[float32](b.Weights)
	if err != nil {
		t.Fatal(err)
	}
	for i := range weights {
		weights[i] /= float32(b.Weight)
	}
	feeds := map[string]*graph.Tensor{"output": graph.TensorOf([]int64{int64(len(rows)), int64(len(rows[0]))}, flat), "weights": b.Weights}
	l := &Loss{Builder: g.Build("loss"), Output: input("output", feeds["output"]), Weights: input("weights", b.Weights),
		Targets: map[string]*graph.Value{}, Outputs: len(rows[0])}
	for _, spec := range k.Targets(labels) {
		feeds[spec.Name] = b.Targets[spec.Name]
		l.Targets[spec.Name] = input(spec.Name, feeds[spec.Name])
	}
	out := l.Op("Reshape", k.Loss(l), l.Ints(1))
	if l.Err() != nil {
		t.Fatal(l.Err())
	}
	value, gradient := differentiated(t, g, out, l.Output, feeds)
	return value[0], gradient
}

// differentiated computes a loss and its gradient.
func differentiated(t *testing.T, g *graph.Graph, loss, of *graph.Value, feeds map[string]*graph.Tensor) (value, gradient []float64) {
	t.Helper()
	if err := shape.Infer(g); err != nil {
		t.Fatal(err)
	}
	d, err := autodiff.Gradients(g, loss, []*graph.Value{of}, autodiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g.SetOutputs(loss, d[0])
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	return computed(t, g, loss, feeds), computed(t, g, d[0], feeds)
}

// computed is a value of a graph.
func computed(t *testing.T, g *graph.Graph, v *graph.Value, feeds map[string]*graph.Tensor) []float64 {
	t.Helper()
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.Run(context.Background(), feeds, []string{v.Name()})
	if err != nil {
		t.Fatal(err)
	}
	out, err := res[0].Float64s()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Loss and gradient are PyTorch's, with every setting; what a file says becomes the targets and weights on the way.
func TestLossesArePyTorchs(t *testing.T) {
	var fixture struct {
		Cases []struct {
			Task     string
			Settings json.RawMessage
			Labels   []string
			Targets  []json.RawMessage
			Logits   [][]float32
			Loss     float64
			Gradient [][]float64
		}
	}
	graphtest.ReadJSON(t, filepath.Join("testdata", "losses.json"), &fixture)
	e := vocabulary(t)
	for _, c := range fixture.Cases {
		t.Run(c.Task+string(c.Settings), func(t *testing.T) {
			k, err := Of(inject.Task{Type: c.Task, Settings: c.Settings})
			if err != nil {
				t.Fatal(err)
			}
			if again, err := json.Marshal(k); err != nil || !same(t, again, c.Settings) {
				t.Errorf("the settings %s are written as %s: %v", c.Settings, again, err)
			}
			var file strings.Builder
			for _, target := range c.Targets {
				file.WriteString(`{"text": "a b", "label": ` + string(target) + "}\n")
			}
			set, err := read(t, k, "x.jsonl", file.String(), data.Options{})
			if err != nil {
				t.Fatal(err)
			}
			d, err := k.Encode(e, set, c.Labels)
			if err != nil {
				t.Fatal(err)
			}
			loss, gradient := lossOf(t, k, d.Batch([]int{0, 1, 2, 3, 4, 5}), c.Labels, c.Logits)
			const tolerance = 1e-6 // of the logits and weights in float32
			if !(math.Abs(loss-c.Loss) <= tolerance*max(1, c.Loss)) {
				t.Errorf("loss %v, PyTorch's is %v", loss, c.Loss)
			}
			for i, row := range c.Gradient {
				for j, want := range row {
					if got := gradient[i*len(row)+j]; !(math.Abs(got-want) <= tolerance) {
						t.Errorf("gradient %d,%d is %v, PyTorch's %v", i, j, got, want)
					}
				}
			}
		})
	}
}

// same reports whether two texts are the same JSON.
func same(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		t.Fatalf("%s or %s is no JSON", a, b)
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}
