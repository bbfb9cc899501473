package inject

import (
	"errors"
	"fmt"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/models"
)

func init() {
	register("prefix", "learned keys and values in front of every layer's (Li and Liang 2021; P-tuning v2, Liu et al. 2022)", func() Method {
		return &Prefix{Tokens: 20, Layout: LayoutPEFT, Init: "random"}
	})
	alias("p-tuning-v2", "prefix")
}

// Prefix is prefix tuning: every layer's attention reads num_virtual_tokens learned keys and values in front of those that it
// computes. They are one table [num_virtual_tokens, 2·layers·hidden] whose row holds a token's key and value of every layer
// in turn, or, with a projection, what an MLP makes of a table [num_virtual_tokens, hidden]: trained only, and folded away on
// export. Names and defaults are Hugging Face PEFT's PrefixTuningConfig.
//
// PEFT feeds prefixes as past_key_values, so that in BERT the text's position ids start behind them; AdapterHub leaves the
// positions alone.
type Prefix struct {
	Tokens     int    `json:"num_virtual_tokens" flag:"num-virtual-tokens" usage:"number of virtual tokens"`
	Projection bool   `json:"prefix_projection" flag:"prefix-projection" usage:"train the prefix through an MLP, which export folds away"`
	Folded     bool   `json:"folded,omitempty"` // the MLP is gone: the adapter was read from a format that keeps the prefix alone
	Hidden     int    `json:"encoder_hidden_size,omitempty" flag:"encoder-hidden-size" usage:"width of the MLP; 0 is the model's own in layout peft and 512 in layout adapterhub"`
	Layout     string `json:"layout" flag:"layout" usage:"whose placement: peft (the text's positions start behind the virtual tokens) or adapterhub (they don't move)"`
	Init       string `json:"init_weights" flag:"init" usage:"start of the prefix: random (normal) or zero"`
	LeaveOut   []int  `json:"leave_out,omitempty" flag:"skip-layers" usage:"layers without a prefix, numbered from 0"`
}

// ChangesAtStart says why the outputs are not the base's before training.
func (*Prefix) ChangesAtStart() string {
	return "the virtual tokens take part of the attention as soon as they are there"
}

func (x *Prefix) validate() error {
	if err := errors.Join(checkSize("num-virtual-tokens", x.Tokens, 1), checkSize("encoder-hidden-size", x.Hidden, 0)); err != nil {
		return err
	}
	switch {
	case x.Layout != LayoutPEFT && x.Layout != LayoutAdapterHub:
		return fmt.Errorf("--layout %q: must be %s or %s", x.Layout, LayoutPEFT, LayoutAdapterHub)
	case x.Init != "random" && x.Init != "zero":
		return fmt.Errorf("--init %q: must be random or zero", x.Init)
	case x.Init == "zero" && x.Projection:
		return fmt.Errorf("--init zero: an MLP doesn't start at zero; leave one of --init and --prefix-projection out")
	}
	return nil
}

// Inject lengthens the keys, the values and the mask of every layer that is not left out.
func (x *Prefix) Inject(in *Injection) error {
	layers, err := x.layers(in.Encoder)
	if err != nil {
		return err
	}
	p := in.Patch(virtualTarget)
	table := in.virtualTable(p, x, x.parameters(in, len(layers)))
	x.lengthen(in, p, layers, table)
	in.admit(p, layers, x.Tokens)
	if x.Layout == LayoutPEFT {
		if err := x.shiftPositions(in, p); err != nil {
			return err
		}
	}
	if err := p.Apply(); err != nil {
		return err
	}
	for _, l := range layers {
		if err := forgetScores(p, &l.Attention); err != nil {
			return err
		}
	}
	return nil
}

func (x *Prefix) layers(e *models.Encoder) ([]*models.Layer, error) {
	if err := checkLayers("--skip-layers", x.LeaveOut, len(e.Layers)); err != nil {
		return nil, err
	}
	var out []*models.Layer
	for i := range e.Layers {
		l := &e.Layers[i]
		if slices.Contains(x.LeaveOut, i) {
			continue
		}
		if v := l.Attention.Distances; v != nil {
			return nil, fmt.Errorf("layer %d: the model knows tokens by their distance (%q), and a prefix stands at none; use --method prompt, whose tokens are part of the sequence", i, v.Name())
		}
		if l.Key.Weight.DType != graph.Float {
			return nil, fmt.Errorf("layer %d: weight %q is %s: only float32 models can be trained; export the model in float32", i, l.Key.Weight.Name(), l.Key.Weight.DType)
		}
		out = append(out, l)
	}
	return out, nil
}

func (x *Prefix) parameters(in *Injection, layers int) []parameter {
	hidden := in.Encoder.Hidden
	if !x.projects() {
		flat := standardNormal(in, roleVirtual, x.Tokens, 2*layers*hidden)
		if x.Init == "zero" {
			flat.how, flat.start = "zeros", make([]float32, len(flat.start))
		}
		return []parameter{flat}
	}
	width := x.Hidden
	if width == 0 {
		width = hidden
		if x.Layout == LayoutAdapterHub {
			width = 512
		}
	}
	m := x.mlp()
	m.sizes = []int{hidden, width, 2 * layers * hidden}
	return append([]parameter{standardNormal(in, roleEmbedding, x.Tokens, hidden)}, m.parameters(in)...)
}

// projects reports whether there is an MLP to train.
func (x *Prefix) projects() bool { return x.Projection && !x.Folded }

func (*Prefix) mlp() mlp { return mlp{name: "transform", activation: "Tanh", sizes: make([]int, 3)} }

func (x *Prefix) table(b *graph.Builder, param func(role string) *graph.Value) *graph.Value {
	if !x.projects() {
		return param(roleVirtual)
	}
	return x.mlp().apply(b, param(roleEmbedding), param)
}

// lengthen concatenates the prefix with every layer's keys and values along the sequence. A row of the table is
// [layer, key or value, head, feature].
func (x *Prefix) lengthen(in *Injection, p *graph.Patch, layers []*models.Layer, table *graph.Value) {
	e := in.Encoder
	perm := func(axes ...int64) *graph.Builder { return p.With(graph.IntsAttr("perm", axes...)) }
	rows := p.Op("Reshape", table, p.Ints(int64(x.Tokens), int64(2*len(layers)*e.Heads), int64(e.HeadDim)))
	pieces := equalParts(p.Builder, perm(1, 0, 2).Op("Transpose", rows), 2*len(layers)) // [heads, tokens, features] each
	each := concat(p.Builder, 0, in.batchSize(p), p.Ints(1, 1, 1))
	front := func(piece, old *graph.Value, axis int64) {
		old = in.Current(old)
		long := p.Typed(concat(p.Builder, axis, p.Op("Expand", piece, each), old), old.DType, nil)
		p.ShuntFor(old, long, func(n *graph.Node) bool { return !n.Is("Shape") })
		in.now[old] = long
	}
	for i, l := range layers {
		if p.Err() != nil {
			return
		}
		key, value, a := pieces[2*i], pieces[2*i+1], &l.Attention
		if a.KeyTransposed {
			front(perm(0, 2, 1).Op("Transpose", key), a.KeyHeads, 3)
		} else {
			front(key, a.KeyHeads, 2)
		}
		front(value, a.ValueHeads, 2)
	}
}

// shiftPositions lets position ids count from Tokens on: the table without its first rows. That serves every way in which
// exporters compute the ids, or take a slice of the table instead.
func (x *Prefix) shiftPositions(in *Injection, p *graph.Patch) error {
	table := in.Encoder.Embeddings.Position
	if table == nil {
		return fmt.Errorf("--layout %s moves the text's positions, which this file has as constants; use --layout %s", LayoutPEFT, LayoutAdapterHub)
	}
	rowAxis := int64(table.Shape.Rank() - 2)
	old := in.Current(table)
	shifted := p.Typed(slice(p.Builder, old, rowAxis, int64(x.Tokens), toEnd), old.DType, nil)
	p.Shunt(old, shifted)
	in.now[old] = shifted
	return in.takePositions(x.Tokens)
}
