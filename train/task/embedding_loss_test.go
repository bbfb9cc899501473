package task_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/task"
)

// An embeddingLoss is the graph of a loss alone, on vectors that are fed, with its gradient.
type embeddingLoss struct{ loss, gradient []float64 }

func runLoss(t *testing.T, of task.Task, units, dim int, x []float64, targets map[string]*graph.Tensor) embeddingLoss {
	t.Helper()
	g := graph.New("loss")
	g.Opsets = map[string]int64{"": 21}
	rows := int64(len(x) / dim)
	l := &task.Loss{Builder: g.Build("loss"), Targets: map[string]*graph.Value{}}
	var err error
	input := func(name string, as graph.DType, s graph.Shape) *graph.Value {
		v, e := g.AddInput(name, as, s)
		if e != nil {
			err = e
		}
		return v
	}
	units64 := graph.Symbol("units")
	l.Output = input("x", graph.Float, graph.Shape{graph.Symbol("batch"), graph.Fixed(int64(dim))})
	l.Weights = input("weights", graph.Float, graph.Shape{units64})
	feeds := map[string]*graph.Tensor{"x": graph.TensorOf([]int64{rows, int64(dim)}, x), "weights": graph.FloatTensor(graph.Double, []int64{int64(units)}, evenly(units))}
	for _, spec := range of.Targets(nil) {
		s := graph.Shape{units64}
		if spec.Width > 0 {
			s = append(s, graph.Fixed(int64(spec.Width)))
		}
		l.Targets[spec.Name], feeds[spec.Name] = input(spec.Name, spec.DType, s), targets[spec.Name]
	}
	loss := l.Op("Reshape", of.Loss(l), l.Ints(1))
	if err != nil || l.Err() != nil {
		t.Fatal(err, l.Err())
	}
	if err := shape.Infer(g); err != nil {
		t.Fatal(err)
	}
	grads, err := autodiff.Gradients(g, loss, []*graph.Value{l.Output}, autodiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g.SetOutputs(loss, grads[0])
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	p, err := refeval.New(g)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.Run(context.Background(), feeds, []string{loss.Name(), grads[0].Name()})
	if err != nil {
		t.Fatal(err)
	}
	var out embeddingLoss
	if out.loss, err = res[0].Float64s(); err != nil {
		t.Fatal(err)
	}
	if out.gradient, err = res[1].Float64s(); err != nil {
		t.Fatal(err)
	}
	return out
}

// evenly are weights that add up to 1.
func evenly(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 1 / float64(n)
	}
	return out
}

func embedding(t *testing.T, settings map[string]string) *task.Embedding {
	t.Helper()
	of, err := task.New("embedding")
	if err != nil {
		t.Fatal(err)
	}
	for flag, text := range settings {
		if ok, err := task.Set(of, flag, text); !ok || err != nil {
			t.Fatal(flag, ok, err)
		}
	}
	if err := task.Validate(of); err != nil {
		t.Fatal(err)
	}
	return of.(*task.Embedding)
}

// distinct are numbers of texts that are all different.
func distinct(units, members int) *graph.Tensor {
	ids := make([]int64, units*members)
	for i := range ids {
		ids[i] = int64(i)
	}
	return graph.TensorOf([]int64{int64(units), int64(members)}, ids)
}

// The losses and their gradients are what sentence-transformers computes.
func TestEmbeddingLossesAreSentenceTransformers(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "embedding_losses.json"))
	if err != nil {
		t.Fatal(err)
	}
	var fixture struct {
		Units, Dimension int
		Cases            []struct {
			Name                         string
			Settings                     map[string]string
			Embeddings, Gradient, Scores []float64
			Loss                         float64
		}
	}
	if err := json.Unmarshal(text, &fixture); err != nil {
		t.Fatal(err)
	}
	for _, c := range fixture.Cases {
		t.Run(c.Name, func(t *testing.T) {
			of := embedding(t, c.Settings)
			tolerance := 1e-9
			if of.Objective == task.CosineLoss {
				tolerance = 1e-6 // torch computes it in float32
			}
			targets := map[string]*graph.Tensor{"texts": distinct(fixture.Units, of.Group()), "score": graph.TensorOf(nil, c.Scores)}
			got := runLoss(t, of, fixture.Units, fixture.Dimension, c.Embeddings, targets)
			if d := math.Abs(got.loss[0] - c.Loss); !(d <= tolerance*max(1, c.Loss)) {
				t.Errorf("loss %v, want %v", got.loss[0], c.Loss)
			}
			if len(got.gradient) != len(c.Gradient) {
				t.Fatalf("%d elements of a gradient of %d", len(got.gradient), len(c.Gradient))
			}
			for i, want := range c.Gradient {
				if d := math.Abs(got.gradient[i] - want); !(d <= tolerance) {
					t.Errorf("gradient %d: %v, want %v", i, got.gradient[i], want)
				}
			}
		})
	}
}

// A text that the batch has twice is no wrong answer: the loss is that of the batch in which each query sees the other documents
// only.
func TestRankingLeavesOutTexts(t *testing.T) {
	const dim = 2
	first := [][]float64{{1, 0}, {0, 1}, {0.6, 0.8}}
	second := [][]float64{{0.8, 0.6}, {0.8, 0.6}, {-1, 0.5}}
	var x []float64
	for _, rows := range [][][]float64{first, second} {
		for _, row := range rows {
			x = append(x, row...)
		}
	}
	cosine := func(a, b []float64) float64 {
		return (a[0]*b[0] + a[1]*b[1]) / math.Hypot(a[0], a[1]) / math.Hypot(b[0], b[1])
	}
	for name, c := range map[string]struct {
		texts []int64 // of each unit
		sees  [3][]int
	}{
		"all different":            {[]int64{0, 10, 1, 11, 2, 12}, [3][]int{{0, 1, 2}, {0, 1, 2}, {0, 1, 2}}},
		"the same second text":     {[]int64{0, 10, 1, 10, 2, 12}, [3][]int{{0, 2}, {1, 2}, {0, 1, 2}}},
		"the same first text":      {[]int64{0, 10, 0, 11, 2, 12}, [3][]int{{0, 2}, {1, 2}, {0, 1, 2}}},
		"a second text is a first": {[]int64{0, 10, 1, 0, 2, 12}, [3][]int{{0, 2}, {0, 1, 2}, {0, 1, 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			want := 0.0
			for i, sees := range c.sees {
				sum := 0.0
				for _, k := range sees {
					sum += math.Exp(20 * cosine(first[i], second[k]))
				}
				want += (math.Log(sum) - 20*cosine(first[i], second[i])) / 3
			}
			got := runLoss(t, embedding(t, nil), 3, dim, x, map[string]*graph.Tensor{"texts": graph.TensorOf([]int64{3, 2}, c.texts)})
			if math.Abs(got.loss[0]-want) > 1e-9 {
				t.Errorf("loss %v, want %v", got.loss[0], want)
			}
		})
	}
}
