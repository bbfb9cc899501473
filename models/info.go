package models

import (
	"encoding/json"
	"fmt"

	"github.com/peftgraph/peftgraph/graph"
)

// Info is what a program needs to know of an encoder to feed it: it can be written down, and outlives the graph's form.
type Info struct {
	Family string `json:"family"`
	Prefix string `json:"prefix"` // the encoder's module path inside Hugging Face's task models: "bert."
	Inputs Inputs `json:"inputs"`
	Vocab  int    `json:"vocab"`
	// Positions is how many tokens a text can have, and FirstPosition the position id of the first.
	Positions     int   `json:"positions"`
	FirstPosition int   `json:"first_position,omitempty"`
	Layers        int   `json:"layers"`
	Hidden        int   `json:"hidden"`
	Heads         int   `json:"heads,omitempty"`
	Parameters    int64 `json:"parameters"` // of the base
	// What only config.json wants to know. Plans of older versions don't.
	Intermediate int     `json:"intermediate,omitempty"`
	TypeVocab    int     `json:"type_vocab,omitempty"`
	Activation   string  `json:"activation,omitempty"` // as [Encoder.Activation]
	LayerNormEps float64 `json:"layer_norm_eps,omitempty"`
}

// Inputs names the graph inputs by role; an empty name is an input the model does not have.
type Inputs struct {
	IDs       string `json:"input_ids"`
	Mask      string `json:"attention_mask,omitempty"`
	TokenType string `json:"token_type_ids,omitempty"`
	Position  string `json:"position_ids,omitempty"`
}

// Info summarises the encoder.
func (e *Encoder) Info() Info {
	name := func(v *graph.Value) string {
		if v == nil {
			return ""
		}
		return v.Name()
	}
	return Info{
		Family: e.Family, Prefix: e.Prefix, Vocab: e.Vocab, Layers: len(e.Layers), Hidden: e.Hidden, Heads: e.Heads, Parameters: e.Params().Total(),
		Inputs:    Inputs{name(e.InputIDs), name(e.AttentionMask), name(e.TokenTypeIDs), name(e.PositionIDs)},
		Positions: e.MaxPositions - e.PositionOffset, FirstPosition: e.PositionOffset,
		Intermediate: e.Intermediate, TypeVocab: e.TypeVocab, Activation: e.Activation, LayerNormEps: e.LayerNormEps,
	}
}

// infoKey is the metadata entry by which a graph whose form recognition doesn't know says what it is.
const infoKey = "peftgraph.encoder"

// Store writes the info into a graph's metadata.
func (i Info) Store(g *graph.Graph) error {
	text, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("models: %w", err)
	}
	g.SetMeta(infoKey, string(text))
	return nil
}

// Describe returns the info that a graph carries, or recognises it.
func Describe(g *graph.Graph) (Info, error) {
	var i Info
	if text, ok := g.Meta(infoKey); ok {
		if err := json.Unmarshal([]byte(text), &i); err != nil {
			return i, fmt.Errorf("models: metadata %s: %w", infoKey, err)
		}
		return i, nil
	}
	e, err := Recognise(g)
	if err != nil {
		return i, err
	}
	return e.Info(), nil
}
