package inject

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// A HeadKind says what the classifier reads.
type HeadKind string

// The kinds of head. HeadAuto takes the model's own classifier when it has one with the right number of outputs, else its
// pooler, else the mean.
const (
	HeadAuto      HeadKind = "auto"
	HeadExisting  HeadKind = "existing"   // the classifier the model was exported with, trained further
	HeadPooler    HeadKind = "pooler"     // tanh(dense(first token)), the model's own, frozen
	HeadNewPooler HeadKind = "new-pooler" // the same, a trained copy of the model's own, or new where it has none
	HeadCLS       HeadKind = "cls"        // the first token
	// HeadPreClassifier is new-pooler with relu, as DistilBERT's classifier has it in Hugging Face's models.
	HeadPreClassifier HeadKind = "pre-classifier"
	HeadMean          HeadKind = "mean" // the mean over the tokens that the attention mask admits
)

// HeadKinds lists the accepted kinds.
func HeadKinds() []HeadKind {
	return []HeadKind{HeadAuto, HeadExisting, HeadPooler, HeadNewPooler, HeadPreClassifier, HeadCLS, HeadMean}
}

// Head is the part of the plan that says how logits come from the encoder.
type Head struct {
	Kind    HeadKind `json:"kind,omitempty"`
	Dropout float64  `json:"dropout,omitempty"`
}

// LogitsName is the name of the output that a new head writes.
const LogitsName = "logits"

// planHead decides the head before the methods run: modules that the head trains whole are not adapted.
func (in *Injection) planHead(opt Options) error {
	kind, err := in.headKind(opt.Head)
	if err != nil {
		return err
	}
	if err := CheckDropout("head-dropout", opt.HeadDrop); err != nil {
		return err
	}
	in.Plan.Head = Head{kind, opt.HeadDrop}
	return nil
}

func (in *Injection) addHead() error {
	kind := in.Plan.Head.Kind
	p := in.Patch("classifier")
	features := in.features(p, kind)
	if p.Err() != nil {
		return p.Err()
	}
	w, b, err := in.classifierStart(kind, in.Plan.Task.Outputs())
	if err != nil {
		return err
	}
	how := "normal(0.02)"
	if kind == HeadExisting {
		how = "base"
	}
	vw := in.Trainable(p, "weight", Trainable{Target: "classifier", Role: "weight", Init: how}, w)
	vb := in.Trainable(p, "bias", Trainable{Target: "classifier", Role: "bias", Init: how}, b)
	x := in.dropout(p, features, in.Plan.Head.Dropout)
	logits := p.With(graph.IntAttr("transB", 1)).Op("Gemm", x, vw, vb)
	p.Typed(logits, graph.Float, graph.Shape{in.batch(), graph.Fixed(int64(in.Plan.Task.Outputs()))})
	return in.publish(p, logits)
}

// publish makes logits the model's output of that name: in place of the old classifier's when there is one.
func (in *Injection) publish(p *graph.Patch, logits *graph.Value) error {
	old := in.Encoder.Logits
	replaced := old != nil && old.IsOutput() && old.Shape.Compatible(logits.Shape)
	if replaced {
		p.Shunt(old, logits)
	}
	if err := p.Apply(); err != nil {
		return err
	}
	if !replaced {
		if err := in.retire(LogitsName); err != nil {
			return err
		}
		if err := in.Graph.Rename(logits, LogitsName); err != nil {
			return err
		}
		in.Graph.AddOutput(logits)
	}
	in.Plan.Logits = logits.Name()
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

func (in *Injection) headKind(want HeadKind) (HeadKind, error) {
	e := in.Encoder
	has := e.Classifier != nil && e.Task == models.SequenceClassification
	fits := has && e.Classifier.Out == in.Plan.Task.Outputs()
	switch want {
	case HeadAuto, "":
		switch {
		case fits:
			return HeadExisting, nil
		case e.Pooled != nil:
			return HeadPooler, nil
		}
		return HeadMean, nil
	case HeadExisting:
		if !has {
			return "", fmt.Errorf("--head existing: the model was exported without a classifier; use pooler, cls or mean")
		}
		if !fits {
			return "", fmt.Errorf("--head existing: the model's classifier has %d outputs and the task %d", e.Classifier.Out, in.Plan.Task.Outputs())
		}
		return want, nil
	case HeadPooler:
		if e.Pooled == nil {
			return HeadNewPooler, nil
		}
		return want, nil
	case HeadNewPooler, HeadPreClassifier, HeadCLS, HeadMean:
		return want, nil
	}
	return "", fmt.Errorf("--head %q: unknown; the kinds are %v", want, HeadKinds())
}

// features returns what the classifier reads, [batch, hidden].
func (in *Injection) features(p *graph.Patch, kind HeadKind) *graph.Value {
	e := in.Encoder
	hidden := in.Current(e.LastHidden)
	shape := graph.Shape{in.batch(), graph.Fixed(int64(e.Hidden))}
	first := func() *graph.Value {
		return p.Typed(p.With(graph.IntAttr("axis", 1)).Op("Gather", in.firstOf(hidden), p.Int(0)), graph.Float, shape)
	}
	switch {
	case kind == HeadExisting:
		return in.Current(e.Classifier.Input)
	case kind == HeadPooler:
		return in.Current(e.Pooled)
	case kind.dense() != nil:
		d := kind.dense()
		w, b := in.denseStart(p, d)
		dense := p.With(graph.IntAttr("transB", 1)).Op("Gemm", first(), w, b)
		return p.Typed(activations[d.activation](p, dense), graph.Float, shape)
	case kind == HeadMean:
		return p.Typed(in.mean(p, hidden), graph.Float, shape)
	}
	return first()
}

// firstOf returns the hidden states whose first token a head reads.
func (in *Injection) firstOf(hidden *graph.Value) *graph.Value {
	if in.first != nil {
		return in.first
	}
	return hidden
}

// A headDense is the linear map that a head trains between the first token and the classifier.
type headDense struct{ name, target, activation string }

// dense returns the linear map that a kind of head trains, nil for kinds that train none.
func (k HeadKind) dense() *headDense {
	switch k {
	case HeadNewPooler:
		return &headDense{"pooler", "pooler.dense", "tanh"}
	case HeadPreClassifier:
		return &headDense{"pre_classifier", "pre_classifier", "relu"}
	}
	return nil
}

// denseStart adds the parameters of the linear map [hidden, hidden]: the base's where it has one before the same activation,
// else N(0, 0.02²) and zeros.
func (in *Injection) denseStart(p *graph.Patch, d *headDense) (w, b *graph.Value) {
	n, how := int64(in.Encoder.Hidden), "normal(0.02)"
	tw := graph.TensorOf([]int64{n, n}, normal(in.Rand(d.target), int(n*n), 0.02))
	tb := graph.TensorOf(nil, make([]float32, n))
	if base := in.Encoder.Pooler; base != nil && in.Encoder.PoolerActivation == d.activation {
		var err error
		if tw, tb, err = baseLinear(base); err != nil {
			p.Fail(fmt.Errorf("%s: %w", d.name, err))
			return nil, nil
		}
		how = "base"
	}
	w = in.Trainable(p, d.name+"/weight", Trainable{Target: d.target, Role: "weight", Init: how}, tw)
	b = in.Trainable(p, d.name+"/bias", Trainable{Target: d.target, Role: "bias", Init: how}, tb)
	return w, b
}

// mean is Σ mask·h / max(Σ mask, 1e-9) over the tokens, as sentence-transformers pools, in operators that mean the same at
// every operator set from 7 on.
func (in *Injection) mean(p *graph.Patch, hidden *graph.Value) *graph.Value {
	mask := in.Encoder.AttentionMask
	if mask == nil {
		p.Fail(fmt.Errorf("--head mean: the model has no attention mask input; use cls or pooler"))
		return nil
	}
	m := p.With(graph.IntAttr("to", int64(graph.Float))).Op("Cast", mask)
	row := p.Op("Reshape", m, p.Ints(0, 1, -1))
	count := p.Op("MatMul", row, p.Op("Reshape", m, p.Ints(0, -1, 1)))
	sum := p.Op("MatMul", row, hidden)
	mean := p.Op("Div", sum, p.Op("Max", count, p.Float(graph.Float, 1e-9)))
	return p.Op("Reshape", mean, p.Ints(-1, int64(in.Encoder.Hidden)))
}

// classifierStart returns the classifier's first weight [outputs, in] and bias [outputs]: the base's for HeadExisting, else
// N(0, 0.02²) and zeros, which is BERT's initializer_range.
func (in *Injection) classifierStart(kind HeadKind, outputs int) (w, b *graph.Tensor, err error) {
	e := in.Encoder
	if kind != HeadExisting {
		data := normal(in.Rand("classifier"), outputs*e.Hidden, 0.02)
		return graph.TensorOf([]int64{int64(outputs), int64(e.Hidden)}, data), graph.TensorOf(nil, make([]float32, outputs)), nil
	}
	w, b, err = baseLinear(e.Classifier)
	if err != nil {
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
		w = graph.TensorOf([]int64{int64(l.Out), int64(l.In)}, transpose(data, l.In, l.Out))
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

// transpose returns the [cols, rows] form of a [rows, cols] matrix.
func transpose(m []float32, rows, cols int) []float32 {
	out := make([]float32, len(m))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = m[r*cols+c]
		}
	}
	return out
}
