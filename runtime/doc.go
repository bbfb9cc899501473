// Package runtime finds or installs a stock libonnxruntime, loads it, and runs ONNX graphs on its execution providers.
//
// It is the only package of the module that uses cgo. Everything above it asks for an interface that [Session] satisfies,
// so nearly all tests run without the library.
package runtime
