package inject

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/numeric"
	"github.com/peftgraph/peftgraph/models"
)

// A HeadKind says what a head reads: the name of a registered head, or HeadAuto.
type HeadKind string

// HeadAuto takes the first registered head that the model has for the task: its own classifier with the right number of
// outputs before all, then what the model was made to be pooled by ([Options.Pooling]).
const HeadAuto HeadKind = "auto"

// A head computes what a task wants of the encoder. Each is one file head_<name>.go that registers it.
type head struct {
	kind    HeadKind
	summary string
	// rank orders the choice of HeadAuto, the smallest first; heads without one are taken only when they are asked for.
	rank  int
	tasks []models.Task // what it can be the head of
	// fits says why a model can't have the head for a task; nil where each can.
	fits func(e *models.Encoder, t Task) error
	// instead is the head that is taken where a model can't have this one.
	instead HeadKind
	// features returns what the classifier reads: [batch, hidden], or [batch, tokens, hidden] for a head of tokens.
	features func(in *Injection, p *graph.Patch) *graph.Value
	// dense is the linear map that the head trains before the classifier, nil for most.
	dense *headDense
	// readsPooler: the model's pooler is on the way, so that methods may adapt it.
	readsPooler bool
	// classifier returns the base's classifier that training starts from; nil starts a new one.
	classifier func(e *models.Encoder) *models.Linear
	// outputs computes the head's outputs of its features where they are more than one linear map that trains.
	outputs func(in *Injection, p *graph.Patch, x *graph.Value) *graph.Value
	// width is the number of outputs where the model decides it.
	width func(e *models.Encoder) int
	// own: the head is the one that the file was exported with, so that auto prefers it.
	own bool
}

// A headDense is a linear map that a head trains between the first token and the classifier.
type headDense struct{ name, target, activation string }

var heads = map[HeadKind]*head{}

func registerHead(h *head) {
	if heads[h.kind] != nil || h.kind == HeadAuto {
		panic("inject: head " + string(h.kind) + " registered twice")
	}
	heads[h.kind] = h
}

// HeadKinds lists the accepted kinds, HeadAuto first.
func HeadKinds() []HeadKind {
	out := []HeadKind{HeadAuto}
	for _, h := range sortedHeads() {
		out = append(out, h.kind)
	}
	return out
}

// HeadSummary returns one line about a kind.
func HeadSummary(k HeadKind) string {
	if h := heads[k]; h != nil {
		return h.summary
	}
	return "the model's own where it fits, else what the model was made to be pooled by, else the mean of a text's tokens"
}

// HeadTasks returns what a head of that kind can be the head of, nil for an unknown one.
func HeadTasks(k HeadKind) []models.Task {
	if h := heads[k]; h != nil {
		return slices.Clone(h.tasks)
	}
	return nil
}

// sortedHeads are the heads by rank, then by name.
func sortedHeads() []*head {
	var out []*head
	for _, h := range heads {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b *head) int {
		if (a.rank == 0) != (b.rank == 0) {
			return b.rank - a.rank
		}
		return cmp.Or(a.rank-b.rank, cmp.Compare(a.kind, b.kind))
	})
	return out
}

// suits says why a model can't have the head for a task.
func (h *head) suits(e *models.Encoder, t Task) error {
	if !slices.Contains(h.tasks, t.Head()) {
		return fmt.Errorf("it is no head for %s", t.Head())
	}
	if h.fits == nil {
		return nil
	}
	return h.fits(e, t)
}

// Head is the part of the plan that says how the outputs come from the encoder.
type Head struct {
	Kind    HeadKind `json:"kind,omitempty"`
	Dropout float64  `json:"dropout,omitempty"`
	// Tokens names the hidden states [batch, tokens, hidden] that all outputs of a head of tokens come from, each token's from
	// its own: a graph for some of the tokens alone can be cut there.
	Tokens string `json:"tokens,omitempty"`
}

// The names of the outputs that a new head writes: logits or, where there is no classifier, an embedding and the hidden states
// that it is pooled from.
const (
	LogitsName    = "logits"
	EmbeddingName = "sentence_embedding"
	HiddenName    = "last_hidden_state"
)

// Outputs are what a deployed model computes: what the head writes, and before an embedding the hidden states, where programs
// that pool by themselves look for them.
func (p *Plan) Outputs(g *graph.Graph) []*graph.Value {
	out := []*graph.Value{g.Value(p.Logits)}
	if hidden := g.Value(HiddenName); p.Task.Head() == models.FeatureExtraction && hidden != nil && hidden.IsOutput() {
		out = append([]*graph.Value{hidden}, out...)
	}
	return out
}

// Pooling is how an embedding is computed from the hidden states that the model's other output has: by [HeadMean] or [HeadCLS].
// It is an error for one that is computed otherwise, which programs that pool by themselves can't.
func (p *Plan) Pooling() (HeadKind, error) {
	if p.Task.Head() != models.FeatureExtraction || p.Head.Kind != HeadMean && p.Head.Kind != HeadCLS {
		return "", fmt.Errorf("inject: the head %q isn't a pooling of the hidden states; inject with --head mean or --head cls", p.Head.Kind)
	}
	for _, a := range p.Methods {
		m, err := p.Method(a.Name)
		if err != nil {
			return "", err
		}
		if v, ok := m.(interface{ readsVirtual() bool }); ok && v.readsVirtual() && p.Head.Kind == HeadCLS {
			return "", fmt.Errorf("inject: the head cls reads a virtual token of %s, which is none of the text's hidden states; inject with --pool %s, or with --head mean", a.Name, PoolCLS)
		}
	}
	return p.Head.Kind, nil
}

// head returns the head of the plan, one without effect where the task has none.
func (in *Injection) head() *head {
	if h := heads[in.Plan.Head.Kind]; h != nil {
		return h
	}
	return &head{readsPooler: true}
}

// planHead decides the head before the methods run: modules that the head trains whole are not adapted.
func (in *Injection) planHead(opt Options) error {
	kind, err := in.headKind(opt)
	if err != nil {
		return err
	}
	if err := CheckDropout("head-dropout", opt.HeadDrop); err != nil {
		return err
	}
	in.Plan.Head = Head{Kind: kind, Dropout: opt.HeadDrop}
	if h := in.head(); h.width != nil {
		in.Plan.Task.Width = h.width(in.Encoder)
	}
	return nil
}

func (in *Injection) headKind(opt Options) (HeadKind, error) {
	e, t := in.Encoder, in.Plan.Task
	if opt.Head != HeadAuto && opt.Head != "" {
		h := heads[opt.Head]
		if h == nil {
			return "", fmt.Errorf("--head %q: unknown; the kinds are %v", opt.Head, HeadKinds())
		}
		err := h.suits(e, t)
		if other := heads[h.instead]; err != nil && other != nil && other.suits(e, t) == nil {
			h, err = other, nil
		}
		if err != nil {
			return "", fmt.Errorf("--head %s: %w", opt.Head, err)
		}
		return h.kind, nil
	}
	var fit []HeadKind
	for _, h := range sortedHeads() {
		if h.rank == 0 || h.suits(e, t) != nil {
			continue
		}
		if h.classifier != nil || h.own {
			return h.kind, nil
		}
		fit = append(fit, h.kind)
	}
	if h := heads[opt.Pooling]; h != nil && h.suits(e, t) == nil {
		return h.kind, nil
	}
	if len(fit) == 0 {
		return "", fmt.Errorf("no head is known for %s; the kinds are %v", t.Head(), HeadKinds())
	}
	return fit[0], nil
}

func (in *Injection) addHead() error {
	h := in.head()
	p := in.Patch("classifier")
	x := h.features(in, p)
	if p.Err() != nil {
		return p.Err()
	}
	if in.Plan.Task.Head() == models.FeatureExtraction {
		e := in.embedding(p, x)
		if err := in.publishHidden(); err != nil {
			return err
		}
		return in.publish(p, e, EmbeddingName)
	}
	if in.Plan.Task.Head().PerToken() {
		in.Plan.Head.Tokens = in.Current(in.Encoder.LastHidden).Name()
	}
	if h.outputs != nil {
		if in.Plan.Head.Dropout > 0 {
			return fmt.Errorf("--head-dropout: the head %s has none; leave it out", h.kind)
		}
		return in.publish(p, h.outputs(in, p, x), LogitsName)
	}
	w, b, err := in.classifierStart(h)
	if err != nil {
		return err
	}
	how := "normal(0.02)"
	if h.classifier != nil {
		how = "base"
	}
	vw := in.Trainable(p, "weight", Trainable{Target: "classifier", Role: "weight", Init: how}, w)
	vb := in.Trainable(p, "bias", Trainable{Target: "classifier", Role: "bias", Init: how}, b)
	return in.publish(p, in.classify(p, in.dropout(p, x, in.Plan.Head.Dropout), vw, vb), LogitsName)
}

// classify is x·wᵀ + b, [batch, outputs] or [batch, tokens, outputs].
func (in *Injection) classify(p *graph.Patch, x, w, b *graph.Value) *graph.Value {
	outputs := graph.Fixed(int64(in.Plan.Task.Outputs()))
	if !in.Plan.Task.Head().PerToken() {
		logits := p.With(graph.IntAttr("transB", 1)).Op("Gemm", x, w, b)
		return p.Typed(logits, graph.Float, graph.Shape{in.batch(), outputs})
	}
	logits := p.Op("Add", p.Op("MatMul", x, p.With(graph.IntsAttr("perm", 1, 0)).Op("Transpose", w)), b)
	return p.Typed(logits, graph.Float, append(in.tokens(), outputs))
}

// embedding is x [batch, hidden], scaled to length 1 where the task wants that: x / max(‖x‖, 1e-12), as PyTorch normalizes.
func (in *Injection) embedding(p *graph.Patch, x *graph.Value) *graph.Value {
	if !in.Plan.Task.Normalize {
		return p.Op("Identity", x)
	}
	column := graph.Shape{in.batch(), graph.Fixed(1)}
	square := p.Op("Reshape", p.Op("MatMul", p.Op("Reshape", x, p.Ints(0, 1, -1)), p.Op("Reshape", x, p.Ints(0, -1, 1))), p.Ints(-1, 1))
	norm := p.Op("Max", p.Op("Sqrt", p.Typed(square, graph.Float, column)), p.Float(graph.Float, 1e-12))
	return p.Typed(p.Op("Div", x, norm), graph.Float, graph.Shape{in.batch(), graph.Fixed(int64(in.Encoder.Hidden))})
}

// publish makes the head's result the model's output of that name: in place of the old classifier's when there is one.
func (in *Injection) publish(p *graph.Patch, result *graph.Value, name string) error {
	if p.Err() != nil {
		return p.Err()
	}
	if result.IsOutput() {
		in.Plan.Logits = result.Name()
		return p.Apply()
	}
	old := in.Encoder.Logits
	replaced := old != nil && in.Encoder.Task == in.Plan.Task.Head() && old.Shape.Compatible(result.Shape)
	isOutput := replaced && old.IsOutput()
	if replaced {
		p.Shunt(old, result)
	}
	if err := p.Apply(); err != nil {
		return err
	}
	if !isOutput {
		if err := in.retire(name); err != nil {
			return err
		}
		if err := in.Graph.Rename(result, name); err != nil {
			return err
		}
		in.Graph.AddOutput(result)
	}
	in.Plan.Logits = result.Name()
	return nil
}

// publishHidden makes the hidden states that an embedding is pooled from an output under their usual name.
func (in *Injection) publishHidden() error {
	hidden := in.Current(in.Encoder.LastHidden)
	if hidden.Name() != HiddenName {
		if err := in.retire(HiddenName); err != nil {
			return err
		}
		if err := in.Graph.Rename(hidden, HiddenName); err != nil {
			return err
		}
	}
	if !hidden.IsOutput() {
		in.Graph.AddOutput(hidden)
	}
	return nil
}

// retire frees a name: the value that has it is an output of the base's own head, which the new head makes meaningless.
func (in *Injection) retire(name string) error {
	old := in.Graph.Value(name)
	if old == nil {
		return nil
	}
	var keep []*graph.Value
	for _, o := range in.Graph.Outputs() {
		if o != old {
			keep = append(keep, o)
		}
	}
	in.Graph.SetOutputs(keep...)
	return in.Graph.Rename(old, in.Graph.UniqueName(name+"/base"))
}

// firstToken returns the hidden states of the first token, [batch, hidden].
func (in *Injection) firstToken(p *graph.Patch) *graph.Value {
	hidden := in.first
	if hidden == nil {
		hidden = in.Current(in.Encoder.LastHidden)
	}
	return p.Typed(p.With(graph.IntAttr("axis", 1)).Op("Gather", hidden, p.Int(0)), graph.Float, in.pooledShape())
}

// pooledShape is [batch, hidden].
func (in *Injection) pooledShape() graph.Shape {
	return graph.Shape{in.batch(), graph.Fixed(int64(in.Encoder.Hidden))}
}

// classifierStart returns the classifier's first weight [outputs, in] and bias [outputs]: the base's for a head that goes on
// with it, else N(0, 0.02²) and zeros, which is BERT's initializer_range.
func (in *Injection) classifierStart(h *head) (w, b *graph.Tensor, err error) {
	e, outputs := in.Encoder, in.Plan.Task.Outputs()
	if h.classifier == nil {
		data := numeric.Normal(in.Rand("classifier"), outputs*e.Hidden, 0.02)
		return graph.TensorOf([]int64{int64(outputs), int64(e.Hidden)}, data), graph.TensorOf(nil, make([]float32, outputs)), nil
	}
	if w, b, err = baseLinear(h.classifier(e)); err != nil {
		return nil, nil, fmt.Errorf("classifier: %w", err)
	}
	return w, b, nil
}

// baseLinear returns copies of a linear map's weight as [out, in] and of its bias, zeros where it has none.
func baseLinear(l *models.Linear) (w, b *graph.Tensor, err error) {
	if w, err = copyOf(l.Weight); err != nil {
		return nil, nil, err
	}
	if !l.Transposed {
		data, err := graph.Data[float32](w)
		if err != nil {
			return nil, nil, err
		}
		w = graph.TensorOf([]int64{int64(l.Out), int64(l.In)}, numeric.Transpose(data, l.In, l.Out))
	}
	if l.Bias == nil {
		return w, graph.TensorOf(nil, make([]float32, l.Out)), nil
	}
	b, err = copyOf(l.Bias)
	return w, b, err
}

// batch returns the batch dimension of the ids.
func (in *Injection) batch() graph.Dim {
	if s := in.Encoder.InputIDs.Shape; len(s) > 0 {
		return s[0]
	}
	return graph.UnknownDim()
}

// tokens returns the batch and sequence dimensions of the ids.
func (in *Injection) tokens() graph.Shape {
	if s := in.Encoder.InputIDs.Shape; len(s) == 2 {
		return s.Clone()
	}
	return graph.Shape{graph.UnknownDim(), graph.UnknownDim()}
}
