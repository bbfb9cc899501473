package models

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// hubTasks are the names that Hugging Face has for what a head does: the end of its model classes' names, and the pipeline.
var hubTasks = map[Task]struct{ class, pipeline string }{
	NoTask:                 {"Model", "feature-extraction"},
	FeatureExtraction:      {"Model", "feature-extraction"},
	SequenceClassification: {"ForSequenceClassification", "text-classification"},
	TokenClassification:    {"ForTokenClassification", "token-classification"},
	QuestionAnswering:      {"ForQuestionAnswering", "question-answering"},
	MaskedLM:               {"ForMaskedLM", "fill-mask"},
}

// Pipeline is the name of Hugging Face's pipeline for models with the head, which is also how its hub sorts them.
func (t Task) Pipeline() string { return hubTasks[t].pipeline }

// HubTask returns what the head of one of Hugging Face's model classes does ("BertForTokenClassification").
func HubTask(class string) (Task, bool) {
	for _, t := range slices.Sorted(maps.Keys(hubTasks)) {
		if t != NoTask && strings.HasSuffix(class, hubTasks[t].class) {
			return t, true
		}
	}
	return NoTask, false
}

// HubConfig returns config.json for the encoder with a head for t. base is the config.json of the model that it comes from,
// whose entries stay, but for those that tell of another head; nil makes one of what is known. A base with other sizes is
// refused: it belongs to another model.
func (i Info) HubConfig(base []byte, t Task) (map[string]any, error) {
	c := map[string]any{}
	if base != nil {
		if err := json.Unmarshal(base, &c); err != nil {
			return nil, fmt.Errorf("models: config.json: %w", err)
		}
		if err := i.fits(c); err != nil {
			return nil, fmt.Errorf("models: config.json: %w", err)
		}
	} else {
		maps.Copy(c, i.known())
	}
	for _, key := range []string{"id2label", "label2id", "num_labels", "problem_type", "finetuning_task"} {
		delete(c, key)
	}
	class, err := i.hubClass(c)
	if err != nil {
		return nil, err
	}
	c["architectures"] = []string{class + hubTasks[t].class}
	return c, nil
}

// hubClass is what the name of the model's class begins with: as in the base's own, which knows more families than we tell apart.
func (i Info) hubClass(c map[string]any) (string, error) {
	if classes, _ := c["architectures"].([]any); len(classes) > 0 {
		name, _ := classes[0].(string)
		if at := strings.LastIndex(name, "For"); at > 0 {
			return name[:at], nil
		}
		if class, ok := strings.CutSuffix(name, "Model"); ok {
			return class, nil
		}
	}
	if f := families[i.Family]; f != nil {
		return f.class, nil
	}
	return "", fmt.Errorf("models: family %q is unknown; the families are %s", i.Family, strings.Join(Families(), ", "))
}

// hubKeys are the family's entries of config.json for hidden, layers, heads, intermediate and activation: BERT's, where it has none
// of its own.
func (i Info) hubKeys() [5]string {
	return cmp.Or(blueprints[i.Family], blueprints["bert"]).keys
}

// known are the entries that follow from the graph. Sizes that an older plan lacks are left out.
func (i Info) known() map[string]any {
	c := map[string]any{"model_type": i.Family}
	keys := i.hubKeys()
	for _, entry := range []struct {
		key string
		n   int
	}{
		{keys[0], i.Hidden}, {keys[1], i.Layers}, {keys[2], i.Heads}, {keys[3], i.Intermediate},
		{"vocab_size", i.Vocab}, {"type_vocab_size", i.TypeVocab}, {"max_position_embeddings", i.Positions + i.FirstPosition},
	} {
		if entry.n > 0 {
			c[entry.key] = entry.n
		}
	}
	if i.FirstPosition > 0 {
		c["pad_token_id"] = i.FirstPosition - 1 // positions start behind the padding's id
	}
	if name := hubActivation(i.Activation); name != "" {
		c[keys[4]] = name
	}
	if i.LayerNormEps > 0 {
		// In the graph it is a float32: 1e-12, not 9.99999996e-13.
		c["layer_norm_eps"] = json.Number(strconv.FormatFloat(i.LayerNormEps, 'g', -1, 32))
	}
	return c
}

// hubActivation is Hugging Face's name for what recognition found; "" for what has none.
func hubActivation(name string) string {
	if name == "gelu_tanh" {
		return "gelu_new"
	}
	if buildActivations[name] == nil {
		return ""
	}
	return name
}

// fits compares a config.json's sizes with the encoder's.
func (i Info) fits(c map[string]any) error {
	keys := i.hubKeys()
	for k, want := range []int{i.Hidden, i.Layers} {
		if have, ok := c[keys[k]].(float64); ok && int(have) != want {
			return fmt.Errorf("%s is %v and the model's is %d: it belongs to another model", keys[k], have, want)
		}
	}
	return nil
}
