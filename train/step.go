package train

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/rewrite"
	"github.com/peftgraph/peftgraph/graph/shape"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/autodiff"
	"github.com/peftgraph/peftgraph/train/task"
)

// Names of the training graph's own inputs and outputs, beside the model's inputs and logits.
const (
	TargetPrefix = "train/target/" // then a target's name: what the loss compares with
	WeightsInput = "train/weights" // float [units] or [batch, tokens]; the loss is Σ weights·loss
	RowsInput    = "train/rows"    // int64 [chosen]: the places of the tokens that count, row·length + token, of a sparse task
	LossOutput   = "train/loss"    // float [1]
	GradsOutput  = "train/grads"   // float [N], in the layout of ParamsInput
)

// unitsDim is the number of units of a task that compares texts with each other.
const unitsDim = "train/units"

// chosenDim is the number of tokens that count in a batch of a sparse task.
const chosenDim = "train/chosen"

// trainingOpset is the operator set of the private training copy: the newest at which random operators still have kernels
// in stock onnxruntime, and one at which LayerNormalization and Gelu exist.
const trainingOpset = 21

// A StepGraph is the private training copy of an injected model: its parameters are one input, and it computes the loss and
// the gradient of every parameter.
type StepGraph struct {
	Graph  *graph.Graph
	Plan   *inject.Plan
	Task   task.Task
	Layout Layout
	Masks  []Mask

	exact map[string]float64 // what constants of the gradient stand for that float32 rounds, by name
}

// A Mask is a dropout whose random choice the trainer feeds, so that a run depends on its seed alone and not on the
// provider, the thread count or where it was resumed.
type Mask struct {
	Input string // bool, true is keep
	Rate  float64
	Shape graph.Shape
}

// NewStepGraph derives the training graph of an injected model; g is not changed.
func NewStepGraph(g *graph.Graph, p *inject.Plan, opt autodiff.Options) (*StepGraph, error) {
	s, err := newStep(p)
	if err != nil {
		return nil, err
	}
	var parts []*graph.Value
	if s.Graph, parts, err = s.private(g, true); err != nil {
		return nil, err
	}
	loss, err := s.addLoss()
	if err != nil {
		return nil, err
	}
	opt.Detached = inject.Detached
	opt.Rounded = func(c *graph.Value, exact float64) { s.exact[c.Name()] = exact }
	grads, err := autodiff.Gradients(s.Graph, loss, parts, opt)
	if err != nil {
		return nil, err
	}
	return s, s.publish(loss, grads)
}

func newStep(p *inject.Plan) (*StepGraph, error) {
	t, err := task.Of(p.Task)
	return &StepGraph{Plan: p, Task: t, Layout: NewLayout(p), exact: map[string]float64{}}, err
}

// NewForwardGraph derives the graph that evaluation runs: the injected model with its parameters as the input [ParamsInput]
// and the logits as its only output, those of a sparse task for the tokens of [RowsInput] alone; g is not changed.
func NewForwardGraph(g *graph.Graph, p *inject.Plan) (*graph.Graph, error) {
	s, err := newStep(p)
	if err != nil {
		return nil, err
	}
	f, _, err := s.private(g, false)
	if err != nil {
		return nil, err
	}
	f.Prune()
	return f, f.Check()
}

// private returns a copy of g in canonical form that reads its trainables from one vector, and the parts of that vector.
func (s *StepGraph) private(g *graph.Graph, training bool) (*graph.Graph, []*graph.Value, error) {
	c := g.Clone()
	logits := c.Value(s.Plan.Logits)
	if logits == nil {
		return nil, nil, fmt.Errorf("train: the model has no output %q: inject with a --task", s.Plan.Logits)
	}
	c.SetOutputs(logits)
	c.RemoveMeta(inject.MetadataKey)
	c.Prune()
	if err := sameTokens(c, s.Plan.Encoder.Inputs); err != nil {
		return nil, nil, err
	}
	s.nameUnits(c)
	if err := s.chooseRows(c); err != nil {
		return nil, nil, err
	}
	if _, err := rewrite.RaiseOpset(c, trainingOpset); err != nil {
		return nil, nil, fmt.Errorf("train: %w", err)
	}
	if err := shape.Infer(c); err != nil {
		return nil, nil, fmt.Errorf("train: %w", err)
	}
	if err := s.dropouts(c, training); err != nil {
		return nil, nil, err
	}
	parts, err := s.Layout.feed(c)
	if err != nil {
		return nil, nil, fmt.Errorf("train: %w", err)
	}
	c.Prune()
	if _, err := rewrite.Canonical(c, rewrite.Options{Opset: trainingOpset}); err != nil {
		return nil, nil, fmt.Errorf("train: %w", err)
	}
	return c, parts, nil
}

// sameTokens tells shape inference that ids, mask and token types are the same tokens, whatever names the exporter chose.
func sameTokens(g *graph.Graph, in models.Inputs) error {
	var vs []*graph.Value
	for _, name := range []string{in.IDs, in.Mask, in.TokenType} {
		if v := g.Value(name); v != nil && v.IsInput() {
			vs = append(vs, v)
		}
	}
	if err := shape.Unify(vs...); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// group is how many texts are a unit of the task.
func (s *StepGraph) group() int {
	if t, ok := s.Task.(task.Grouped); ok {
		return t.Group()
	}
	return 1
}

// nameUnits tells shape inference that a batch of a task that compares texts is so many times the units.
func (s *StepGraph) nameUnits(g *graph.Graph) {
	ids := g.Value(s.Plan.Encoder.Inputs.IDs)
	if s.group() == 1 || ids == nil || len(ids.Shape) == 0 || ids.Shape[0].Known() {
		return
	}
	batch := ids.Shape[0]
	for _, v := range g.Inputs() {
		for i, d := range v.Shape {
			if d == batch {
				v.Shape[i] = shape.Name(unitsDim).Mul(shape.Int(int64(s.group()))).Dim()
			}
		}
	}
}

// dropouts replaces each Dropout that injection added by Where(mask, x/(1−rate), 0) with a fed mask, or by x.
func (s *StepGraph) dropouts(g *graph.Graph, training bool) error {
	for _, n := range append([]*graph.Node(nil), g.Nodes()...) {
		if !inject.IsDropout(n) {
			continue
		}
		x := n.Input(0)
		if !training {
			if err := g.ReplaceUses(n.Output(0), x, nil); err != nil {
				return fmt.Errorf("train: %w", err)
			}
			continue
		}
		rates, err := n.Input(1).Const().Float64s()
		if err != nil {
			return fmt.Errorf("train: rate of %s: %w", n, err)
		}
		if x.Shape == nil {
			return fmt.Errorf("train: %s: the shape of its input %q is not known", n, x.Name())
		}
		m := Mask{Input: fmt.Sprintf("train/mask/%d", len(s.Masks)), Rate: rates[0], Shape: x.Shape}
		mask, err := g.AddInput(m.Input, graph.Bool, x.Shape)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		p := g.NewPatch("train/dropout/" + n.Name)
		scaled := p.Op("Mul", x, p.Float(graph.Float, 1/(1-m.Rate)))
		p.Shunt(n.Output(0), p.Typed(p.Op("Where", mask, scaled, p.Float(graph.Float, 0)), x.DType, x.Shape))
		if err := p.Apply(); err != nil {
			return fmt.Errorf("train: %w", err)
		}
		s.Masks = append(s.Masks, m)
	}
	return nil
}

func (s *StepGraph) addLoss() (*graph.Value, error) {
	g, labels := s.Graph, s.Plan.Task.Labels
	tokens := graph.Shape{graph.UnknownDim(), graph.UnknownDim()}
	if ids := g.Value(s.Plan.Encoder.Inputs.IDs); ids != nil && len(ids.Shape) == 2 {
		tokens = ids.Shape
	}
	l := &task.Loss{Builder: g.Build("loss"), Output: g.Value(s.Plan.Logits), Targets: map[string]*graph.Value{}, Outputs: s.Plan.Task.Outputs()}
	units := tokens[0]
	if s.group() > 1 {
		units = graph.Symbol(unitsDim)
	}
	weights := graph.Shape{units}
	for _, t := range s.Task.Targets(labels) {
		shape := graph.Shape{units}
		switch {
		case t.PerToken && s.sparse():
			shape, weights = graph.Shape{graph.Symbol(chosenDim)}, graph.Shape{graph.Symbol(chosenDim)}
		case t.PerToken:
			shape, weights = tokens.Clone(), tokens.Clone()
		case t.Width > 0:
			shape = append(shape, graph.Fixed(int64(t.Width)))
		}
		var err error
		if l.Targets[t.Name], err = g.AddInput(TargetPrefix+t.Name, t.DType, shape); err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
	}
	var err error
	if l.Weights, err = g.AddInput(WeightsInput, graph.Float, weights); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	loss := s.Task.Loss(l)
	if loss = l.Op("Reshape", loss, l.Ints(1)); l.Err() != nil {
		return nil, fmt.Errorf("train: loss: %w", l.Err())
	}
	if err := shape.Infer(g); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return loss, nil
}

// publish makes loss and the concatenated gradients the outputs beside the logits.
func (s *StepGraph) publish(loss *graph.Value, grads []*graph.Value) error {
	g := s.Graph
	b := g.Build("train/pack")
	flat := make([]*graph.Value, len(grads))
	for i, d := range grads {
		flat[i] = b.Op("Reshape", d, b.Ints(-1))
	}
	all := b.With(graph.IntAttr("axis", 0)).Op("Concat", flat...)
	b.Typed(all, graph.Float, graph.ShapeOf(int64(s.Layout.Size)))
	if b.Err() != nil {
		return fmt.Errorf("train: %w", b.Err())
	}
	if err := g.Rename(loss, LossOutput); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := g.Rename(all, GradsOutput); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	g.SetOutputs(loss, all, g.Value(s.Plan.Logits))
	g.Prune()
	if err := g.Sort(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return g.Check()
}

// sizesOf returns what the dimensions' names stand for in a batch of b texts of s tokens.
func (s *StepGraph) sizesOf(b, tokens int) map[string]int64 {
	sizes := map[string]int64{unitsDim: int64(b / s.group())}
	if ids := s.Graph.Value(s.Plan.Encoder.Inputs.IDs); ids != nil {
		for i, n := range []int{b, tokens} {
			if i < len(ids.Shape) && ids.Shape[i].Sym != "" {
				sizes[ids.Shape[i].Sym] = int64(n)
			}
		}
	}
	return sizes
}

// in returns the mask's dimensions, by what their names stand for.
func (m Mask) in(sizes map[string]int64) ([]int64, error) {
	out := make([]int64, len(m.Shape))
	for i, d := range m.Shape {
		n, ok := shape.FromDim(d).Eval(sizes)
		if !ok {
			return nil, fmt.Errorf("train: dropout mask %q: dimension %s of %s isn't known from the batch's", m.Input, d, m.Shape)
		}
		out[i] = n
	}
	return out, nil
}
