package refeval

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// A kernel computes a node's outputs from its inputs. Trailing outputs that the node doesn't have are dropped.
type kernel func(c *call) ([]*array, error)

// one adapts a function with one output.
func one(f func(c *call) (*array, error)) kernel {
	return func(c *call) ([]*array, error) {
		a, err := f(c)
		return []*array{a}, err
	}
}

// arity bounds the number of inputs; the first min must be present.
type arity struct{ min, max int }

const many = 1 << 30

type opKey struct{ domain, op string }

type version struct {
	since  int64
	inputs arity
	kernel kernel
}

var registry = map[opKey][]version{} // newest first

// register adds an operator's semantics from opset since on, until the next registered version.
func register(domain, op string, since int64, inputs arity, k kernel) {
	key := opKey{domain, op}
	vs := registry[key]
	for _, v := range vs {
		if v.since == since {
			panic(fmt.Sprintf("refeval: %s.%s since %d is registered twice", domain, op, since))
		}
	}
	vs = append(vs, version{since, inputs, k})
	slices.SortFunc(vs, func(a, b version) int { return int(b.since - a.since) })
	registry[key] = vs
}

func lookup(domain, op string, opset int64) (version, bool) {
	for _, v := range registry[opKey{domain, op}] {
		if v.since <= opset {
			return v, true
		}
	}
	return version{}, false
}

// Ops returns the operators that refeval computes, sorted; those outside ai.onnx carry their domain: "com.microsoft.FastGelu".
func Ops() []string {
	var out []string
	for k := range registry {
		if k.domain != "" {
			k.op = k.domain + "." + k.op
		}
		out = append(out, k.op)
	}
	slices.Sort(out)
	return out
}

// Supports reports whether the operator is known at that version of its domain's operator set.
func Supports(domain, op string, opset int64) bool {
	_, ok := lookup(domain, op, opset)
	return ok
}

// An UnsupportedError says that refeval has no semantics for a node's operator at the graph's opset.
type UnsupportedError struct {
	Node  *graph.Node
	Op    string // with the domain unless it is ai.onnx's
	Opset int64
}

// Error names the node, the operator and the opset.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("refeval: node %s: operator %s is not known at opset %d", e.Node, e.Op, e.Opset)
}

func unsupported(n *graph.Node, opset int64) error {
	op := n.Op
	if n.Domain != "" {
		op = n.Domain + "." + op
	}
	return &UnsupportedError{Node: n, Op: op, Opset: opset}
}
