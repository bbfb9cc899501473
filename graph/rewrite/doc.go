// Package rewrite puts a graph into the canonical form that gradients are derived from: one operator set, constants folded,
// LayerNorm and GELU as one node each, nothing that computes nothing.
//
// [Canonical] runs the stages of one table in order. A rule rewrites the cluster of nodes that ends in one node; where it
// doesn't apply it returns a [Mismatch], which says why and at which node, and [Explain] shows it. The values that a rule
// removes must have no readers outside of its cluster, and what a cluster computed keeps its name.
//
// Weights are never copied: nothing here writes a transposed or converted matrix into the graph.
package rewrite
