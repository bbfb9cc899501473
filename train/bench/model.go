//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/data"
)

// buildModel writes a model of random weights as one whole file.
func buildModel(_ context.Context, j job) (any, error) {
	for _, s := range subjects {
		if s.name != j.Shape {
			continue
		}
		c := s.config()
		if j.Vocab > 0 {
			c.Vocab = j.Vocab
		}
		g, err := models.BuildRandom(c, 1, models.BuildOptions{})
		if err != nil {
			return nil, err
		}
		return nil, onnxfile.Save(g, j.Model, onnxfile.Options{})
	}
	return nil, fmt.Errorf("no shape is called %q", j.Shape)
}

// A model is an injected base, ready to be trained.
type model struct {
	job
	graph *graph.Graph
	enc   *models.Encoder
	plan  *inject.Plan
	rt    *runtime.Runtime
}

// open injects LoRA of rank 8 into the query and value of each layer, and the head of two classes.
func (j job) open() (*model, error) {
	g, err := onnxfile.Load(j.Model)
	if err != nil {
		return nil, err
	}
	enc, err := models.Recognise(g)
	if err != nil {
		return nil, err
	}
	lora := &inject.LoRA{R: 8, Alpha: 16, Dropout: j.Dropout, Bias: "none", Init: "random",
		Targets: inject.Targets{Modules: inject.ParseNames("query,value")}}
	plan, err := inject.Inject(enc, []inject.Method{lora}, inject.Options{
		Task: inject.Task{Type: "classification", Labels: []string{"neg", "pos"}}, Seed: 1})
	if err != nil {
		return nil, err
	}
	lib, err := runtime.Find("")
	if err != nil {
		return nil, err
	}
	rt, err := runtime.Open(lib)
	return &model{j, g, enc, plan, rt}, err
}

func (m *model) step(v variant) (*train.StepGraph, error) {
	return train.NewStepGraph(m.graph, m.plan, autodiff.Options{FusedMatMul: v.Fused})
}

// session loads a graph whose weights stay in the model's file.
func (m *model) session(ctx context.Context, g *graph.Graph, v variant) (*runtime.Session, error) {
	dir := filepath.Dir(m.Model)
	bytes, err := onnxfile.Marshal(g, onnxfile.Options{Weights: onnxfile.Reference, Dir: dir})
	if err != nil {
		return nil, err
	}
	opt := runtime.Mapped()
	if v.Options != nil {
		opt = *v.Options
	}
	opt.Name, opt.ExternalDir, opt.Threads = g.Name, dir, m.Threads
	return m.rt.NewSession(ctx, bytes, opt)
}

// params are the initial flat parameters.
func (m *model) params(l train.Layout) ([]float32, error) {
	values, err := m.plan.Values(m.graph)
	if err != nil {
		return nil, err
	}
	return l.Flatten(values)
}

// dataset is that many batches of full length. Tokens follow Zipf's law, as those of a text do.
func (m *model) dataset(batches int) *data.Dataset {
	vocab := uint64(m.enc.Info().Vocab)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(3, 4)), 1.1, 8, vocab-1)
	d := &data.Dataset{}
	var classes []int64
	for i := range batches * m.Batch {
		e := data.Encoding{IDs: make([]int64, m.Length), TypeIDs: make([]int64, m.Length)}
		for k := range e.IDs {
			e.IDs[k] = int64(zipf.Uint64())
		}
		d.Encodings, classes = append(d.Encodings, e), append(classes, int64(i%2))
	}
	d.Targets = []data.Target{data.Scalars("label", classes)}
	return d
}

// sizes gives the named dimensions of the model's inputs.
func (m *model) sizes() map[string]int64 {
	out := map[string]int64{}
	for i, d := range m.enc.InputIDs.Shape {
		out[d.Sym] = int64([]int{m.Batch, m.Length}[i])
	}
	return out
}

// stepPart is the training graph of a variant, fed with one batch.
func (m *model) stepPart(ctx context.Context, v variant) (*part, error) {
	s, err := m.step(v)
	if err != nil {
		return nil, err
	}
	params, err := m.params(s.Layout)
	if err != nil {
		return nil, err
	}
	feeds, err := s.Feeds(m.batch(), params, 1/float64(m.Batch), 1, 1)
	if err != nil {
		return nil, err
	}
	return m.part(ctx, "step", s.Graph, v, feeds)
}

// forwardPart is the injected model's forward, fed with the same batch.
func (m *model) forwardPart(ctx context.Context, v variant) (*part, error) {
	g, err := train.NewForwardGraph(m.graph, m.plan)
	if err != nil {
		return nil, err
	}
	params, err := m.params(train.NewLayout(m.plan))
	if err != nil {
		return nil, err
	}
	feeds, err := train.TokenFeeds(g, m.plan.Encoder, m.batch())
	if err != nil {
		return nil, err
	}
	feeds[train.ParamsInput] = graph.TensorOf(nil, params)
	return m.part(ctx, "forward", g, v, feeds)
}

// basePart is the model itself, without LoRA or head, as onnxruntime runs a file by default: all optimizations, packed
// weights, planned memory. It is what a user of the base has.
func (m *model) basePart(ctx context.Context) (*part, error) {
	g, err := onnxfile.Load(m.Model)
	if err != nil {
		return nil, err
	}
	if err := shape.Infer(g); err != nil {
		return nil, err
	}
	feeds, err := train.TokenFeeds(g, m.plan.Encoder, m.batch())
	if err != nil {
		return nil, err
	}
	return m.part(ctx, "base", g, variant{Options: &runtime.Options{OptLevel: "all", MemPattern: true}}, feeds)
}

func (m *model) batch() *data.Batch {
	d := m.dataset(1)
	all := make([]int, len(d.Encodings))
	for i := range all {
		all[i] = i
	}
	return d.Batch(all)
}

func (m *model) part(ctx context.Context, name string, g *graph.Graph, v variant, feeds map[string]*graph.Tensor) (*part, error) {
	sizes := m.sizes()
	flops, err := matmulFlops(g, sizes)
	if err != nil {
		return nil, err
	}
	s, err := m.session(ctx, g, v)
	if err != nil {
		return nil, err
	}
	var fetches []string
	for _, o := range g.Outputs() {
		fetches = append(fetches, o.Name())
	}
	return &part{name: name, flops: flops, calls: []call{{s, feeds, fetches}}}, nil
}
