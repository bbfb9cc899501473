package format

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
)

// hubTokenTasks are the types of AdapterHub's heads with linear maps of each token, of which one is read here, and their tasks.
var hubTokenTasks = map[string]inject.Task{
	"tagging":            {Type: "token-classification", Kind: models.TokenClassification},
	"question_answering": {Type: "question-answering", Kind: models.QuestionAnswering, Width: 2},
}

// hubTokenTypes lists them.
func hubTokenTypes() []string { return slices.Sorted(maps.Keys(hubTokenTasks)) }

// hubTokenTask is the task of a type of head, ok where it is one of each token.
func hubTokenTask(headType string) (t inject.Task, ok bool) {
	t, ok = hubTokenTasks[headType]
	return t, ok
}

// A hubTokenHead is the configuration of such a head.
type hubTokenHead struct {
	Type       string         `json:"head_type"`
	Labels     int            `json:"num_labels"`
	Layers     int            `json:"layers"`
	Activation string         `json:"activation_function"`
	LabelIDs   map[string]int `json:"label2id"`
	Dropout    *float64       `json:"dropout_prob"`
}

// hubTokenHeadOf returns the configuration of a plan's head, ok where it is one of each token.
func hubTokenHeadOf(p *inject.Plan) (h hubTokenHead, ok bool) {
	for name, t := range hubTokenTasks { // where a task has no labels, the library numbers the outputs all the same
		if t.Kind != p.Task.Head() {
			continue
		}
		h = hubTokenHead{Type: name, Labels: p.Task.Outputs(), Layers: 1, Activation: hubActivations[inject.HeadNewPooler], LabelIDs: hubLabelIDs(slices.Concat(p.Task.Labels, numberedLabels(t.Width)))}
		if p.Head.Dropout > 0 {
			h.Dropout = &p.Head.Dropout
		}
		return h, true
	}
	return h, false
}

// ofTokens returns the task of a head of each token.
func (h hubHead) ofTokens(t inject.Task) (inject.Task, inject.HeadKind, error) {
	switch {
	case h.Layers != 1:
		return t, "", fmt.Errorf("layers is %d: a %s head of 1 is supported", h.Layers, h.Type)
	case !h.Bias:
		return t, "", errors.New("bias is false: a classifier without one is not supported")
	case h.Labels < 1 || h.Labels > maxLabels:
		return t, "", fmt.Errorf("num_labels is %d", h.Labels)
	case t.Width > 0 && h.Labels != t.Width:
		return t, "", fmt.Errorf("num_labels is %d: a head of %s has %d outputs", h.Labels, t.Type, t.Width)
	}
	var err error
	if t.Width == 0 {
		t.Labels, err = h.labels()
	}
	return t, inject.HeadTokens, err
}
