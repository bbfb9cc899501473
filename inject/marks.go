package inject

import (
	"strings"

	"github.com/peftgraph/peftgraph/graph"
)

// What injection put into a graph is known by its name, which rewriting keeps and a file carries: this file alone says how.
const (
	markOurs = "peft/"
	// markDetached is the part of a node's name that says that no gradient flows through it.
	markDetached = "/detach/"
)

// scope is where a method's nodes and values at a module are named.
func scope(method, target string) string { return markOurs + method + "/" + target }

// isInjected reports whether a node or value of that name is ours.
func isInjected(name string) bool { return strings.HasPrefix(name, markOurs) }

// isOfModule reports whether a node is ours and stands at a module.
func isOfModule(n *graph.Node, module string) bool {
	return isInjected(n.Name) && strings.Contains(n.Name, "/"+module+"/")
}

// IsDropout reports whether a node is a dropout that injection added: one that counts in training alone.
func IsDropout(n *graph.Node) bool { return n.Is("Dropout") && isInjected(n.Name) }

// Detached reports whether injection meant the node's result to be a constant to the gradient, as PyTorch's detach makes it.
func Detached(n *graph.Node) bool {
	return isInjected(n.Name) && strings.Contains(n.Name, markDetached)
}
