package autodiff

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph/shape"
)

// verify infers the types of all that was emitted and compares each gradient with its source: a rule that returns the wrong
// shape is found here and not in the middle of a training run.
func (e *engine) verify() error {
	if err := shape.Infer(e.g); err != nil {
		return fmt.Errorf("autodiff: bug in a rule: what it emitted contradicts itself: %w", err)
	}
	for _, c := range e.claims {
		x := c.node.Input(c.index)
		if c.dX.Producer() != nil && e.g.Value(c.dX.Name()) != c.dX {
			continue // swept: nobody read it
		}
		if c.dX.DType != x.DType || !c.dX.Shape.Compatible(x.Shape) {
			return fmt.Errorf("autodiff: bug in the rule for %s: the gradient of input %d of %s is %s, want that of %s", c.node.Op, c.index, c.node, c.dX, x)
		}
	}
	return nil
}
