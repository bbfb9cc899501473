package graph

import (
	"container/heap"
	"fmt"
)

// Sort puts the nodes in topological order. It is stable: among the nodes that are ready, the one that stood first comes
// first, so a graph that is in order already doesn't change. A cycle is an error that names one of its nodes.
func (g *Graph) Sort() error {
	pos := make(map[*Node]int, len(g.nodes))
	for i, n := range g.nodes {
		pos[n] = i
	}
	waits := make([]int, len(g.nodes))
	for i, n := range g.nodes {
		waits[i] = len(n.producers())
	}
	ready := &intHeap{}
	for i, w := range waits {
		if w == 0 {
			heap.Push(ready, i)
		}
	}
	sorted := make([]*Node, 0, len(g.nodes))
	for ready.Len() > 0 {
		n := g.nodes[heap.Pop(ready).(int)]
		sorted = append(sorted, n)
		for _, user := range n.consumers() {
			i := pos[user]
			if waits[i]--; waits[i] == 0 {
				heap.Push(ready, i)
			}
		}
	}
	if len(sorted) < len(g.nodes) {
		for i, w := range waits {
			if w > 0 {
				return fmt.Errorf("graph: node %s waits for its own output: the graph has a cycle", g.nodes[i])
			}
		}
	}
	g.nodes = sorted
	return nil
}

// producers returns the distinct nodes n reads from.
func (n *Node) producers() []*Node {
	var out []*Node
	seen := map[*Node]bool{}
	for _, list := range [][]*Value{n.inputs, n.captures} {
		for _, v := range list {
			if v != nil && v.producer != nil && !seen[v.producer] {
				seen[v.producer] = true
				out = append(out, v.producer)
			}
		}
	}
	return out
}

// consumers returns the distinct nodes that read from n.
func (n *Node) consumers() []*Node {
	var out []*Node
	seen := map[*Node]bool{}
	for _, o := range n.outputs {
		if o == nil {
			continue
		}
		for _, u := range o.uses {
			if !seen[u.Node] {
				seen[u.Node] = true
				out = append(out, u.Node)
			}
		}
	}
	return out
}

type intHeap []int

func (h intHeap) Len() int           { return len(h) }
func (h intHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h intHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *intHeap) Push(x any)        { *h = append(*h, x.(int)) }
func (h *intHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
