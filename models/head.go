package models

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// head finds what stands on the last hidden state: BERT's pooler, the classifier of a task model, the two halves of a masked
// language model's head. Whatever else does (mean pooling for one) is none of the encoder's.
func (m *matcher) head(e *Encoder) {
	for _, l := range m.linears {
		if firstToken(l.Input, e.LastHidden) && l.In == e.Hidden {
			m.pool(e, l)
		}
	}
	if e.Pooled != nil {
		m.classify(e, m.linearsOn[origin(e.Pooled)], SequenceClassification)
	}
	if e.Classifier == nil {
		m.classify(e, m.linearsOn[e.LastHidden], TokenClassification)
	}
	if e.Classifier == nil {
		m.languageModel(e)
	}
	if e.Classifier == nil && m.scoresWords(e) {
		e.Task = MaskedLM
	}
}

// scoresWords reports whether an output of the graph is a linear map to the vocabulary.
func (m *matcher) scoresWords(e *Encoder) bool {
	return slices.ContainsFunc(m.g.Outputs(), func(out *graph.Value) bool {
		l := m.linearOf[origin(out)]
		return l != nil && l.Out == e.Vocab
	})
}

// languageModel finds decoder(LayerNorm(act(dense(x)))), whose outputs are the vocabulary's.
func (m *matcher) languageModel(e *Encoder) {
	for _, dense := range m.linearsOn[e.LastHidden] {
		for out, norm := range m.normOf {
			x := strip(norm.Input)
			if !reaches(x, dense.Output) {
				continue
			}
			name := activationName(x, dense.Output, dense.fusedBias())
			decoders := slices.DeleteFunc(slices.Clone(m.linearsOn[out]), func(l *Linear) bool { return l.Out != e.Vocab })
			if name != "" && m.classify(e, decoders, MaskedLM) {
				e.Transform = &Transform{dense, name, norm}
				return
			}
		}
	}
}

// reaches reports whether v is computed from x alone, by functions of each element and constants.
func reaches(v, x *graph.Value) bool {
	vars, _ := leaves(v, func(v *graph.Value) bool { return v == x })
	return len(vars) == 1 && vars[0] == x
}

// pool takes l, which reads the first token, for the pooler when an activation follows, else for the classifier.
func (m *matcher) pool(e *Encoder, l *Linear) {
	if m.classify(e, []*Linear{l}, SequenceClassification) || l.Out != e.Hidden {
		return
	}
	if a := m.activated[l]; len(a) > 0 {
		e.Pooler, e.Pooled, e.PoolerActivation = l, a[0].out, a[0].name
		return
	}
	n := firstUser(l.Output)
	for rearranges(n) || n != nil && handedOn(n.Output(0)) != nil {
		n = firstUser(n.Output(0))
	}
	if name := activationName(n.Output(0), l.Output, nil); name != "" {
		e.Pooler, e.Pooled, e.PoolerActivation = l, n.Output(0), name
	}
}

// classify takes the first of the linear maps that leads to outputs of the graph for the classifier.
func (m *matcher) classify(e *Encoder, from []*Linear, task Task) bool {
	for _, l := range from {
		for _, out := range m.g.Outputs() {
			v := origin(out)
			n := producer(v)
			split := n.Is("Split") || n.Is("Slice", "Gather") && l.Out == 2
			if split && task == TokenClassification && origin(n.Input(0)) == l.Output {
				v, task = l.Output, QuestionAnswering
			}
			if v == l.Output {
				e.Classifier, e.Logits, e.Published, e.Task = l, l.Output, out, task
				return true
			}
		}
	}
	return false
}

// firstToken reports whether v is hidden[:, 0] (or hidden[:, 0:1]).
func firstToken(v, hidden *graph.Value) bool {
	v = origin(v)
	n := producer(v)
	if n == nil || strip(n.Input(0)) != hidden {
		return false
	}
	if n.Is("Gather") {
		i, ok := constInts(n.Input(1))
		return ok && len(i) == 1 && i[0] == 0 && n.Int("axis", 0) == 1
	}
	s, ok := slicing{}, false
	if n.Is("Slice") {
		s, ok = sliceOf(n)
	}
	found := false
	for i := range s.starts {
		first := s.axes[i] == 1 && s.starts[i] == 0 && s.ends[i] == 1
		found = found || first
		ok = ok && (first || s.keeps(i))
	}
	return ok && found
}
