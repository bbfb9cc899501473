package format

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
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
	if p.Head.Kind == inject.HeadLM {
		return "heads." + name + "." + hubLM[t.Target] + "." + t.Role
	}
	at := hubFirstMap
	if t.Target == "classifier" && hubActivations[p.Head.Kind] != "" {
		at = hubSecondMap
	}
	return "heads." + name + "." + at + "." + t.Role
}

// hubHeadTypes are AdapterHub's types of heads that compute what ours do, by our task; to it a regression is a classification with
// one label.
var hubHeadTypes = map[string]string{"classification": hubClassification, "regression": hubClassification, "multi-label": "multilabel_classification"}

const hubClassification = "classification"

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
	if head.Type == hubMaskedLM {
		return name, a.dropHubDecoder("heads." + name + "." + hubLM["classifier"] + ".weight")
	}
	return name, nil
}

// hubMaskedLM is the type of a masked language model's head, and hubLM the numbers of its parts: a linear map (0), its
// activation (1), a LayerNorm and the decoder.
const hubMaskedLM = "masked_lm"

var hubLM = map[string]string{"transform.dense": "0", "transform.LayerNorm": "2", "classifier": "3"}

// dropHubDecoder leaves out the decoder's weight [vocabulary, hidden], which the library stores beside the rest and which is
// the base's word embeddings: it ties the two whenever it makes or loads such a head.
func (a *Adapter) dropHubDecoder(key string) error {
	if w := a.Tensors[key]; w != nil && len(w.Dims) != 2 {
		return fmt.Errorf("format: %s: tensor %q is %v: want [vocabulary, hidden]", a.Path, key, w.Dims)
	}
	delete(a.Tensors, key)
	return nil
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
	// Of a language model's head alone.
	Norm  *bool `json:"layer_norm,omitempty"`
	Shift *bool `json:"shift_labels,omitempty"`
}

// task returns what the head is for and what it reads.
func (h hubHead) task() (inject.Task, inject.HeadKind, error) {
	none := inject.Task{}
	of, known := h.taskType()
	switch {
	case h.Type == hubMaskedLM:
		return h.maskedLM()
	case h.Type == hubTagging:
		return h.tagging()
	case !known:
		types := slices.Compact(slices.Sorted(slices.Values(append(slices.Collect(maps.Values(hubHeadTypes)), hubMaskedLM, hubTagging))))
		return none, "", fmt.Errorf("head_type %q is not supported; supported are %s", h.Type, strings.Join(types, ", "))
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
	if of == "regression" {
		return inject.Task{Type: of}, kind, nil
	}
	labels, err := h.labels()
	return inject.Task{Type: of, Labels: labels}, kind, err
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
func hubLabelIDs(p *inject.Plan) map[string]int {
	if len(p.Task.Labels) == 0 {
		return nil
	}
	out := map[string]int{}
	for i, label := range p.Task.Labels {
		out[label] = i
	}
	return out
}

// taskType returns our task.
func (h hubHead) taskType() (name string, ok bool) {
	if h.Type == hubClassification && h.Labels == 1 {
		return "regression", true
	}
	for _, name := range slices.Sorted(maps.Keys(hubHeadTypes)) {
		if hubHeadTypes[name] == h.Type {
			return name, true
		}
	}
	return "", false
}

// maskedLM returns the task and head of a masked language model's head as the library makes it: ours has no other form.
func (h hubHead) maskedLM() (inject.Task, inject.HeadKind, error) {
	is := func(b *bool, want bool) bool { return b == nil || *b == want }
	if h.Layers != 2 || h.Activation == nil || *h.Activation != "gelu" || !is(h.Norm, true) || !is(h.Shift, false) || !h.Bias {
		return inject.Task{}, "", fmt.Errorf("a %s head is supported with layers 2, activation_function gelu, layer_norm and bias, and without shift_labels", hubMaskedLM)
	}
	return inject.Task{Type: string(models.MaskedLM), Kind: models.MaskedLM}, inject.HeadLM, nil
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
	if p.Head.Kind == inject.HeadLM {
		return map[string]any{
			"head_type": hubMaskedLM, "vocab_size": p.Encoder.Vocab, "embedding_size": p.Find("head", "transform.dense", "weight").Shape[0],
			"layers": 2, "activation_function": "gelu", "layer_norm": true, "bias": true, "shift_labels": false, "label2id": nil,
		}, nil
	}
	if h, ok := hubTaggerOf(p); ok {
		return h, nil
	}
	return hubClassifier(p)
}

// hubClassifier is hubHeadConfig for classifiers.
func hubClassifier(p *inject.Plan) (hubHead, error) {
	between := hubActivations[inject.HeadNewPooler]
	h := hubHead{Type: hubHeadTypes[p.Task.Type], Labels: p.Task.Outputs(), Layers: 1, Activation: &between, Bias: true}
	if h.Type == "" {
		return h, fmt.Errorf("format: AdapterHub has no head for the task %q", p.Task.Type)
	}
	switch kind := p.Head.Kind; {
	case hubActivations[kind] != "":
		h.Layers, between = 2, hubActivations[kind]
	case kind == inject.HeadPooler && p.Encoder.Family == "roberta", (kind == inject.HeadPooler || kind == inject.HeadExisting) && p.Encoder.Family == "bert":
		h.Pooler = true
	case kind != inject.HeadCLS:
		return h, fmt.Errorf("format: AdapterHub has no head of the kind %q for %s: it reads the first token or the pooler", kind, p.Encoder.Family)
	}
	h.LabelIDs = hubLabelIDs(p)
	if p.Head.Dropout > 0 {
		h.Dropout = &p.Head.Dropout
	}
	return h, nil
}
