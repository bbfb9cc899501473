package autodiff

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/refeval"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/internal/graphtest"
	"github.com/peftgraph/peftgraph/train/autodiff/gradcheck"
)

// A ruleCase is a small graph in graphtest's text form whose float inputs are differentiated. Symbolic dimensions are run
// with two sets of sizes.
type ruleCase struct {
	opsets string // "11 13 18"; each is one check
	inputs string // "x float[a,3], i int64[2]"
	body   string // nodes and initializers; lines end with newline or ";"
	lo, hi float64
	fixed  string // inputs that get no gradient
}

func (c ruleCase) String() string {
	return strings.ReplaceAll(c.inputs+" | "+strings.Join(strings.Fields(c.body), " "), "/", "÷")
}

// graph builds the case's graph: its outputs y, y0, y1, … are weighted by random inputs and summed to the loss.
func (c ruleCase) graph(opset string) (*graph.Graph, error) {
	text := fmt.Sprintf("graph \"case\" (%s) => ()\nopset %s\nopset com.microsoft 1\n%s\n", c.inputs, opset, strings.ReplaceAll(c.body, ";", "\n"))
	g, err := graphtest.Parse(text)
	if err != nil {
		return nil, err
	}
	if err := shape.Infer(g); err != nil {
		return nil, err
	}
	b := g.Build("loss")
	var terms []*graph.Value
	for _, v := range g.Values() {
		if strings.HasPrefix(v.Name(), "y") && v.Producer() != nil {
			r, err := g.AddInput("weight/"+v.Name(), v.DType, v.Shape.Clone())
			if err != nil {
				return nil, err
			}
			terms = append(terms, b.With(graph.IntAttr("keepdims", 0)).Op("ReduceSum", b.Op("Mul", v, r)))
		}
	}
	loss := terms[0]
	if len(terms) > 1 {
		loss = b.Op("Sum", terms...)
	}
	if b.Err() != nil {
		return nil, b.Err()
	}
	if err := g.Rename(loss, "loss"); err != nil {
		return nil, err
	}
	return g, shape.Infer(g)
}

func (c ruleCase) wrt(g *graph.Graph) []*graph.Value {
	var out []*graph.Value
	for _, v := range g.Inputs() {
		if v.DType.IsFloat() && !strings.HasPrefix(v.Name(), "weight/") && !slices.Contains(strings.Fields(c.fixed), v.Name()) {
			out = append(out, v)
		}
	}
	return out
}

// feeds draws the inputs. The weights' sizes follow from running the forward graph.
func (c ruleCase) feeds(p *refeval.Program, g *graph.Graph, sizes map[string]int64) (map[string]*graph.Tensor, error) {
	lo, hi := c.lo, c.hi
	if lo == hi {
		lo, hi = -1, 1
	}
	feeds := map[string]*graph.Tensor{}
	for i, v := range g.Inputs() {
		if name, ok := strings.CutPrefix(v.Name(), "weight/"); ok {
			out, err := p.Run(context.Background(), feeds, []string{name})
			if err != nil {
				return nil, err
			}
			feeds[v.Name()] = graphtest.Rand(uint64(100+i), graph.Double, out[0].Dims, -1, 1)
			continue
		}
		dims := make([]int64, len(v.Shape))
		for k, d := range v.Shape {
			if dims[k] = d.N; !d.Known() {
				dims[k] = sizes[d.Sym]
			}
		}
		if v.DType.IsFloat() {
			feeds[v.Name()] = graphtest.Rand(uint64(i), graph.Double, dims, lo, hi)
		} else {
			feeds[v.Name()] = graphtest.Rand(uint64(i), v.DType, dims, 0, 3)
		}
	}
	return feeds, nil
}

// check differentiates with respect to wrt and compares with central differences; it returns the largest relative error.
func (c ruleCase) check(opset string, sizes map[string]int64, opt Options, pick func([]*graph.Value) []*graph.Value) (float64, error) {
	g, err := c.graph(opset)
	if err != nil {
		return 0, err
	}
	wrt := pick(c.wrt(g))
	exact := map[string]*graph.Tensor{}
	opt.Rounded = func(c *graph.Value, v float64) { exact[c.Name()] = graph.Scalar(v) }
	grads, err := Gradients(g, g.Value("loss"), wrt, opt)
	if err != nil {
		return 0, err
	}
	if err := g.Check(); err != nil {
		return 0, err
	}
	names := map[string]string{}
	for i, w := range wrt {
		if grads[i].DType != w.DType || !grads[i].Shape.Compatible(w.Shape) {
			return 0, fmt.Errorf("the gradient of %s is %s", w, grads[i])
		}
		names[w.Name()] = grads[i].Name()
	}
	p, err := refeval.New(g)
	if err != nil {
		return 0, err
	}
	feeds, err := c.feeds(p, g, sizes)
	if err != nil {
		return 0, err
	}
	maps.Copy(feeds, exact)
	results, err := gradcheck.Check(context.Background(), p, feeds, "loss", names, gradcheck.Options{Elements: 40})
	if err != nil {
		return 0, err
	}
	worst := 0.
	for _, r := range results {
		if r.Checked == 0 {
			return 0, fmt.Errorf("nothing was checked of %q", r.Param)
		}
		worst = max(worst, r.RelErr)
	}
	if !(worst <= 1e-10) {
		return worst, fmt.Errorf("%+v\n%s", results, g)
	}
	return worst, nil
}

var sizeSets = []map[string]int64{{"a": 2, "b": 3, "n": 4}, {"a": 1, "b": 5, "n": 1}}

func all(vs []*graph.Value) []*graph.Value { return vs }

// TestRules checks every rule against central differences in float64, with all inputs and with each input alone wanted, as
// plain ONNX and with FusedMatMul allowed.
func TestRules(t *testing.T) {
	worst := 0.
	for _, c := range ruleCases {
		for _, opset := range strings.Fields(c.opsets) {
			t.Run(opset+" "+c.String(), func(t *testing.T) {
				picks := []func([]*graph.Value) []*graph.Value{all}
				g, err := c.graph(opset)
				if err != nil {
					t.Fatal(err)
				}
				if n := len(c.wrt(g)); n > 1 {
					for i := range n {
						picks = append(picks, func(vs []*graph.Value) []*graph.Value { return vs[i : i+1] })
					}
				}
				for _, sizes := range sizeSets {
					for _, pick := range picks {
						for _, fused := range []bool{false, true} {
							err1, err := c.check(opset, sizes, Options{FusedMatMul: fused}, pick)
							if err != nil {
								t.Fatalf("%v: %v", sizes, err)
							}
							worst = max(worst, err1)
						}
					}
				}
			})
		}
	}
	t.Logf("%d cases, largest relative error %.1e", len(ruleCases), worst)
}

// TestEveryRuleHasACase walks the registry: a rule that no case differentiates through is an untested rule.
func TestEveryRuleHasACase(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range ruleCases {
		for _, opset := range strings.Fields(c.opsets) {
			g, err := c.graph(opset)
			if err != nil {
				t.Fatal(c, err)
			}
			for _, n := range g.Nodes() {
				if e, ok := find(n, g.Opsets[n.Domain]); ok && !strings.HasPrefix(n.Name, "loss/") {
					tested[ruleName(key{n.Domain, n.Op}, e.since)] = true
				}
			}
		}
	}
	for _, name := range RuleNames() {
		if !tested[name] {
			t.Errorf("the rule %s has no gradient check", name)
		}
	}
	if n := len(RuleNames()); n < 60 {
		t.Errorf("only %d rules are registered", n)
	}
}
