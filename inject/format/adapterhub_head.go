package format

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/peftgraph/peftgraph/inject"
)

// An AdapterHub head is a chain of dropouts, linear maps and activations, whose keys number all three: with one layer the
// classifier is 1, with two the first map is 1, the activation 2 and the classifier 4. Two layers on the first token are what
// BERT's pooler and classifier are, with tanh between them, and DistilBERT's two with relu, so that is how they are injected.
const (
	hubFirstMap  = "1"
	hubSecondMap = "4"
)

// hubActivations are what stands between the two layers of our heads that have two.
var hubActivations = map[inject.HeadKind]string{inject.HeadNewPooler: "tanh", inject.HeadPreClassifier: "relu"}

func hubHeadKey(p *inject.Plan, t inject.Trainable, name string) string {
	at := hubFirstMap
	if t.Target == "classifier" && hubActivations[p.Head.Kind] != "" {
		at = hubSecondMap
	}
	return "heads." + name + "." + at + "." + t.Role
}

// readHubHead reads the head, if the folder has one, and returns its name.
func (a *Adapter) readHubHead() (string, error) {
	path := filepath.Join(a.Path, hubHeadConfigFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	c, err := readConfig(path)
	if err != nil {
		return "", err
	}
	name := hubName
	if err := read(c, "name", &name); err != nil {
		return "", fmt.Errorf("format: %s: %w", path, err)
	}
	head := hubHead{Layers: 1, Bias: true}
	if err := read(c, "config", &head); err != nil {
		return "", fmt.Errorf("format: %s: %w", path, err)
	}
	if a.Task, a.Head, err = head.task(); err != nil {
		return "", fmt.Errorf("format: %s: %w", path, err)
	}
	tensors, err := openTensors(a.Path, hubHeadTensorFile, hubHeadPickleFile)
	if err != nil {
		return "", err
	}
	maps.Copy(a.Tensors, tensors.Tensors)
	return name, nil
}

// hubHead is the configuration of a prediction head.
type hubHead struct {
	Type       string         `json:"head_type"`
	Labels     int            `json:"num_labels"`
	Layers     int            `json:"layers"`
	Activation *string        `json:"activation_function"`
	LabelIDs   map[string]int `json:"label2id"`
	Pooler     bool           `json:"use_pooler"`
	Bias       bool           `json:"bias"`
	Dropout    *float64       `json:"dropout_prob"`
}

// task returns what the head is for and what it reads.
func (h hubHead) task() (inject.Task, inject.HeadKind, error) {
	none := inject.Task{}
	if task, ok := hubTokenTask(h.Type); ok {
		return h.ofTokens(task)
	}
	switch {
	case h.Type != "classification":
		return none, "", fmt.Errorf("head_type %q is not supported; supported are classification and %s", h.Type, strings.Join(hubTokenTypes(), ", "))
	case !h.Bias:
		return none, "", errors.New("bias is false: a classifier without one is not supported")
	case h.Layers == 2 && h.twoLayers() == "":
		return none, "", errors.New("activation_function of a head with two layers must be tanh or relu")
	case h.Layers < 1 || h.Layers > 2 || h.Layers == 2 && h.Pooler:
		return none, "", fmt.Errorf("layers is %d with use_pooler %v: want 1, or 2 without the pooler", h.Layers, h.Pooler)
	case h.Labels < 1 || h.Labels > maxLabels:
		return none, "", fmt.Errorf("num_labels is %d", h.Labels)
	}
	kind := inject.HeadCLS
	if h.Pooler {
		kind = inject.HeadPooler
	} else if h.Layers == 2 {
		kind = h.twoLayers()
	}
	if h.Labels == 1 {
		return inject.Task{Type: "regression"}, kind, nil
	}
	labels, err := h.labels()
	return inject.Task{Type: "classification", Labels: labels}, kind, err
}

// labels are the classes' names, numbers for those without one.
func (h hubHead) labels() ([]string, error) {
	out := numberedLabels(h.Labels)
	for label, i := range h.LabelIDs {
		if i < 0 || i >= h.Labels {
			return nil, fmt.Errorf("label2id: %q is class %d of %d", label, i, h.Labels)
		}
		out[i] = label
	}
	return out, nil
}

// hubLabelIDs is the inverse of labels.
func hubLabelIDs(labels []string) map[string]int {
	if len(labels) == 0 {
		return nil
	}
	out := map[string]int{}
	for i, label := range labels {
		out[label] = i
	}
	return out
}

// twoLayers returns our head of two layers with the activation, "" where there is none.
func (h hubHead) twoLayers() inject.HeadKind {
	for kind, activation := range hubActivations {
		if h.Activation != nil && *h.Activation == activation {
			return kind
		}
	}
	return ""
}

// hubHeadConfig is the inverse of task.
func hubHeadConfig(p *inject.Plan) (any, error) {
	if h, ok := hubTokenHeadOf(p); ok {
		return h, nil
	}
	between := hubActivations[inject.HeadNewPooler]
	h := hubHead{Type: "classification", Labels: p.Task.Outputs(), Layers: 1, Activation: &between, Bias: true}
	switch kind := p.Head.Kind; {
	case hubActivations[kind] != "":
		h.Layers, between = 2, hubActivations[kind]
	case kind == inject.HeadPooler && p.Encoder.Family == "roberta", (kind == inject.HeadPooler || kind == inject.HeadExisting) && p.Encoder.Family == "bert":
		h.Pooler = true
	case kind != inject.HeadCLS:
		return h, fmt.Errorf("format: AdapterHub has no head of the kind %q for %s: it reads the first token or the pooler", kind, p.Encoder.Family)
	}
	h.LabelIDs = hubLabelIDs(p.Task.Labels)
	if p.Head.Dropout > 0 {
		h.Dropout = &p.Head.Dropout
	}
	return h, nil
}
