// Package injecttest injects methods in tests.
package injecttest

import (
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/models"
)

// Recognise finds the encoder in g.
func Recognise(t testing.TB, g *graph.Graph) *models.Encoder {
	t.Helper()
	enc, err := models.Recognise(g)
	if err != nil {
		t.Fatal(err)
	}
	return enc
}

// Into injects into g.
func Into(t testing.TB, g *graph.Graph, opt inject.Options, ms ...inject.Method) *inject.Plan {
	t.Helper()
	plan, err := inject.Inject(Recognise(t, g), ms, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// New returns a method with its defaults but for the settings given.
func New(t testing.TB, name string, settings map[string]string) inject.Method {
	t.Helper()
	m, err := inject.New(name)
	if err != nil {
		t.Fatal(err)
	}
	for flag, text := range settings {
		if ok, err := inject.Set(m, flag, text); !ok || err != nil {
			t.Fatal(name, flag, ok, err)
		}
	}
	return m
}

// Move gives every trainable other values, up to bound.
func Move(t testing.TB, g *graph.Graph, plan *inject.Plan, bound float64) {
	t.Helper()
	values := map[string]*graph.Tensor{}
	for i, tr := range plan.Trainables {
		values[tr.Name] = graphtest.Rand(uint64(i+1), graph.Float, tr.Shape, -bound, bound)
	}
	if err := plan.SetValues(g, values); err != nil {
		t.Fatal(err)
	}
}
