package train_test

import (
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/internal/injecttest"
	"github.com/peftgraph/peftgraph/internal/modelstest"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/autodiff"
)

// A combo is methods that are injected together, with settings that differ from the defaults.
type combo struct {
	methods  []string
	settings map[string]string
}

func (c combo) String() string {
	text := strings.Join(c.methods, "+")
	for flag, value := range c.settings {
		text += " --" + flag + " " + value
	}
	return text
}

// methods builds them for a fixture, whose modules may have other names than BERT's.
func (c combo) build(t *testing.T, f *modelstest.Fixture) []inject.Method {
	t.Helper()
	var ms []inject.Method
	for _, name := range c.methods {
		m := injecttest.New(t, name, nil)
		for flag, text := range c.settings { // each of one of them
			if _, err := inject.Set(m, flag, text); err != nil {
				t.Fatal(err)
			}
		}
		ms = append(ms, m)
	}
	return ms
}

// gradients injects, moves every parameter a little off its start, so that no gradient is zero by construction, and compares
// the whole model's emitted gradients with central differences in float64.
func (c combo) gradients(t *testing.T, f *modelstest.Fixture) {
	t.Helper()
	g := f.Load(t)
	plan := injecttest.Into(t, g, inject.Options{Task: inject.Task{Type: "classification", Labels: labels}, Seed: 5}, c.build(t, f)...)
	nudge(t, g, plan)
	s, err := train.NewStepGraph(g, plan, autodiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkGradients(t, s, g, f, 3)
}

// nudge moves every parameter a little off where it is.
func nudge(t *testing.T, g *graph.Graph, plan *inject.Plan) {
	t.Helper()
	values, err := plan.Values(g)
	if err != nil {
		t.Fatal(err)
	}
	for i, tr := range plan.Trainables {
		values[tr.Name] = nudged(t, values[tr.Name], uint64(i+1))
	}
	if err := plan.SetValues(g, values); err != nil {
		t.Fatal(err)
	}
}

func nudged(t *testing.T, x *graph.Tensor, seed uint64) *graph.Tensor {
	t.Helper()
	data, err := x.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	by, err := graphtest.Rand(seed, graph.Float, x.Dims, -0.3, 0.3).Float64s()
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] += by[i]
	}
	return graph.FloatTensor(graph.Float, x.Dims, data)
}

// Every method's gradients on every exporter form.
func TestGradientsOfEveryMethod(t *testing.T) {
	for _, name := range inject.Names() {
		for _, f := range modelstest.Encoders(t) {
			if name == "prefix" && f.IsRelative() {
				continue // refused
			}
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				t.Parallel()
				if name == "full" && testing.Short() {
					t.Skip("short: every parameter of a model takes a while")
				}
				combo{methods: []string{name}}.gradients(t, f)
			})
		}
	}
}

// The variants of the methods, and several methods at once.
func TestGradientsOfVariantsAndCombinations(t *testing.T) {
	for _, c := range []combo{
		{[]string{"adapter"}, map[string]string{"config": "houlsby", "reduction-factor": "4"}},
		{[]string{"adapter"}, map[string]string{"config": "parallel", "non-linearity": "gelu"}},
		{[]string{"adapter"}, map[string]string{"config": "scaled_parallel", "non-linearity": "gelu_new"}},
		{[]string{"adapter"}, map[string]string{"config": "pfeiffer", "non-linearity": "tanh", "skip-layers": "0", "reduction-factor": "4", "scaling": "0.5", "dropout": "0.2"}},
		{[]string{"bitfit"}, map[string]string{"embedding-bias": "true"}},
		{[]string{"full"}, map[string]string{"freeze-embeddings": "true", "freeze-layers": "0"}},
		{[]string{"lora", "adapter"}, nil},
		{[]string{"adapter", "bitfit"}, nil},
		{[]string{"prefix", "adapter"}, map[string]string{"config": "par_bn"}}, // MAM
		{[]string{"prefix", "adapter", "lora"}, nil},                           // UniPELT without gates
		{[]string{"lora", "ia3", "bitfit", "adapter"}, map[string]string{"config": "houlsby"}},
	} {
		t.Run(c.String(), func(t *testing.T) {
			c.gradients(t, modelstest.Encoder(t, "bert_torch2_legacy_op14_sdpa"))
		})
	}
}
