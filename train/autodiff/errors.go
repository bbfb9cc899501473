package autodiff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

// A NoRuleError says that a node between a trainable value and the loss has no gradient rule.
type NoRuleError struct {
	Node       string // the node as [graph.Node.String] prints it
	Op, Domain string
	Opset      int64
	// Path are the names of the values from the trainable value that needs the gradient to the node's input.
	Path []string
}

// Error names the node, the operator and the trainable value that needs the gradient.
func (e *NoRuleError) Error() string {
	domain := e.Domain
	if domain == "" {
		domain = "ai.onnx"
	}
	return fmt.Sprintf("autodiff: node %s: no gradient rule for operator %s of %s-%d, which stands between the trainable %q and the loss (via %s)",
		e.Node, e.Op, domain, e.Opset, e.Path[0], strings.Join(e.Path[1:], " → "))
}

// Hint tells a user what to try.
func (e *NoRuleError) Hint() string {
	return "bring the graph into canonical form first, or choose targets above this node, so that no gradient has to pass it"
}

// noRule builds the error for n, walking from n down to the trainable value that needs it.
func (e *engine) noRule(n *graph.Node) error {
	var path []string
	for at := n; at != nil; {
		i := slices.IndexFunc(reads(at), func(v *graph.Value) bool { return e.onPath[v] })
		if i < 0 {
			break
		}
		v := reads(at)[i]
		path = append(path, v.Name())
		at = v.Producer()
	}
	slices.Reverse(path)
	return &NoRuleError{Node: n.String(), Op: n.Op, Domain: n.Domain, Opset: e.g.Opsets[n.Domain], Path: path}
}

// A claim is a gradient that a rule returned for input index of node.
type claim struct {
	node  *graph.Node
	index int
	dX    *graph.Value
}
