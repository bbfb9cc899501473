// Package autodiff derives gradients of ONNX graphs by reverse-mode differentiation and writes them as plain ONNX nodes into
// the same graph, so that a stock onnxruntime can train it.
//
// Words used throughout:
//
//	Y, X, A, B    values of the forward graph: an output and the inputs of a node
//	dY, dX        the gradient of the loss with respect to Y, X; it has the shape and element type of Y, X
//	wanted        an input that lies on a path from a trainable value to the loss; only these get gradients
//	rule          emits the gradients of a node's wanted inputs from those of its outputs
//	stop          an operator through which no gradient flows (Shape, Equal, ArgMax, …)
//	source        the forward value a gradient belongs to
//	un-broadcast  summing a gradient over the axes along which its source was broadcast
//
// [Gradients] is the engine (engine.go). It alone finds the paths, adds up the gradients of values that are used more than
// once, un-broadcasts (unbroadcast.go) and checks what the rules return. A rule is one function in an op_*.go file, registered
// there for an operator and the operator-set version from which it holds; it reads as the formula above it.
//
// A new operator is one op_*.go file and one line of rulecases_test.go, without which the completeness test fails. That line
// has its gradient compared with central differences in float64, and its nodes run by onnxruntime.
package autodiff
