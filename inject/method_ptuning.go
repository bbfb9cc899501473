package inject

import (
	"errors"

	"github.com/peftgraph/peftgraph/graph"
)

func init() {
	register("p-tuning", "learned embeddings before the text, trained through an MLP (Liu et al. 2021)", func() Method {
		return &PTuning{Placement: defaultPlacement()}
	})
}

// PTuning is P-tuning: prompt tuning whose virtual tokens are what an MLP of three linear maps makes of a trained table
// [num_virtual_tokens, hidden]. The MLP is folded away on export. Names are Hugging Face PEFT's PromptEncoderConfig; its LSTM
// is not offered.
type PTuning struct {
	Placement
	Folded bool `json:"folded,omitempty"` // the MLP is gone: the adapter was read from a format that keeps the virtual tokens alone
	Hidden int  `json:"encoder_hidden_size,omitempty" flag:"encoder-hidden-size" usage:"width of the MLP; 0 is the model's own"`
}

// ChangesAtStart says why the outputs are not the base's before training.
func (*PTuning) ChangesAtStart() string { return promptChanges }

func (x *PTuning) validate() error {
	return errors.Join(x.Placement.validate(), checkSize("encoder-hidden-size", x.Hidden, 0))
}

// Inject puts the virtual tokens before the text.
func (x *PTuning) Inject(in *Injection) error {
	width, err := x.width(in)
	if err != nil {
		return err
	}
	return in.last(func() error {
		p := in.Patch(virtualTarget)
		return x.place(in, p, in.virtualTable(p, x, x.parameters(in, width)))
	})
}

func (x *PTuning) parameters(in *Injection, width int) []parameter {
	if x.Folded {
		return []parameter{standardNormal(in, roleVirtual, x.Tokens, width)}
	}
	m, hidden := x.mlp(), x.Hidden
	if hidden == 0 {
		hidden = width
	}
	m.sizes = []int{width, hidden, hidden, width}
	return append([]parameter{standardNormal(in, roleEmbedding, x.Tokens, width)}, m.parameters(in)...)
}

func (*PTuning) mlp() mlp { return mlp{name: "mlp_head", activation: "Relu", sizes: make([]int, 4)} }

func (x *PTuning) table(b *graph.Builder, param func(role string) *graph.Value) *graph.Value {
	if x.Folded {
		return param(roleVirtual)
	}
	return x.mlp().apply(b, param(roleEmbedding), param)
}
