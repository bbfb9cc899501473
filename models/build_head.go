package models

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

// head writes the pooler that the checkpoint has, and the classifier of its task.
func (e *emitter) head(hidden *graph.Value) {
	var pooled *graph.Value
	if e.f.pooler != "" && !e.opt.EncoderOnly && e.weights.has(e.f.pooler+".weight") {
		pooled = e.onFirstToken(hidden, e.f.pooler, e.prefix, "tanh")
		e.output(pooled, "pooler_output")
	}
	switch e.c.Task {
	case SequenceClassification:
		switch {
		case e.p.headActivation != "":
			pooled = e.onFirstToken(hidden, e.f.classifierDense, "", e.p.headActivation)
		case pooled == nil:
			e.fail(fmt.Errorf("tensor %q is missing: the classifier reads the pooler", e.f.pooler+".weight"))
		}
		e.classifier(pooled, e.f.classifier)
	case TokenClassification:
		e.classifier(hidden, "classifier")
	}
}

// onFirstToken is act(W·hidden[:, 0] + b) [batch, hidden].
func (e *emitter) onFirstToken(hidden *graph.Value, module, prefix, act string) *graph.Value {
	m, h := e.at(module), int64(e.c.Hidden)
	w, b := e.named(prefix+module+".weight", module+".weight", h, h), e.named(prefix+module+".bias", module+".bias", h)
	first := m.with("Gather", []graph.Attr{graph.IntAttr("axis", 1)}, hidden, m.b.Int(0))
	return e.activation(m.with("Gemm", []graph.Attr{graph.IntAttr("transB", 1)}, first, w, b), act, module)
}

// classifier is W·x + b for x [batch, hidden] or [batch, sequence, hidden].
func (e *emitter) classifier(x *graph.Value, module string) {
	labels := int64(len(e.c.Labels))
	m := e.at(module)
	w, b := e.headParameter(module+".weight", labels, int64(e.c.Hidden)), e.headParameter(module+".bias", labels)
	tokens := e.c.Task == TokenClassification
	if tokens {
		x = m.op("Reshape", x, m.b.Ints(-1, int64(e.c.Hidden)))
	}
	y := m.with("Gemm", []graph.Attr{graph.IntAttr("transB", 1)}, x, w, b)
	if tokens {
		y = m.op("Reshape", y, e.tokens(labels))
	}
	e.output(y, "logits")
}
