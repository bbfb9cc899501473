package autodiff

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// A Rule emits the gradients of a node's inputs. It returns one entry per input of the node; those that [Context.Wants] does
// not ask for may be nil. A gradient has its source's shape, or states with [graph.Builder.Typed] from which shape the engine
// has to sum it down to that. What can't be differentiated it reports with [Context.Failf].
type Rule func(c *Context) []*graph.Value

type key struct{ domain, op string }

type entry struct {
	since int64
	rule  Rule // nil for a stop
}

var registry = map[key][]entry{}

// register adds the rule of an operator from version since of its operator set on. It is called by init functions only.
func register(domain, op string, since int64, rule Rule) {
	k := key{domain, op}
	for _, old := range registry[k] {
		if old.since == since {
			panic(fmt.Sprintf("autodiff: two rules for %s %s since %d", domain, op, since))
		}
	}
	registry[k] = append(registry[k], entry{since, rule})
	slices.SortFunc(registry[k], func(a, b entry) int { return int(b.since - a.since) })
}

// registerStop declares that no gradient flows through the operators.
func registerStop(domain string, ops ...string) {
	for _, op := range ops {
		register(domain, op, 1, nil)
	}
}

func find(n *graph.Node, opset int64) (entry, bool) {
	for _, e := range registry[key{n.Domain, n.Op}] {
		if e.since <= opset {
			return e, true
		}
	}
	return entry{}, false
}

// lookup returns the newest rule that holds for n at that version of its operator set, or nil.
func lookup(n *graph.Node, opset int64) Rule {
	e, _ := find(n, opset)
	return e.rule
}

func isStop(n *graph.Node) bool {
	entries := registry[key{n.Domain, n.Op}]
	return len(entries) == 1 && entries[0].rule == nil
}

// RuleNames returns the registered rules as "MatMul-1" or "com.microsoft.FastGelu-1", sorted; the number is the operator-set
// version from which the rule holds.
func RuleNames() []string { return names(func(e entry) bool { return e.rule != nil }) }

// StopNames returns the operators through which no gradient flows, in the form of [RuleNames].
func StopNames() []string { return names(func(e entry) bool { return e.rule == nil }) }

func names(want func(entry) bool) []string {
	var out []string
	for k, entries := range registry {
		for _, e := range entries {
			if want(e) {
				out = append(out, ruleName(k, e.since))
			}
		}
	}
	slices.Sort(out)
	return out
}

func ruleName(k key, since int64) string {
	if k.domain != "" {
		return fmt.Sprintf("%s.%s-%d", k.domain, k.op, since)
	}
	return fmt.Sprintf("%s-%d", k.op, since)
}
