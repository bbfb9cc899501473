package graph

import (
	"strings"
	"testing"
)

// branch adds to g an If whose branch negates the outer value v, and returns the branch.
func branch(t *testing.T, g *Graph, v *Value) *Graph {
	t.Helper()
	sub := New("then")
	sub.Opsets[""] = 17
	outer, err := sub.AddOuter(v.Name())
	if err != nil {
		t.Fatal(err)
	}
	b := sub.Build("s")
	sub.AddOutput(b.Op("Neg", outer))
	cond, _ := g.AddInitializer("cond", Scalar(true))
	n, err := g.AddNode(NodeSpec{Op: "If", Inputs: []*Value{cond}, Outputs: []string{"chosen"},
		Attrs: []Attr{{Name: "then_branch", Kind: AttrGraph, G: sub}}})
	if err != nil || b.Err() != nil {
		t.Fatal(err, b.Err())
	}
	n.AddCapture(v)
	return sub
}

func TestOuterValuesAreDefined(t *testing.T) {
	g := linear(t)
	v := g.Value("l/MatMul")
	sub := branch(t, g, v)
	mustCheck(t, g)
	mustCheck(t, sub)
	mustCheck(t, sub.Clone())
	if !sub.Value("l/MatMul").IsOuter() || v.IsOuter() {
		t.Error("only the subgraph's value is an outer one")
	}
	if err := g.Rename(v, "other"); err == nil || !strings.Contains(err.Error(), "subgraph") {
		t.Errorf("renamed a value that a subgraph reads by name: %v", err)
	}
	if _, err := sub.AddOuter("l/MatMul"); err == nil {
		t.Error("the same outer value was added twice")
	}
}

func TestNodeWithTwoOutputsOfOneName(t *testing.T) {
	g := linear(t)
	if _, err := g.AddNode(NodeSpec{Op: "Split", Inputs: []*Value{g.Value("x")}, Outputs: []string{"a", "a"}}); err == nil {
		t.Error("accepted")
	}
	mustCheck(t, g)
}
