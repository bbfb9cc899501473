package onnxfile

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

// The numbers of the fields that are taken apart by hand; see onnx.proto.
const (
	modelGraph       = 7
	graphNode        = 1
	graphInitializer = 5
	nodeAttribute    = 5
	attrTensor       = 5
	attrGraph        = 6
	attrTensors      = 10
	attrGraphs       = 11
	tensorFloatData  = 4
	tensorRawData    = 9
	tensorDoubleData = 10
	tensorExternal   = 13
	tensorLocation   = 14
)

// maxDepth bounds the nesting of subgraphs, so that a hostile file can't exhaust the stack.
const maxDepth = 64

// The parts of a message: what holds large tensors is split off by hand, the rest is left to protobuf.
type (
	modelParts struct {
		rest  *onnxpb.ModelProto // no graph
		graph *graphParts        // nil when the file has none
	}
	graphParts struct {
		rest  *onnxpb.GraphProto // no nodes, no initializers
		nodes []nodeParts
		inits []tensorParts
	}
	nodeParts struct {
		rest  *onnxpb.NodeProto // no attributes
		attrs []attrParts
	}
	attrParts struct {
		rest    *onnxpb.AttributeProto // no tensors, no graphs
		t       *tensorParts
		g       *graphParts
		tensors []tensorParts
		graphs  []*graphParts
	}
	tensorParts struct {
		rest  *onnxpb.TensorProto // no payload, when that is split off
		field protowire.Number    // the field that held the payload, 0 when it is in rest
		at    span
	}
)

// A span is a piece of the file.
type span struct {
	data []byte
	off  int64 // where it starts in the file
}

var errTruncated = errors.New("the file ends within a field: it is truncated, or not an ONNX model")

// each calls f with every field of the message in s: its number, its payload when it is length-delimited, and all of it.
func (s span) each(f func(num protowire.Number, typ protowire.Type, payload span, whole []byte) error) error {
	for b := s.data; len(b) > 0; {
		num, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return errTruncated
		}
		n := protowire.ConsumeFieldValue(num, typ, b[tag:])
		if n < 0 {
			return errTruncated
		}
		n += tag
		var payload span
		if typ == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b[tag:])
			payload = span{v, s.off + int64(len(s.data)-len(b)+n-len(v))}
		}
		if err := f(num, typ, payload, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// unmarshal decodes what the walk left to protobuf. Required fields don't exist in ONNX; unknown ones are kept.
func unmarshal(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("a %s can't be decoded: the file is damaged, or not an ONNX model (%w)", m.ProtoReflect().Descriptor().Name(), err)
	}
	return nil
}

func splitModel(s span) (*modelParts, error) {
	m := &modelParts{rest: &onnxpb.ModelProto{}}
	var rest []byte
	err := s.each(func(num protowire.Number, typ protowire.Type, payload span, whole []byte) error {
		if num != modelGraph || typ != protowire.BytesType {
			rest = append(rest, whole...)
			return nil
		}
		if m.graph != nil {
			return errors.New("the model has two graphs")
		}
		var err error
		m.graph, err = splitGraph(payload, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, unmarshal(rest, m.rest)
}

func splitGraph(s span, depth int) (*graphParts, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("subgraphs are nested more than %d deep", maxDepth)
	}
	g := &graphParts{rest: &onnxpb.GraphProto{}}
	var rest []byte
	err := s.each(func(num protowire.Number, typ protowire.Type, payload span, whole []byte) error {
		switch {
		case num == graphNode && typ == protowire.BytesType:
			n, err := splitNode(payload, depth)
			g.nodes = append(g.nodes, n)
			return err
		case num == graphInitializer && typ == protowire.BytesType:
			t, err := splitTensor(payload)
			g.inits = append(g.inits, t)
			return err
		}
		rest = append(rest, whole...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return g, unmarshal(rest, g.rest)
}

func splitNode(s span, depth int) (nodeParts, error) {
	n := nodeParts{rest: &onnxpb.NodeProto{}}
	var rest []byte
	err := s.each(func(num protowire.Number, typ protowire.Type, payload span, whole []byte) error {
		if num == nodeAttribute && typ == protowire.BytesType {
			a, err := splitAttr(payload, depth)
			n.attrs = append(n.attrs, a)
			return err
		}
		rest = append(rest, whole...)
		return nil
	})
	if err != nil {
		return n, err
	}
	return n, unmarshal(rest, n.rest)
}

func splitAttr(s span, depth int) (attrParts, error) {
	a := attrParts{rest: &onnxpb.AttributeProto{}}
	var rest []byte
	err := s.each(func(num protowire.Number, typ protowire.Type, payload span, whole []byte) error {
		if typ != protowire.BytesType {
			num = 0
		}
		switch num {
		case attrTensor, attrTensors:
			t, err := splitTensor(payload)
			if num == attrTensors {
				a.tensors = append(a.tensors, t)
			} else if a.t != nil {
				return errors.New("an attribute has two tensors where one belongs")
			} else {
				a.t = &t
			}
			return err
		case attrGraph, attrGraphs:
			g, err := splitGraph(payload, depth+1)
			if num == attrGraphs {
				a.graphs = append(a.graphs, g)
			} else if a.g != nil {
				return errors.New("an attribute has two graphs where one belongs")
			} else {
				a.g = g
			}
			return err
		}
		rest = append(rest, whole...)
		return nil
	})
	if err != nil {
		return a, err
	}
	return a, unmarshal(rest, a.rest)
}

// splitTensor splits off the payload when it is large and stands in the file as it stands in memory: raw_data, and
// float_data and double_data when packed into one piece.
func splitTensor(s span) (tensorParts, error) {
	t := tensorParts{rest: &onnxpb.TensorProto{}}
	pieces := 0
	err := s.each(func(num protowire.Number, typ protowire.Type, payload span, _ []byte) error {
		switch num {
		case tensorRawData, tensorFloatData, tensorDoubleData:
			pieces++
			if typ == protowire.BytesType && len(payload.data) >= inlineBelow {
				t.field, t.at = num, payload
			}
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	if pieces != 1 || t.field == 0 {
		t.field, t.at = 0, span{}
		return t, unmarshal(s.data, t.rest)
	}
	var rest []byte
	_ = s.each(func(num protowire.Number, _ protowire.Type, _ span, whole []byte) error { // walked once already
		if num != t.field {
			rest = append(rest, whole...)
		}
		return nil
	})
	return t, unmarshal(rest, t.rest)
}
