package rewrite

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/shape"
)

// oldest is the first operator set with today's broadcasting; PyTorch's and TensorFlow's exporters never wrote older ones.
const oldest = 7

// A change says how one version of an operator's definition differs from the one before.
type change int

const (
	introduced change = iota // the first version
	types                    // only types or texts differ: nodes stay valid and mean the same
	optional                 // only what a node may leave out was added: nodes stay valid and mean the same
	changed                  // nodes need an adapter
	removed                  // the operator was taken out
)

// A revision is one version of an operator's definition.
type revision struct {
	since  int64
	change change
	inputs int // how many inputs a node must have
}

// An adapter rewrites a node from the definition before a version to that version.
type adapter func(*pass, *graph.Node) error

// adapters by operator and version. They take precedence over what schemas says of the change.
var adapters = map[string]map[int64]adapter{}

func adapt(since int64, f adapter, ops ...string) {
	for _, op := range ops {
		if adapters[op] == nil {
			adapters[op] = map[int64]adapter{}
		}
		if adapters[op][since] != nil {
			panic(fmt.Sprintf("rewrite: two adapters of %s to version %d", op, since))
		}
		adapters[op][since] = f
	}
}

// RaiseOpset rewrites the graph from its version of ai.onnx to a newer one and returns how many nodes changed. Versions up
// to 24 are known, and graphs from version 7 on. A graph that is at that version or above stays as it is. An operator whose
// definition changed in a way that no adapter covers is an error that names the node, found before anything is changed.
func RaiseOpset(g *graph.Graph, to int64) (int, error) {
	from := g.Opset()
	switch {
	case from >= to:
		return 0, nil
	case from < oldest:
		return 0, fmt.Errorf("rewrite: opset %d: the oldest that can be raised is %d; export the model again, at opset 11 or later", from, oldest)
	case to > schemaLast:
		return 0, fmt.Errorf("rewrite: opset %d: the newest known is %d", to, schemaLast)
	}
	if err := wellFormed(g); err != nil {
		return 0, err
	}
	if err := shape.Infer(g); err != nil {
		return 0, fmt.Errorf("rewrite: opset %d to %d: %w", from, to, err)
	}
	work := map[*graph.Node][]adapter{}
	for _, n := range g.Nodes() {
		fs, err := adaptersOf(n, from, to)
		if err != nil {
			return 0, fmt.Errorf("rewrite: opset %d to %d: node %s: %w", from, to, n, err)
		}
		if len(fs) > 0 {
			work[n] = fs
		}
	}
	for _, n := range g.Nodes() {
		if err := adaptable(n, work[n], from); err != nil {
			return 0, fmt.Errorf("rewrite: opset %d to %d: node %s: %w", from, to, n, err)
		}
	}
	p := &pass{g: g}
	for _, n := range slices.Clone(g.Nodes()) {
		for _, f := range work[n] {
			if err := f(p, n); err != nil {
				return 0, fmt.Errorf("rewrite: opset %d to %d: node %s: %w", from, to, n, err)
			}
		}
	}
	g.Opsets[""] = to
	g.IRVersion = max(g.IRVersion, irVersion(to))
	return len(work), nil
}

// lowerOpset declares an older version for a graph whose operators all mean the same there, and reports whether it did.
// Only declarations change: onnxruntime's random operators, for one, have CPU kernels up to version 21 and not above.
func lowerOpset(g *graph.Graph, to int64) bool {
	from := g.Opset()
	if from <= to || from > schemaLast {
		return false
	}
	for _, n := range g.Nodes() {
		if n.Domain != "" {
			continue
		}
		if len(n.Subgraphs()) > 0 {
			return false
		}
		for _, r := range schemas[n.Op] {
			if r.since > to && r.since <= from && r.change != types {
				return false
			}
		}
	}
	g.Opsets[""] = to
	return true
}

// irVersion is the version of the file format that came with an operator set, as the ONNX versioning table has it.
func irVersion(opset int64) int64 {
	table := []struct{ opset, ir int64 }{{23, 11}, {21, 10}, {19, 9}, {15, 8}, {12, 7}, {11, 6}, {10, 5}, {9, 4}}
	for _, row := range table {
		if opset >= row.opset {
			return row.ir
		}
	}
	return 3
}

// contribInputs is how many inputs onnxruntime's operators that have rules must have.
var contribInputs = map[string]int{"Gelu": 1, "FastGelu": 1, "BiasGelu": 2, "SkipLayerNormalization": 3}

// wellFormed checks that no node lacks an input that its operator requires, so that rules and adapters needn't.
func wellFormed(g *graph.Graph) error {
	for _, n := range g.Nodes() {
		required := 0
		switch n.Domain {
		case "":
			for _, r := range schemas[n.Op] {
				if r.since <= g.Opset() || r.change == introduced {
					required = r.inputs
				}
			}
		case microsoft:
			required = contribInputs[n.Op]
		}
		for i := range required {
			if n.Input(i) == nil {
				return fmt.Errorf("rewrite: node %s: input %d is required and absent", n, i)
			}
		}
	}
	return nil
}

// adaptersOf returns what turns a node of version from into one of version to, in order.
func adaptersOf(n *graph.Node, from, to int64) ([]adapter, error) {
	if n.Domain != "" {
		return nil, nil
	}
	if len(n.Subgraphs()) > 0 {
		return nil, fmt.Errorf("graphs with control flow can't be raised; export the model without it")
	}
	history, ok := schemas[n.Op]
	if !ok {
		// onnxruntime files its older SimplifiedLayerNormalization under ai.onnx, where no version of it exists.
		return nil, nil
	}
	var fs []adapter
	for _, r := range history {
		if r.since <= from || r.since > to {
			continue
		}
		switch f := adapters[n.Op][r.since]; {
		case f != nil:
			fs = append(fs, f)
		case r.change == changed, r.change == removed:
			return nil, fmt.Errorf("%s changed in version %d, for which no adapter is known", n.Op, r.since)
		}
	}
	return fs, nil
}
