// Package crosscheck reads an ONNX file a second time, with onnx-go, and compares what it says with our own reading.
//
// onnx-go shares no code with package onnxfile, from the generated messages upward, so a mistake of ours in writing or
// reading a file would have to be made there too to stay unseen. It can't read everything: what it refuses is left out
// and listed in [Report.Skipped].
package crosscheck
