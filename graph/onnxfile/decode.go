package onnxfile

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

// modelExtra is the Extra of a graph that was read: the messages without what the representation models, and the lists
// that say in which order the file had it. It is never changed, since clones of the graph share it.
type modelExtra struct {
	model *onnxpb.ModelProto // nil for a subgraph
	graph *onnxpb.GraphProto
	// stray holds the names in value_info that belong to no value of the graph, in a file that was stripped or merged.
	stray map[string]bool
	types map[string]valueType
	// implied holds the domains that nodes use and the file doesn't import; onnxruntime takes them at version 1.
	implied map[string]bool
	// dir is the folder of a model that keeps external data in parts that the representation doesn't model; else "".
	dir string
}

// A decoder turns the parts of a file into a graph.
type decoder struct {
	src     *source // the file the parts come from; nil when they come from memory
	dir     string  // where external data is looked for; "" forbids it
	sources map[string]*source
	opsets  map[string]int64
	// keepsExternal is set when a sparse tensor has external data.
	keepsExternal bool
}

// domain returns the one name that an operator domain has in a graph: "ai.onnx" is written "".
func domain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

func (d *decoder) model(m *modelParts) (*graph.Graph, error) {
	d.opsets = map[string]int64{}
	for _, o := range m.rest.OpsetImport {
		d.opsets[domain(o.GetDomain())] = o.GetVersion()
	}
	implied := map[string]bool{}
	m.graph.domains(func(dom string) {
		if _, ok := d.opsets[dom]; !ok && dom != "" {
			d.opsets[dom], implied[dom] = 1, true
		}
	})
	g, err := d.graph(m.graph, nil)
	if err != nil {
		return nil, err
	}
	g.IRVersion, g.Producer = m.rest.GetIrVersion(), m.rest.GetProducerName()
	for _, kv := range m.rest.MetadataProps {
		g.Metadata = append(g.Metadata, graph.KV{Key: kv.GetKey(), Value: kv.GetValue()})
	}
	extra := g.Extra.(*modelExtra)
	extra.model, extra.implied = m.rest, implied
	if d.keepsExternal || mentionsExternal(m.rest) {
		extra.dir = d.dir
	}
	return g, nil
}

// domains calls f with the domain of every node, those of subgraphs included.
func (p *graphParts) domains(f func(string)) {
	for _, n := range p.nodes {
		f(domain(n.rest.GetDomain()))
		for _, a := range n.attrs {
			if a.g != nil {
				a.g.domains(f)
			}
			for _, g := range a.graphs {
				g.domains(f)
			}
		}
	}
}

// graph builds one graph. Names that it reads and nothing in it defines go to outer, which fails in the outermost graph.
func (d *decoder) graph(p *graphParts, outer func(name string) error) (*graph.Graph, error) {
	g := graph.New(p.rest.GetName())
	for dom, v := range d.opsets {
		g.Opsets[dom] = v
	}
	extra := &modelExtra{graph: p.rest, stray: map[string]bool{}, types: map[string]valueType{}}
	g.Extra = extra
	for _, s := range p.rest.SparseInitializer {
		d.keepsExternal = d.keepsExternal || mentionsExternal(s)
	}
	if err := d.roots(g, p); err != nil {
		return nil, err
	}
	if err := d.nodes(g, p.nodes, outer); err != nil {
		return nil, err
	}
	for _, o := range p.rest.Output {
		v, err := resolve(g, o.GetName(), outer)
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", o.GetName(), err)
		}
		g.AddOutput(v)
		declare(v, o)
	}
	for _, vi := range p.rest.ValueInfo {
		if v := g.Value(vi.GetName()); v != nil {
			declare(v, vi)
		} else {
			extra.stray[vi.GetName()] = true
		}
	}
	for _, list := range [][]*onnxpb.ValueInfoProto{p.rest.Input, p.rest.Output, p.rest.ValueInfo} {
		for _, vi := range list {
			if v := g.Value(vi.GetName()); v != nil {
				extra.types[v.Name()] = valueType{v.DType, v.Shape.Clone()}
			}
		}
	}
	if ordered(g) {
		return g, nil
	}
	return g, g.Sort()
}

// roots adds inputs and initializers. An initializer of an input's name is its default; their types must agree.
func (d *decoder) roots(g *graph.Graph, p *graphParts) error {
	for _, in := range p.rest.Input {
		dtype, shape := decodeType(in.Type)
		if _, err := g.AddInput(in.GetName(), dtype, shape); err != nil {
			return err
		}
	}
	for i := range p.inits {
		name := p.inits[i].rest.GetName()
		t, err := d.tensor(&p.inits[i])
		if err != nil {
			return fmt.Errorf("initializer %q: %w", name, err)
		}
		if v := g.Value(name); v != nil && v.DType != t.DType && v.DType != graph.Undefined {
			return fmt.Errorf("initializer %q holds %s, and the input of that name is declared %s", name, t.DType, v.DType)
		}
		if _, err := g.AddInitializer(name, t); err != nil {
			return err
		}
	}
	return nil
}

// nodes adds all nodes first and links their inputs then, so that the order of the file doesn't matter.
func (d *decoder) nodes(g *graph.Graph, parts []nodeParts, outer func(string) error) error {
	nodes := make([]*graph.Node, len(parts))
	for i, p := range parts {
		n, err := g.AddNode(graph.NodeSpec{
			Name: p.rest.GetName(), Domain: domain(p.rest.GetDomain()), Op: p.rest.GetOpType(), Outputs: p.rest.Output,
		})
		if err != nil {
			return err
		}
		n.Extra, nodes[i] = p.rest, n
	}
	for i, n := range nodes {
		for k, name := range parts[i].rest.Input {
			var v *graph.Value
			if name != "" {
				var err error
				if v, err = resolve(g, name, outer); err != nil {
					return fmt.Errorf("node %s: input %d, %q: %w", n, k, name, err)
				}
			}
			n.SetInput(k, v)
		}
		capture := func(name string) error {
			v, err := resolve(g, name, outer)
			if err == nil {
				n.AddCapture(v)
			}
			return err
		}
		for k := range parts[i].attrs {
			a, err := d.attr(&parts[i].attrs[k], capture)
			if err != nil {
				return fmt.Errorf("node %s: attribute %q: %w", n, parts[i].attrs[k].rest.GetName(), err)
			}
			n.Attrs = append(n.Attrs, a)
		}
	}
	return nil
}

// resolve returns the value that name means in g: its own, or one of an enclosing graph.
func resolve(g *graph.Graph, name string, outer func(string) error) (*graph.Value, error) {
	if v := g.Value(name); v != nil {
		return v, nil
	}
	if outer == nil {
		return nil, fmt.Errorf("nothing defines it")
	}
	if err := outer(name); err != nil {
		return nil, err
	}
	return g.AddOuter(name)
}

func (d *decoder) attr(p *attrParts, capture func(string) error) (graph.Attr, error) {
	r := p.rest
	a := graph.Attr{Name: r.GetName(), Kind: graph.AttrKind(r.GetType()), Extra: r}
	a.F, a.I, a.S = r.GetF(), r.GetI(), string(r.GetS())
	a.Floats, a.Ints = r.Floats, r.Ints
	for _, s := range r.Strings {
		a.Strings = append(a.Strings, string(s))
	}
	var err error
	if p.t != nil {
		if a.T, err = d.tensor(p.t); err != nil {
			return a, err
		}
	}
	if p.g != nil {
		if a.G, err = d.graph(p.g, capture); err != nil {
			return a, err
		}
	}
	for i := range p.tensors {
		t, err := d.tensor(&p.tensors[i])
		if err != nil {
			return a, err
		}
		a.Tensors = append(a.Tensors, t)
	}
	for _, sub := range p.graphs {
		g, err := d.graph(sub, capture)
		if err != nil {
			return a, err
		}
		a.Graphs = append(a.Graphs, g)
	}
	return a, wellFormed(&a)
}

// wellFormed refuses an attribute that says it is a tensor or a graph and has none, so that nobody else has to.
func wellFormed(a *graph.Attr) error {
	if a.Kind == graph.AttrTensor && a.T == nil || a.Kind == graph.AttrGraph && a.G == nil {
		return fmt.Errorf("it has no value")
	}
	return nil
}

// declare gives v the type that the file declares for it, unless its tensor says more.
func declare(v *graph.Value, vi *onnxpb.ValueInfoProto) {
	if v.Init() != nil || v.IsInput() {
		return
	}
	dtype, shape := decodeType(vi.Type)
	if dtype != graph.Undefined {
		v.DType = dtype
	}
	if shape != nil {
		v.Shape = shape
	}
}

// decodeType returns the element type and shape of a dense tensor type; of any other, Undefined and nil.
func decodeType(t *onnxpb.TypeProto) (graph.DType, graph.Shape) {
	tt := t.GetTensorType()
	if tt == nil {
		return graph.Undefined, nil
	}
	dtype := graph.DType(tt.GetElemType())
	if tt.Shape == nil {
		return dtype, nil
	}
	shape := make(graph.Shape, len(tt.Shape.Dim))
	for i, d := range tt.Shape.Dim {
		shape[i] = decodeDim(d)
	}
	return dtype, shape
}

func decodeDim(d *onnxpb.TensorShapeProto_Dimension) graph.Dim {
	switch v := d.GetValue().(type) {
	case *onnxpb.TensorShapeProto_Dimension_DimValue:
		if v.DimValue >= 0 {
			return graph.Fixed(v.DimValue)
		}
	case *onnxpb.TensorShapeProto_Dimension_DimParam:
		if v.DimParam != "" {
			return graph.Symbol(v.DimParam)
		}
	}
	return graph.UnknownDim()
}

// ordered reports whether every node stands after those it reads from.
func ordered(g *graph.Graph) bool {
	done := map[*graph.Node]bool{nil: true}
	for _, n := range g.Nodes() {
		for _, list := range [][]*graph.Value{n.Inputs(), n.Captures()} {
			for _, v := range list {
				if v != nil && !done[v.Producer()] {
					return false
				}
			}
		}
		done[n] = true
	}
	return true
}

// mentionsExternal reports whether a tensor anywhere in m has external data.
func mentionsExternal(m proto.Message) bool {
	found := false
	_ = protorange.Range(m.ProtoReflect(), func(p protopath.Values) error {
		if t, ok := p.Index(-1).Value.Interface().(protoreflect.Message); ok {
			if t, ok := t.Interface().(*onnxpb.TensorProto); ok && t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
				found = true
				return protorange.Terminate
			}
		}
		return nil
	})
	return found
}

// clone returns a copy of a message that may be changed.
func clone[M proto.Message](m M) M { return proto.Clone(m).(M) }
