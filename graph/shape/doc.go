// Package shape infers the element type and the symbolic shape of every value of a graph.
//
// A dimension is a number or an expression over the names of the graph inputs' dimensions, such as "batch*sequence" or
// "min(512,sequence)"; [Expr] says how they are normalised. Exporters compute the targets of Reshape, Expand and Slice in
// the graph itself, from Shape, Gather, Concat and arithmetic, so small integer values carry their elements as expressions
// too ([Info.Elements]). Named dimensions count as at least 1: a batch and a sequence are never empty.
//
// Each operator has a rule under (domain, operator), one file a family. An operator without one leaves its outputs as the
// file states them and is listed in [Info.Unknown].
package shape
