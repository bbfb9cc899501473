package refeval

import (
	"fmt"
	"maps"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("", "If", 1, arity{1, 1}, branch)
}

// branch runs one of two subgraphs, which read the values around them by name.
func branch(c *call) ([]*array, error) {
	cond := c.in[0]
	if cond.dtype != graph.Bool || cond.len() != 1 {
		return nil, fmt.Errorf("the condition is %s, must be one bool", cond)
	}
	name := "else_branch"
	if cond.i[0] != 0 {
		name = "then_branch"
	}
	body := c.bodies[name]
	if body == nil {
		return nil, fmt.Errorf("the attribute %s is missing", name)
	}
	var fetches []string
	for _, o := range body.g.Outputs() {
		fetches = append(fetches, o.Name())
	}
	around := scope{} // a copy, since the body adds its own values
	maps.Copy(around, c.scope)
	out, err := body.eval(c.ctx, around, fetches)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}
