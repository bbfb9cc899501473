// Package graph is peftgraph's intermediate representation of an ONNX model.
//
// A [Graph] owns its [Node]s in topological order and its [Value]s by name. A Value knows the node that produces it and
// every use of it, so that a rewrite never has to search. The links are changed through few writers only ([Graph.AddNode],
// [Node.SetInput], [Graph.ReplaceUses], [Graph.RemoveNode], [Patch]); [Graph.Check] recounts them all.
//
// The package knows nothing of protobuf, of onnxruntime or of the command line, and imports the standard library only.
// What the representation does not model is carried in the Extra fields, opaque to everyone but the package that read it.
package graph
