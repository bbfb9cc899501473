package graphtest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

// Parse reads the textual form that [graph.Graph.Fprint] writes; what it read prints as the same text:
//
//	graph "tiny" (x float[batch,4]) => (y float[batch,2])
//	opset 17
//	opset com.microsoft 1
//	init w float[4,2]
//	init axes int64[1] = [-1]
//	h = MatMul(x, w) "layer/MatMul"
//	y, _ = com.microsoft.FastGelu(h, _) {note="text", ints=[1,2], floats=[1,2]f, float=1e-5f} "act"
//
// Blank lines and lines that begin with # are skipped; a node's name, an output's type and an initializer's content may be
// left out. A tensor without content is filled from its name by [Rand], floats in [-0.5, 0.5) and integers 0 or 1.
// Subgraphs have no textual form.
func Parse(text string) (*graph.Graph, error) {
	p := &parser{g: graph.New("")}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		p.cursor = cursor{line: line}
		if err := p.statement(); err != nil {
			return nil, fmt.Errorf("graphtest: line %d: %w: %s", i+1, err, line)
		}
	}
	if err := p.linkOutputs(); err != nil {
		return nil, fmt.Errorf("graphtest: %w", err)
	}
	return p.g, nil
}

// MustParse is [Parse] for a text that belongs to the test; it also runs [graph.Graph.Check].
func MustParse(t testing.TB, text string) *graph.Graph {
	t.Helper()
	g, err := Parse(text)
	if err == nil {
		err = g.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

type parser struct {
	cursor
	g       *graph.Graph
	outputs []declared
}

// declared is a name with its type, as the header has them.
type declared struct {
	name  string
	dtype graph.DType
	shape graph.Shape
}

// statement parses one line. A node whose first output is called "init" still has "=" next.
func (p *parser) statement() error {
	first, err := p.name()
	if err != nil {
		return err
	}
	if !p.at('=') && !p.at(',') && p.line[0] != '"' {
		switch first {
		case "graph":
			return p.header()
		case "opset":
			return p.opset()
		case "init":
			return p.init()
		}
	}
	p.pos = 0
	return p.node()
}

func (p *parser) header() error {
	var err error
	if p.at('"') {
		if p.g.Name, err = p.name(); err != nil {
			return err
		}
	}
	inputs, err := p.declarations()
	if err != nil {
		return err
	}
	for _, d := range inputs {
		if _, err := p.g.AddInput(d.name, d.dtype, d.shape); err != nil {
			return err
		}
	}
	if err := p.expect("=>"); err != nil {
		return err
	}
	p.outputs, err = p.declarations()
	return err
}

func (p *parser) declarations() ([]declared, error) {
	var out []declared
	err := p.list('(', ')', func() error {
		var d declared
		var err error
		if d.name, err = p.name(); err == nil && !p.at(',') && !p.at(')') {
			d.dtype, d.shape, err = p.valueType()
		}
		out = append(out, d)
		return err
	})
	return out, err
}

func (p *parser) opset() error {
	domain, err := p.name()
	if err != nil {
		return err
	}
	version := domain
	if p.rest() == "" {
		domain = ""
	} else if version, err = p.name(); err != nil {
		return err
	}
	p.g.Opsets[domain], err = strconv.ParseInt(version, 10, 64)
	return err
}

func (p *parser) init() error {
	name, err := p.name()
	if err != nil {
		return err
	}
	t, err := p.tensor(name)
	if err != nil {
		return err
	}
	_, err = p.g.AddInitializer(name, t)
	return err
}

func (p *parser) node() error {
	var spec graph.NodeSpec
	for more := true; more; more = p.accept(",") {
		quoted := p.at('"')
		name, err := p.name()
		if err != nil {
			return err
		}
		if name == "_" && !quoted {
			name = ""
		}
		spec.Outputs = append(spec.Outputs, name)
	}
	if err := p.expect("="); err != nil {
		return err
	}
	op, err := p.name()
	if err != nil {
		return err
	}
	if dot := strings.LastIndexByte(op, '.'); dot >= 0 {
		spec.Domain, op = op[:dot], op[dot+1:]
	}
	spec.Op = op
	if spec.Inputs, err = p.operands(); err != nil {
		return err
	}
	if p.at('{') {
		if spec.Attrs, err = p.attrs(spec.Outputs[0]); err != nil {
			return err
		}
	}
	if p.at('"') {
		if spec.Name, err = p.name(); err != nil {
			return err
		}
	}
	if p.rest() != "" {
		return fmt.Errorf("%q is left over", p.rest())
	}
	_, err = p.g.AddNode(spec)
	return err
}

func (p *parser) operands() ([]*graph.Value, error) {
	var out []*graph.Value
	err := p.list('(', ')', func() error {
		quoted := p.at('"')
		name, err := p.name()
		if err != nil {
			return err
		}
		v := p.g.Value(name)
		if v == nil && (name != "_" || quoted) {
			return fmt.Errorf("nothing above defines %q", name)
		}
		out = append(out, v)
		return nil
	})
	return out, err
}

func (p *parser) linkOutputs() error {
	for _, d := range p.outputs {
		v := p.g.Value(d.name)
		if v == nil {
			return fmt.Errorf("output %q: nothing defines it", d.name)
		}
		if !v.IsInput() && v.Init() == nil {
			v.DType, v.Shape = d.dtype, d.shape
		}
		p.g.AddOutput(v)
	}
	return nil
}
