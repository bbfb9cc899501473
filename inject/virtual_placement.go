package inject

import (
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

// Where virtual tokens stand in the sequence, in AdapterHub's words.
const (
	CombinePrefix   = "prefix"
	CombineAfterBOS = "prefix_after_bos"
)

// What a head that reads one token reads.
const (
	PoolFirst = "first"
	PoolCLS   = "cls"
)

// Placement says where virtual tokens enter the encoder and what reads them. PEFT puts them before position embeddings and
// LayerNorm: they take the first position ids and token type 0, and BERT's pooler reads the first of them instead of [CLS].
// AdapterHub puts them behind the LayerNorm, where they have no position. In a model with relative positions they are as far
// from the text as they stand, in either layout.
type Placement struct {
	Tokens  int    `json:"num_virtual_tokens" flag:"num-virtual-tokens" usage:"number of virtual tokens"`
	Layout  string `json:"layout" flag:"layout" usage:"whose placement: peft (before position embeddings and LayerNorm) or adapterhub (behind them)"`
	Combine string `json:"combine" flag:"combine" usage:"prefix (before the text) or prefix_after_bos (behind its first token; layout adapterhub only)"`
	Pool    string `json:"pool" flag:"pool" usage:"what the pooler and --head cls read: first (the first token of all, a virtual one as in PEFT) or cls (the text's first)"`
}

func defaultPlacement() Placement {
	return Placement{Tokens: 20, Layout: LayoutPEFT, Combine: CombinePrefix, Pool: PoolFirst}
}

func (x *Placement) validate() error {
	if err := checkSize("num-virtual-tokens", x.Tokens, 1); err != nil {
		return err
	}
	switch {
	case x.Layout != LayoutPEFT && x.Layout != LayoutAdapterHub:
		return fmt.Errorf("--layout %q: must be %s or %s", x.Layout, LayoutPEFT, LayoutAdapterHub)
	case x.Combine != CombinePrefix && x.Combine != CombineAfterBOS:
		return fmt.Errorf("--combine %q: must be %s or %s", x.Combine, CombinePrefix, CombineAfterBOS)
	case x.Combine == CombineAfterBOS && x.Layout == LayoutPEFT:
		return fmt.Errorf("--combine %s needs --layout %s: PEFT has no such placement", CombineAfterBOS, LayoutAdapterHub)
	case x.Pool != PoolFirst && x.Pool != PoolCLS:
		return fmt.Errorf("--pool %q: must be %s or %s", x.Pool, PoolFirst, PoolCLS)
	}
	return nil
}

// width returns the width of the embeddings, narrower than the layers in ELECTRA, after checks that the model's form allows
// longer sequences.
func (x *Placement) width(in *Injection) (int, error) {
	e := in.Encoder
	word := e.Embeddings.Word
	if word.DType != graph.Float || word.Init() == nil || len(word.Init().Dims) != 2 {
		return 0, fmt.Errorf("word embeddings %s: only float32 models can be trained; export the model in float32", word)
	}
	if s := e.InputIDs.Shape; len(s) == 2 && s[1].Known() {
		return 0, fmt.Errorf("the model takes texts of exactly %d tokens, and virtual tokens make the sequence longer; export it with a dynamic sequence length, or use --method prefix", s[1].N)
	}
	relative := e.Layers[0].Attention.Distances != nil
	if x.Layout == LayoutPEFT || relative {
		if e.Embeddings.Position == nil && !relative {
			return 0, fmt.Errorf("--layout %s gives virtual tokens positions, which this file has as constants; use --layout %s", LayoutPEFT, LayoutAdapterHub)
		}
		if err := in.takePositions(x.Tokens); err != nil {
			return 0, err
		}
	}
	return int(word.Init().Dims[1]), nil
}

// place concatenates the table with the embeddings, lengthens everything behind them, and takes the virtual tokens off the
// encoder's output again: it keeps its shape [batch, sequence, hidden].
func (x *Placement) place(in *Injection, p *graph.Patch, table *graph.Value) error {
	e := in.Encoder
	cut := in.Current(e.Embeddings.WordOut)
	if x.Layout == LayoutAdapterHub {
		cut = in.Current(e.Embeddings.Norm.Output)
	}
	hidden := in.Current(e.LastHidden)
	batch := in.batchSize(p)
	tokens := p.Op("Expand", table, concat(p.Builder, 0, batch, p.Ints(1, 1)))
	l := newLengthening(p, cut, p.Typed(x.join(p, tokens, cut), cut.DType, nil), hidden)
	x.lengthenInputs(in, l, concat(p.Builder, 0, batch, p.Ints(int64(x.Tokens))))
	shape := hidden.Shape.Clone()
	if err := l.apply(in.Graph); err != nil {
		return err
	}
	return x.takeOff(in, hidden, shape)
}

// join is tokens before x, or behind its first token.
func (x *Placement) join(p *graph.Patch, tokens, text *graph.Value) *graph.Value {
	if x.Combine == CombineAfterBOS {
		return concat(p.Builder, 1, slice(p.Builder, text, 1, 0, 1), tokens, slice(p.Builder, text, 1, 1, toEnd))
	}
	return concat(p.Builder, 1, tokens, text)
}

// lengthenInputs gives the virtual tokens, whose number and batch are sizes, an id, a visible place in the mask, token type 0
// and the first positions. The id is looked up by nobody, but some files compute positions and masks from ids that aren't
// padding.
func (x *Placement) lengthenInputs(in *Injection, l *lengthening, sizes *graph.Value) {
	e, p := in.Encoder, l.p
	front := func(v *graph.Value, fill float64) {
		if v != nil {
			l.input(v, x.join(p, filled(p.Builder, v.DType, fill, sizes), v))
		}
	}
	front(e.InputIDs, float64(max(e.PositionOffset, 1)))
	front(e.AttentionMask, 1)
	front(e.TokenTypeIDs, 0)
	if v := e.PositionIDs; v != nil {
		cast := func(i *graph.Value) *graph.Value { return p.With(graph.IntAttr("to", int64(v.DType))).Op("Cast", i) }
		first := p.Op("Range", p.Int(int64(e.PositionOffset)), p.Int(int64(e.PositionOffset+x.Tokens)), p.Int(1))
		l.input(v, x.join(p, p.Op("Expand", cast(first), sizes), p.Op("Add", v, cast(p.Int(int64(x.Tokens))))))
	}
}

// takeOff lets every reader of the hidden states see the text alone, in the shape that they had before, but for a head on the
// first token that is to read the first virtual one.
func (x *Placement) takeOff(in *Injection, hidden *graph.Value, shape graph.Shape) error {
	p := in.Patch(virtualTarget + "/output")
	n := int64(x.Tokens)
	text := slice(p.Builder, hidden, 1, n, toEnd)
	if x.Combine == CombineAfterBOS {
		text = concat(p.Builder, 1, slice(p.Builder, hidden, 1, 0, 1), slice(p.Builder, hidden, 1, n+1, toEnd))
	}
	p.Typed(text, graph.Float, shape)
	heads := map[*graph.Node]bool{}
	if x.readsVirtual() {
		upstream(firstTokenReader(in.Encoder), nil, heads)
		in.first = hidden
	}
	p.ShuntFor(hidden, text, func(n *graph.Node) bool { return !heads[n] })
	if err := p.Apply(); err != nil {
		return err
	}
	in.now[hidden] = text
	return nil
}

// readsVirtual reports whether a head on the first token reads a virtual one.
func (x *Placement) readsVirtual() bool { return x.Pool == PoolFirst && x.Combine == CombinePrefix }

// firstTokenReader returns what the file's own head computes from the first token, or nil.
func firstTokenReader(e *models.Encoder) *graph.Value {
	switch {
	case e.Pooled != nil:
		return e.Pooled
	case e.Classifier != nil && e.Task == models.SequenceClassification:
		return e.Classifier.Input
	}
	return nil
}
