// Package onnxfile reads and writes ONNX model files. It is the only package that knows protobuf.
//
// Weights are not copied: [Load] maps the file and leaves every tensor of a kilobyte or more where it is, as a
// [graph.Ref]; [Save] either refers to those bytes, streams them into one whole file, or puts them into a side file, so
// memory doesn't depend on the size of the model in any direction. No protobuf message over 2 GB is ever built.
//
// What the representation does not model (functions, training information, documentation, quantization annotations,
// sparse tensors, unknown fields) is kept in the Extra fields and written back: a file that is loaded and saved
// self-contained is equal to the original as a protobuf message.
package onnxfile
