// Package refeval computes ONNX graphs slowly and clearly: it is the oracle for gradients and for onnxruntime.
//
// Every floating type, whatever is declared, is computed in float64 and never rounded in between; a Cast between floating
// types changes nothing. Integers are computed as int64 and wrapped to their declared width after each node.
// [Program.Run] therefore returns Double tensors for floating values; [Program.Declared] rounds them to the declared type.
//
// Operators are registered by file, one family each; [Ops] lists them. The semantics are those of the ONNX operator
// specification at the graph's own opset, and of onnxruntime's contrib operators for the domain com.microsoft.
package refeval
