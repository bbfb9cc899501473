package graph

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Fprint writes the graph as text, one node a line, for people, golden files and diffs:
//
//	graph "tiny" (x float[batch,4]) => (y float[batch,2])
//	opset 17
//	init w float[4,2]
//	y = MatMul(x, w) "layer/MatMul"
//
// Attributes stand in braces, absent inputs and outputs are "_". A name stands bare unless it holds a space or one of
// "(){}=, and a symbolic dimension unless it holds one of "],; otherwise they are quoted as Go strings. The content of
// tensors of more than 8 elements, and subgraphs, are left out.
func (g *Graph) Fprint(w io.Writer) error {
	p := printer{w: w}
	p.line("graph %q (%s) => (%s)", g.Name, typed(g.inputs), typed(g.outputs))
	for _, d := range sortedKeys(g.Opsets) {
		p.line("opset %s", strings.TrimSpace(fmt.Sprintf("%s %d", d, g.Opsets[d])))
	}
	for _, v := range g.inits {
		p.line("init %s %s%s%s", nameText(v), v.DType, shapeText(v.Shape), smallData(v.init))
	}
	for _, n := range g.nodes {
		op := n.Op
		if n.Domain != "" {
			op = n.Domain + "." + op
		}
		p.line("%s = %s(%s)%s %q", valueNames(n.outputs), op, valueNames(n.inputs), attrText(n.Attrs), n.Name)
	}
	return p.err
}

// String returns what [Graph.Fprint] writes.
func (g *Graph) String() string {
	var sb strings.Builder
	_ = g.Fprint(&sb)
	return sb.String()
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func typed(vs []*Value) string {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = fmt.Sprintf("%s %s%s", nameText(v), v.DType, shapeText(v.Shape))
	}
	return strings.Join(parts, ", ")
}

func valueNames(vs []*Value) string {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = nameText(v)
	}
	return strings.Join(parts, ", ")
}

func nameText(v *Value) string {
	switch {
	case v == nil:
		return "_"
	case v.name == "_" || strings.HasPrefix(v.name, "#") || strings.HasSuffix(v.name, ",") || strings.ContainsAny(v.name, " \t\r\n\"(){}="):
		return strconv.Quote(v.name)
	}
	return v.name
}

func shapeText(s Shape) string {
	if s == nil {
		return s.String()
	}
	parts := make([]string, len(s))
	for i, d := range s {
		if parts[i] = d.String(); strings.ContainsAny(d.Sym, "\"],\n") || d.Sym == "?" {
			parts[i] = strconv.Quote(d.Sym)
		}
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// smallData shows the content of a tensor of at most 8 elements, each in the fewest digits that read back as the same number.
func smallData(t *Tensor) string {
	if t == nil || t.DType.Size() == 0 || t.Len() > 8 {
		return ""
	}
	var vs any
	var err error
	switch {
	case t.DType == Float:
		vs, err = Data[float32](t)
	case t.DType.IsFloat():
		vs, err = t.Float64s()
	default:
		vs, err = t.Int64s()
	}
	if err != nil {
		return ""
	}
	return " = " + listText(vs)
}

func listText(vs any) string { return strings.ReplaceAll(fmt.Sprint(vs), " ", ",") }

func attrText(attrs []Attr) string {
	if len(attrs) == 0 {
		return ""
	}
	parts := make([]string, len(attrs))
	for i, a := range attrs {
		parts[i] = a.Name + "=" + attrValue(a)
	}
	return " {" + strings.Join(parts, ", ") + "}"
}

func attrValue(a Attr) string {
	switch a.Kind {
	case AttrInt:
		return fmt.Sprint(a.I)
	case AttrFloat:
		return fmt.Sprintf("%gf", a.F)
	case AttrString:
		return fmt.Sprintf("%q", a.S)
	case AttrInts:
		return listText(a.Ints)
	case AttrFloats:
		return listText(a.Floats) + "f"
	case AttrStrings:
		return fmt.Sprintf("%qs", a.Strings)
	case AttrTensor:
		return fmt.Sprintf("%s%s%s", a.T.DType, ShapeOf(a.T.Dims...), smallData(a.T))
	}
	return fmt.Sprintf("<kind %d>", a.Kind)
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
