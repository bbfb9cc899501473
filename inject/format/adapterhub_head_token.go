package format

import (
	"errors"
	"fmt"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
)

// hubTagging is the type of AdapterHub's head of one linear map of each token, or of several, of which one is read here.
const hubTagging = "tagging"

// A hubTagger is the configuration of such a head.
type hubTagger struct {
	Type       string         `json:"head_type"`
	Labels     int            `json:"num_labels"`
	Layers     int            `json:"layers"`
	Activation string         `json:"activation_function"`
	LabelIDs   map[string]int `json:"label2id"`
	Dropout    *float64       `json:"dropout_prob"`
}

// hubTaggerOf returns the configuration of a plan's head, ok where it is one of each token.
func hubTaggerOf(p *inject.Plan) (h hubTagger, ok bool) {
	if p.Task.Head() != models.TokenClassification {
		return h, false
	}
	h = hubTagger{Type: hubTagging, Labels: p.Task.Outputs(), Layers: 1, Activation: hubActivations[inject.HeadNewPooler], LabelIDs: hubLabelIDs(p)}
	if p.Head.Dropout > 0 {
		h.Dropout = &p.Head.Dropout
	}
	return h, true
}

// tagging returns the task of a head of each token.
func (h hubHead) tagging() (inject.Task, inject.HeadKind, error) {
	t := inject.Task{Type: "token-classification", Kind: models.TokenClassification}
	switch {
	case h.Layers != 1:
		return t, "", fmt.Errorf("layers is %d: a tagging head of 1 is supported", h.Layers)
	case !h.Bias:
		return t, "", errors.New("bias is false: a classifier without one is not supported")
	case h.Labels < 1 || h.Labels > maxLabels:
		return t, "", fmt.Errorf("num_labels is %d", h.Labels)
	}
	var err error
	t.Labels, err = h.labels()
	return t, inject.HeadTokens, err
}
