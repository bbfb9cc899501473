package models

import (
	"fmt"
	"slices"
	"strings"
)

// family is an architecture: how to tell it by what was recognised, and what Hugging Face calls its modules.
type family struct {
	name   string
	prefix string // of the encoder inside task models
	class  string // what the names of Hugging Face's model classes begin with
	// fits rates how well the family explains what was found; 0 rules it out.
	fits func(traits) int
	// layer is the path of layer %d. The other module names are below it, the last four are not.
	layer                                             string
	query, key, value, attentionOutput, attentionNorm string
	intermediate, dense, outputNorm                   string
	embeddingsNorm, embeddingsProjection              string
	pooler                                            string
	classifierDense, classifier                       string // of AutoModelForSequenceClassification
	lmDense, lmNorm, lmDecoder                        string // of AutoModelForMaskedLM
}

// traits are the differences between architectures that show in a graph.
type traits struct {
	tokenTypes   bool // a token type table, or a constant in its place
	countsTokens bool // positions leave out padding
	positionBias bool // a learned bias of relative positions is added to the scores
	distances    bool // products with learned distances stand for positions
	projection   bool // embeddings are narrower than the layers
	names        func(part string) bool
}

var families = map[string]*family{}

func register(f *family) {
	if families[f.name] != nil {
		panic("models: family " + f.name + " is registered twice")
	}
	families[f.name] = f
}

// Families returns the names of the architectures that recognition knows, sorted.
func Families() []string {
	out := make([]string, 0, len(families))
	for name := range families {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// family decides the architecture and names the modules.
func (m *matcher) family(e *Encoder) *NotRecognisedError {
	t := traits{
		tokenTypes:   m.types,
		countsTokens: e.PositionOffset > 0,
		positionBias: e.Layers[0].Attention.PositionBias != nil,
		distances:    e.Layers[0].Attention.Distances != nil,
		projection:   e.Embeddings.Projection != nil,
		names:        m.named,
	}
	var best *family
	score := 0
	for _, name := range Families() {
		if s := families[name].fits(t); s > score {
			best, score = families[name], s
		}
	}
	if best == nil {
		return refuse(e.Layers[0].Attention.Node, "no family has these parts together: %s", t)
	}
	e.Family, e.Prefix = best.name, best.prefix
	best.nameModules(e)
	return nil
}

// String lists the traits.
func (t traits) String() string {
	var out []string
	for _, x := range []struct {
		has  bool
		what string
	}{
		{t.tokenTypes, "token types"}, {!t.tokenTypes, "no token types"}, {t.countsTokens, "positions that start behind padding"},
		{t.positionBias, "a bias of positions"}, {t.distances, "relative positions"}, {t.projection, "narrow embeddings"},
	} {
		if x.has {
			out = append(out, x.what)
		}
	}
	return strings.Join(out, ", ")
}

// named reports whether a constant's name contains part, which decides only between families that compute the same.
func (m *matcher) named(part string) bool {
	return slices.ContainsFunc(m.linears, func(l *Linear) bool {
		return strings.Contains(l.Weight.Name(), part) || l.Bias != nil && strings.Contains(l.Bias.Name(), part)
	})
}

func (f *family) nameModules(e *Encoder) {
	e.Embeddings.Norm.Name = f.embeddingsNorm
	if e.Embeddings.Projection != nil {
		e.Embeddings.Projection.Name = f.embeddingsProjection
	}
	for i := range e.Layers {
		l, at := &e.Layers[i], fmt.Sprintf(f.layer, i)
		l.Query.Name, l.Key.Name, l.Value.Name = at+f.query, at+f.key, at+f.value
		if l.Attention.Distances != nil {
			l.Attention.DistancesName = at + strings.TrimSuffix(f.query, "query") + "distance_embedding"
		}
		l.AttentionOutput.Name, l.AttentionNorm.Name = at+f.attentionOutput, at+f.attentionNorm
		l.Intermediate.Name, l.Dense.Name, l.OutputNorm.Name = at+f.intermediate, at+f.dense, at+f.outputNorm
	}
	f.nameHead(e)
}

func (f *family) nameHead(e *Encoder) {
	sequence := e.Classifier != nil && e.Task == SequenceClassification
	if e.Pooler != nil {
		if e.Pooler.Name = f.pooler; f.pooler == "" || sequence && f.classifierDense != "" {
			e.Pooler.Name = f.classifierDense
		}
	}
	if t := e.Transform; t != nil {
		t.Dense.Name, t.Norm.Name = f.lmDense, f.lmNorm
	}
	switch {
	case e.Classifier == nil:
	case e.Task == MaskedLM:
		e.Classifier.Name = f.lmDecoder
	case sequence:
		e.Classifier.Name = f.classifier
	case e.Task == QuestionAnswering:
		e.Classifier.Name = "qa_outputs"
	default:
		e.Classifier.Name = "classifier"
	}
}
