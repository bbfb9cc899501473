// Command gen compiles onnx.proto to Go without protoc, so that `go generate` needs nothing but Go. It is a module of its
// own to keep the compiler out of the main module's dependencies.
//
//	go run . ONNX.PROTO OUTPUT.GO
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const (
	fileName   = "peftgraph/onnxpb/onnx.proto"
	importPath = "github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: gen ONNX.PROTO OUTPUT.GO")
		os.Exit(2)
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func generate(in, out string) error {
	src, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	file, err := compile(src)
	if err != nil {
		return err
	}
	param := "paths=source_relative,M" + fileName + "=" + importPath
	plugin, err := protogen.Options{}.New(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{fileName},
		Parameter:      &param,
		ProtoFile:      []*descriptorpb.FileDescriptorProto{file},
	})
	if err != nil {
		return err
	}
	internal_gengo.GenerateFile(plugin, plugin.Files[0])
	files := plugin.Response().GetFile()
	if len(files) != 1 {
		return fmt.Errorf("%s: %d files generated, not one: %s", in, len(files), plugin.Response().GetError())
	}
	return os.WriteFile(out, []byte(files[0].GetContent()), 0o644)
}

// compile parses the official source under our own package name and file name.
func compile(src []byte) (*descriptorpb.FileDescriptorProto, error) {
	official, ours := []byte("\npackage onnx;\n"), []byte("\npackage peftgraph.onnx;\n")
	if bytes.Count(src, official) != 1 {
		return nil, fmt.Errorf("the source doesn't declare package onnx once")
	}
	src = bytes.Replace(src, official, ours, 1)
	c := protocompile.Compiler{
		Resolver: &protocompile.SourceResolver{Accessor: func(name string) (io.ReadCloser, error) {
			if name != fileName {
				return nil, os.ErrNotExist
			}
			return io.NopCloser(bytes.NewReader(src)), nil
		}},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := c.Compile(context.Background(), fileName)
	if err != nil {
		return nil, err
	}
	return protodesc.ToFileDescriptorProto(files[0]), nil
}
