package onnxfile

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of further fields; see onnx.proto.
const (
	graphInput     = 11
	graphOutput    = 12
	graphValueInfo = 13
	valueTypeField = 2
)

// Skeleton returns the model at path as a message without weights, for a reader that can't take them: the bytes of the
// file itself, less the initializers, the declared types, and the attributes for which drop returns true. A node is
// known by its first output that has a name.
func Skeleton(path string, drop func(output, attr string) bool) ([]byte, error) {
	src, err := openSource(path)
	if err != nil {
		return nil, &LoadError{path, err}
	}
	node := func(s span) (*span, error) {
		n, err := splitNode(s, 0)
		if err != nil {
			return nil, err
		}
		return s.edit(func(num protowire.Number, s span) (*span, error) {
			if num != nodeAttribute {
				return &s, nil
			}
			a := n.attrs[0]
			n.attrs = n.attrs[1:]
			if drop(firstNamed(n.rest.Output), a.rest.GetName()) {
				return nil, nil
			}
			return &s, nil
		})
	}
	types := func(num protowire.Number, s span) (*span, error) {
		if num == valueTypeField {
			return nil, nil
		}
		return &s, nil
	}
	fields := func(num protowire.Number, s span) (*span, error) {
		switch num {
		case graphInitializer, graphValueInfo:
			return nil, nil
		case graphInput, graphOutput:
			return s.edit(types)
		case graphNode:
			return node(s)
		}
		return &s, nil
	}
	out, err := span{data: src.data}.edit(func(num protowire.Number, s span) (*span, error) {
		if num == modelGraph {
			return s.edit(fields)
		}
		return &s, nil
	})
	if err != nil {
		return nil, &LoadError{path, err}
	}
	return out.data, nil
}

func firstNamed(names []string) string {
	if i := slices.IndexFunc(names, func(s string) bool { return s != "" }); i >= 0 {
		return names[i]
	}
	return ""
}

// edit returns a copy of the message in which f replaced, or with nil removed, each length-delimited field.
func (s span) edit(f func(num protowire.Number, s span) (*span, error)) (*span, error) {
	out := &span{}
	err := s.each(func(num protowire.Number, typ protowire.Type, payload span, whole []byte) error {
		if typ != protowire.BytesType {
			out.data = append(out.data, whole...)
			return nil
		}
		repl, err := f(num, payload)
		if err == nil && repl != nil {
			out.data = protowire.AppendTag(out.data, num, typ)
			out.data = protowire.AppendBytes(out.data, repl.data)
		}
		return err
	})
	return out, err
}

// EachInitializer calls f with the encoded TensorProto of every initializer of the model at path, in order. The slice is
// part of the file and read-only.
func EachInitializer(path string, f func(encoded []byte) error) error {
	src, err := openSource(path)
	if err != nil {
		return &LoadError{path, err}
	}
	i := -1
	err = span{data: src.data}.each(func(num protowire.Number, _ protowire.Type, g span, _ []byte) error {
		if num != modelGraph {
			return nil
		}
		return g.each(func(num protowire.Number, _ protowire.Type, t span, _ []byte) error {
			if num != graphInitializer {
				return nil
			}
			i++
			if err := f(t.data); err != nil {
				return fmt.Errorf("initializer number %d: %w", i, err)
			}
			return nil
		})
	})
	if err != nil {
		return &LoadError{path, err}
	}
	return nil
}
