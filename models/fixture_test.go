package models

import (
	"math/rand"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/internal/modelstest"
)

// A fixture is an exporter file with its graph.
type fixture struct {
	*modelstest.Fixture
	g *graph.Graph
}

func fixtures(t *testing.T) []*fixture {
	t.Helper()
	var out []*fixture
	for _, f := range modelstest.All(t) {
		out = append(out, &fixture{f, f.Load(t)})
	}
	return out
}

func loadFixture(t *testing.T, name string) *fixture {
	t.Helper()
	f := modelstest.Encoder(t, name)
	return &fixture{f, f.Load(t)}
}

func load(t *testing.T, file string) *graph.Graph {
	t.Helper()
	g, err := onnxfile.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func recognise(t *testing.T, g *graph.Graph) *Encoder {
	t.Helper()
	e, err := Recognise(g)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// scramble gives every value and node of g a meaningless name and forgets the shapes of computed values.
func scramble(t *testing.T, g *graph.Graph, seed int64) {
	t.Helper()
	r := rand.New(rand.NewSource(seed))
	for i, v := range g.Values() {
		if v.Producer() != nil {
			v.Shape = nil
		}
		name := string(rune('a'+r.Intn(26))) + string(rune('a'+r.Intn(26))) + "_" + string(rune('0'+i%10))
		if err := g.Rename(v, g.UniqueName(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range g.Nodes() {
		n.Name = ""
	}
}
