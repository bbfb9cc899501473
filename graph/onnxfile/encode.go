package onnxfile

import (
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

// An encoder turns a graph into messages. What was read from a file is the starting point of each message, and only
// fields that differ from the representation are set: so everything unchanged stays as it was, to the presence of a field.
type encoder struct {
	place     placer
	valueInfo bool
}

// A placer decides where the bytes of a tensor go. It returns nil entries for a tensor that stays in the model.
type placer interface {
	place(t *graph.Tensor) ([]*onnxpb.StringStringEntryProto, error)
}

// put sets an optional field, unless it has that value or is absent with that value for its default.
func put[T comparable](dst **T, v T) {
	var zero T
	if *dst == nil && v == zero || *dst != nil && **dst == v {
		return
	}
	*dst = &v
}

func (e *encoder) model(g *graph.Graph) (*body, error) {
	m := &onnxpb.ModelProto{}
	var implied map[string]bool
	if x, ok := g.Extra.(*modelExtra); ok && x.model != nil {
		m, implied = clone(x.model), x.implied
	}
	put(&m.IrVersion, g.IRVersion)
	put(&m.ProducerName, g.Producer)
	m.OpsetImport = encodeOpsets(m.OpsetImport, g.Opsets, implied)
	m.MetadataProps = encodeMetadata(m.MetadataProps, g.Metadata)
	sub, err := e.graph(g)
	if err != nil {
		return nil, err
	}
	b := &body{}
	err = b.proto(m)
	b.message(modelGraph, sub)
	return b, err
}

// encodeOpsets keeps the file's order and spelling, and appends new domains sorted. Implied ones at version 1 stay implied.
func encodeOpsets(old []*onnxpb.OperatorSetIdProto, opsets map[string]int64, implied map[string]bool) []*onnxpb.OperatorSetIdProto {
	var out []*onnxpb.OperatorSetIdProto
	seen := map[string]bool{}
	for _, o := range slices.Backward(old) {
		dom := domain(o.GetDomain())
		v, ok := opsets[dom]
		if !ok {
			continue
		}
		if !seen[dom] { // of two imports the later one counts
			put(&o.Version, v)
		}
		out = append(out, o)
		seen[dom] = true
	}
	slices.Reverse(out)
	var added []string
	for dom, v := range opsets {
		if !seen[dom] && !(implied[dom] && v == 1) {
			added = append(added, dom)
		}
	}
	slices.Sort(added)
	for _, dom := range added {
		v := opsets[dom]
		out = append(out, &onnxpb.OperatorSetIdProto{Domain: &dom, Version: &v})
	}
	return out
}

// encodeMetadata reuses the file's entries, which may hold unknown fields, one for each key and value.
func encodeMetadata(old []*onnxpb.StringStringEntryProto, kvs []graph.KV) []*onnxpb.StringStringEntryProto {
	var out []*onnxpb.StringStringEntryProto
	for _, kv := range kvs {
		i := slices.IndexFunc(old, func(o *onnxpb.StringStringEntryProto) bool {
			return o != nil && o.GetKey() == kv.Key && o.GetValue() == kv.Value
		})
		if i < 0 {
			out = append(out, entry(kv.Key, kv.Value))
			continue
		}
		out = append(out, old[i])
		old[i] = nil
	}
	return out
}

func entry(key, value string) *onnxpb.StringStringEntryProto {
	return &onnxpb.StringStringEntryProto{Key: &key, Value: &value}
}

func (e *encoder) graph(g *graph.Graph) (*body, error) {
	p := &onnxpb.GraphProto{}
	x, ok := g.Extra.(*modelExtra)
	if ok {
		p = clone(x.graph)
	} else {
		x = &modelExtra{}
	}
	put(&p.Name, g.Name)
	p.Input = x.encodeValues(p.Input, g.Inputs())
	p.Output = x.encodeValues(p.Output, g.Outputs())
	p.ValueInfo = x.encodeValueInfo(p.ValueInfo, g)
	if e.valueInfo {
		p.ValueInfo = appendInferred(p.ValueInfo, g)
	}
	b := &body{}
	for _, n := range g.Nodes() {
		sub, err := e.node(n)
		if err != nil {
			return nil, err
		}
		b.message(graphNode, sub)
	}
	if err := b.proto(p); err != nil {
		return nil, err
	}
	for _, v := range g.Initializers() {
		sub, err := e.tensor(fmt.Sprintf("initializer %q", v.Name()), v.Name(), v.Init())
		if err != nil {
			return nil, err
		}
		b.message(graphInitializer, sub)
	}
	return b, nil
}

func (e *encoder) node(n *graph.Node) (*body, error) {
	p := &onnxpb.NodeProto{}
	if x, ok := n.Extra.(*onnxpb.NodeProto); ok {
		p = clone(x)
	}
	p.Input, p.Output = valueNames(n.Inputs()), valueNames(n.Outputs())
	put(&p.Name, n.Name)
	put(&p.OpType, n.Op)
	if domain(p.GetDomain()) != n.Domain {
		p.Domain = &n.Domain
	}
	b := &body{}
	if err := b.proto(p); err != nil {
		return nil, err
	}
	for i := range n.Attrs {
		sub, err := e.attr(n, &n.Attrs[i])
		if err != nil {
			return nil, err
		}
		b.message(nodeAttribute, sub)
	}
	return b, nil
}

func valueNames(vs []*graph.Value) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		if v != nil {
			out[i] = v.Name()
		}
	}
	return out
}

func (e *encoder) attr(n *graph.Node, a *graph.Attr) (*body, error) {
	b := &body{}
	if err := b.proto(attrScalars(a)); err != nil {
		return nil, err
	}
	what := fmt.Sprintf("attribute %q of node %s", a.Name, n)
	if a.T != nil {
		sub, err := e.tensor(what, "", a.T)
		if err != nil {
			return nil, err
		}
		b.message(attrTensor, sub)
	}
	for _, t := range a.Tensors {
		sub, err := e.tensor(what, "", t)
		if err != nil {
			return nil, err
		}
		b.message(attrTensors, sub)
	}
	if a.G != nil {
		sub, err := e.graph(a.G)
		if err != nil {
			return nil, err
		}
		b.message(attrGraph, sub)
	}
	for _, g := range a.Graphs {
		sub, err := e.graph(g)
		if err != nil {
			return nil, err
		}
		b.message(attrGraphs, sub)
	}
	return b, nil
}

// attrScalars returns the message of an attribute without its tensors and graphs. A new attribute, and one of another
// kind than the file's, gets its value set even where it is the default.
func attrScalars(a *graph.Attr) *onnxpb.AttributeProto {
	p, old := &onnxpb.AttributeProto{}, false
	if x, ok := a.Extra.(*onnxpb.AttributeProto); ok && graph.AttrKind(x.GetType()) == a.Kind {
		p, old = clone(x), true
	}
	put(&p.Name, a.Name)
	put(&p.Type, onnxpb.AttributeProto_AttributeType(a.Kind))
	put(&p.F, a.F)
	put(&p.I, a.I)
	if string(p.S) != a.S {
		p.S = []byte(a.S)
	}
	if !old {
		switch a.Kind {
		case graph.AttrFloat:
			p.F = &a.F
		case graph.AttrInt:
			p.I = &a.I
		case graph.AttrString:
			p.S = []byte(a.S)
		}
	}
	p.Floats, p.Ints, p.Strings = a.Floats, a.Ints, nil
	for _, s := range a.Strings {
		p.Strings = append(p.Strings, []byte(s))
	}
	return p
}
