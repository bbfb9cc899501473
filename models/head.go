package models

import (
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// head finds what stands on the last hidden state: BERT's pooler and the classifier of a task model. Whatever else does
// (mean pooling, a language model's decoder) is none of the encoder's.
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
				e.Classifier, e.Logits, e.Task = l, l.Output, task
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
