package autodiff

import (
	"fmt"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/graphtest"
)

func TestPlanSum(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"[batch,sequence,8]", "[batch,sequence,8]", "axes []"},
		{"[batch,sequence,8]", "[8]", "axes [0 1], 8 columns"},
		{"[batch,sequence,8]", "[]", "axes [0 1 2]"},
		{"[batch,sequence,8]", "[1,sequence,8]", "axes [0]"},
		{"[batch,3,8]", "[1,3,8]", "axes [0], 24 columns"},
		{"[batch,3,8]", "[3,1]", "axes [0 2]"},
		{"[batch,heads,3,3]", "[batch,1,1,3]", "axes [1 2]"},
		{"[batch,8]", "[n,8]", "uncertain"},
		{"[batch,8]", "[?,8]", "uncertain"},
		{"[1,8]", "[n,8]", "axes []"},
		{"[batch,8]", "[4,8]", "axes []"}, // batch is then 4
		{"[8]", "[2,8]", "no sum over axes leads there"},
	} {
		p, err := planSum(shapeOf(t, c.from), shapeOf(t, c.to))
		got := fmt.Sprintf("axes %v", p.axes)
		switch {
		case err != nil:
			got = err.Error()
		case p.uncertain:
			got = "uncertain"
		case p.columns > 0:
			got += fmt.Sprintf(", %d columns", p.columns)
		}
		if got != c.want {
			t.Errorf("%s to %s: %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

func shapeOf(t *testing.T, s string) graph.Shape {
	return graphtest.MustParse(t, "graph \"\" (x float"+s+") => ()").Inputs()[0].Shape
}
