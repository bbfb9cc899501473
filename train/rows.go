package train

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/train/task"
)

// sparse reports whether the task learns from some tokens only.
func (s *StepGraph) sparse() bool {
	_, ok := s.Task.(task.Sparse)
	return ok
}

// chooseRows cuts g, where the task is sparse, before its head: the hidden states [batch, tokens, hidden] become those of the
// tokens at [RowsInput], [1, chosen, hidden], and so the logits [1, chosen, outputs]. Those of a vocabulary for every token
// would be hundreds of megabytes.
func (s *StepGraph) chooseRows(g *graph.Graph) error {
	if !s.sparse() {
		return nil
	}
	hidden := g.Value(s.Plan.Head.Tokens)
	if hidden == nil {
		return fmt.Errorf("train: task %q wants outputs of some tokens, and the plan doesn't say where the head %q begins: inject again", s.Plan.Task.Type, s.Plan.Head.Kind)
	}
	rows, err := g.AddInput(RowsInput, graph.Int64, graph.Shape{graph.Symbol(chosenDim)})
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	width := graph.Fixed(int64(s.Plan.Encoder.Hidden))
	forgetShapes(hidden)
	p := g.NewPatch("train/rows")
	flat := p.Op("Reshape", hidden, p.Ints(-1, width.N))
	picked := p.With(graph.IntAttr("axis", 0)).Op("Gather", flat, rows)
	p.Shunt(hidden, p.Typed(p.Op("Reshape", picked, p.Ints(1, -1, width.N)), hidden.DType, graph.Shape{graph.Fixed(1), graph.Symbol(chosenDim), width}))
	if err := p.Apply(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// forgetShapes takes the stated shapes off everything that is computed from v.
func forgetShapes(v *graph.Value) {
	seen := map[*graph.Node]bool{}
	var visit func(*graph.Value)
	visit = func(v *graph.Value) {
		for _, n := range v.Users() {
			if seen[n] {
				continue
			}
			seen[n] = true
			for _, out := range n.Outputs() {
				if out != nil {
					out.Shape = nil
					visit(out)
				}
			}
		}
	}
	visit(v)
}
