// Package onnxpb is the Go form of ONNX's protobuf messages, generated from the official onnx-ml.proto of release 1.23.2,
// which is kept here unchanged as onnx.proto.
//
// The generator registers it as package peftgraph.onnx, file peftgraph/onnxpb/onnx.proto: a binary that also links another
// reader's generated ONNX messages would panic at start if both claimed the same names. Names are not on the wire, so the
// format is the same.
package onnxpb

//go:generate go -C gen run . ../onnx.proto ../onnx.pb.go
