package crosscheck

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
)

const (
	// wholeFile is the size in bytes up to which onnx-go gets the file as it is. It copies what it reads.
	wholeFile = 32 << 20
	// largestTensor is the size in bytes up to which initializers are compared: onnx-go takes five times that in memory.
	largestTensor = 4 << 20
	// shownDifferences is how many differences an error lists.
	shownDifferences = 5
)

// A Report says what was compared and found equal.
type Report struct {
	Nodes        int
	Initializers int
	Skipped      []string // what was not compared, and why
}

// A DifferenceError says where the two readings differ.
type DifferenceError struct {
	Path        string
	Differences []string
}

// Error lists the first few differences.
func (e *DifferenceError) Error() string {
	shown := e.Differences[:min(len(e.Differences), shownDifferences)]
	text := fmt.Sprintf("crosscheck: %s: onnx-go reads it differently: %s", e.Path, strings.Join(shown, "; "))
	if more := len(e.Differences) - len(shown); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// Compare reads the model at path with onnx-go and compares it with g, our reading of it or the graph that was saved
// there: the operators in order, their wiring, their int, float, string and tensor attributes, the names of inputs and
// outputs, and the bytes of float, double, int32 and int64 initializers. A difference is a [*DifferenceError].
func Compare(path string, g *graph.Graph) (Report, error) {
	c := &comparison{g: g}
	rec, err := c.read(path)
	if err != nil {
		return Report{}, fmt.Errorf("crosscheck: %s: %w", path, err)
	}
	c.structure(rec)
	if err := c.initializers(path); err != nil {
		return Report{}, fmt.Errorf("crosscheck: %s: %w", path, err)
	}
	if len(c.diffs) > 0 {
		return c.report, &DifferenceError{path, c.diffs}
	}
	return c.report, nil
}

type comparison struct {
	g        *graph.Graph
	skeleton bool // onnx-go read a copy without initializers
	report   Report
	diffs    []string
}

func (c *comparison) differ(format string, args ...any) {
	c.diffs = append(c.diffs, fmt.Sprintf(format, args...))
}

func (c *comparison) skip(format string, args ...any) {
	c.report.Skipped = append(c.report.Skipped, fmt.Sprintf(format, args...))
}

// read decodes the file, whole if possible and else without what onnx-go refuses.
func (c *comparison) read(path string) (*recorder, error) {
	type key struct{ output, attr string }
	drop := map[key]bool{}
	for i, n := range c.g.Nodes() {
		for _, a := range n.Attrs {
			if why := unreadable(&a); why != "" {
				c.skip("attribute %q of node %d, %s: %s", a.Name, i, n, why)
				drop[key{firstNamed(valueNames(n.Outputs())), a.Name}] = true
			}
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if len(drop) == 0 && info.Size() <= wholeFile {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return record(data)
	}
	data, err := onnxfile.Skeleton(path, func(output, attr string) bool { return drop[key{output, attr}] })
	if err != nil {
		return nil, err
	}
	c.skeleton = true
	c.skip("the file as a whole: onnx-go got a copy without weights, types and the attributes above")
	return record(data)
}

// unreadable says why onnx-go refuses an attribute, or "".
func unreadable(a *graph.Attr) string {
	switch a.Kind {
	case graph.AttrInt, graph.AttrInts, graph.AttrFloat, graph.AttrFloats, graph.AttrString, graph.AttrStrings:
		return ""
	case graph.AttrTensor:
		if a.T.Ref() != nil {
			return "its bytes are in a file, maybe another one, and onnx-go reads no external data"
		}
		return unreadableTensor(a.T)
	}
	return fmt.Sprintf("onnx-go reads no attributes of kind %d", a.Kind)
}

// unreadableTensor says why onnx-go refuses a tensor, or "".
func unreadableTensor(t *graph.Tensor) string {
	switch t.DType {
	case graph.Float, graph.Double, graph.Int32, graph.Int64:
	default:
		return fmt.Sprintf("onnx-go reads no %s tensors", t.DType)
	}
	switch n := t.Len() * t.DType.Size(); {
	case n == 0:
		return "onnx-go reads no empty tensors"
	case n > largestTensor:
		return fmt.Sprintf("%d bytes are too many for onnx-go", n)
	}
	return ""
}

func (c *comparison) structure(rec *recorder) {
	c.names("inputs", rec.names(rec.model.Input), c.inputs())
	c.names("outputs", rec.names(rec.model.Output), valueNames(c.g.Outputs()))
	nodes := c.g.Nodes()
	if !rec.ordered() {
		c.skip("the order of nodes: the file isn't in topological order, and our reading is")
		rec.arrange(nodes)
	}
	if len(rec.ops) != len(nodes) {
		c.differ("%d nodes, not %d", len(rec.ops), len(nodes))
	}
	for i := range min(len(rec.ops), len(nodes)) {
		before := len(c.diffs)
		c.node(i, nodes[i], rec.ops[i])
		if len(c.diffs) == before {
			c.report.Nodes++
		}
	}
}

// inputs returns the names that onnx-go takes for the only inputs: of those without an initializer, as far as it sees any.
func (c *comparison) inputs() []string {
	var required []*graph.Value
	for _, v := range c.g.Inputs() {
		if v.Init() == nil || c.skeleton {
			required = append(required, v)
		}
	}
	return valueNames(required)
}

func (c *comparison) names(what string, got, want []string) {
	if !slices.Equal(got, want) {
		c.differ("%s %q, not %q", what, got, want)
	}
}

func (c *comparison) node(i int, n *graph.Node, op operation) {
	if op.name != n.Op {
		c.differ("node %d is a %s, not %s", i, op.name, n)
		return
	}
	outputs := valueNames(n.Outputs())
	if !slices.Equal(op.outputs, outputs) {
		c.differ("node %d, %s, has outputs %q, not %q", i, n, op.outputs, outputs)
	}
	if inputs := valueNames(n.Inputs()); len(inputs) > 0 {
		for k, got := range op.inputs {
			if !slices.Equal(got, inputs) {
				c.differ("node %d, %s, computes output %d from %q, not %q", i, n, k, got, inputs)
			}
		}
	}
	c.attrs(i, n, op.attrs)
}

func (c *comparison) attrs(i int, n *graph.Node, got map[string]any) {
	want := map[string]bool{}
	for _, a := range n.Attrs {
		if unreadable(&a) != "" {
			continue
		}
		want[a.Name] = true
		v, ok := got[a.Name]
		if !ok {
			c.differ("node %d, %s, has no attribute %q", i, n, a.Name)
		} else if !sameAttr(v, &a) {
			c.differ("node %d, %s: attribute %q is %v", i, n, a.Name, v)
		}
	}
	for name := range got {
		if !want[name] {
			c.differ("node %d, %s, has an attribute %q", i, n, name)
		}
	}
}

func firstNamed(names []string) string {
	if i := slices.IndexFunc(names, func(s string) bool { return s != "" }); i >= 0 {
		return names[i]
	}
	return ""
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

// initializers decodes the encoded tensors one at a time, which bounds the memory that it takes.
func (c *comparison) initializers(path string) error {
	inits := c.g.Initializers()
	i, skipped := 0, map[string]int{}
	err := onnxfile.EachInitializer(path, func(encoded []byte) error {
		if i++; i > len(inits) {
			return nil
		}
		v := inits[i-1]
		if why := unreadableTensor(v.Init()); why != "" {
			skipped[why]++
			return nil
		}
		t, err := decodeTensor(encoded)
		if err != nil {
			skipped[err.Error()]++
			return nil
		}
		if sameTensor(t, v.Init()) {
			c.report.Initializers++
		} else {
			c.differ("initializer %q has other bytes or another shape", v.Name())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if i != len(inits) {
		c.differ("%d initializers, not %d", i, len(inits))
	}
	for _, why := range slices.Sorted(maps.Keys(skipped)) {
		c.skip("%d initializers: %s", skipped[why], why)
	}
	return nil
}
