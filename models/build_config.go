package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Config is the architecture of an encoder that [Build] and [BuildRandom] can write: what Hugging Face's config.json says.
type Config struct {
	Family                              string // one of Buildable: "bert", "distilbert", "roberta"
	Hidden, Layers, Heads, Intermediate int
	Vocab, MaxPositions, TypeVocab      int // TypeVocab is 0 where the family has no token types
	LayerNormEps                        float64
	Activation                          string   // Hugging Face's name of it, such as "gelu" or "gelu_new"
	PadToken                            int      // the id that RoBERTa's positions leave out
	Task                                Task     // the head in the checkpoint: NoTask, SequenceClassification or TokenClassification
	Labels                              []string // by class index, for a Task
}

// BERTBase returns the shape of bert-base-uncased: 12 layers of 768, 110 million parameters.
func BERTBase() Config {
	return Config{
		Family: "bert", Hidden: 768, Layers: 12, Heads: 12, Intermediate: 3072, Vocab: 30522, MaxPositions: 512, TypeVocab: 2,
		LayerNormEps: 1e-12, Activation: "gelu",
	}
}

// MiniLM returns the shape of all-MiniLM-L6-v2: 6 layers of 384, 23 million parameters.
func MiniLM() Config {
	c := BERTBase()
	c.Hidden, c.Layers, c.Intermediate = 384, 6, 1536
	return c
}

// A blueprint is what Build needs to know of an architecture beyond the names in its family.
type blueprint struct {
	family string
	types  []string // values of config.json's model_type
	// keys are the entries of config.json for hidden, layers, heads, intermediate and activation.
	keys [5]string
	eps  float64 // where config.json has none
	// tokenTypes: token_type_ids is an input. Where it is not and there is a table, every token has type 0.
	tokenTypes bool
	// countsTokens: positions count the tokens that aren't padding, from the padding id + 1.
	countsTokens bool
	// headActivation stands between the family's classifierDense and its classifier; "" where the pooler is read instead.
	headActivation string
}

var blueprints = map[string]*blueprint{}

func registerBlueprint(p *blueprint) {
	if blueprints[p.family] != nil {
		panic("models: blueprint " + p.family + " is registered twice")
	}
	blueprints[p.family] = p
}

// Buildable returns the families that [Build] can write, sorted.
func Buildable() []string {
	out := make([]string, 0, len(blueprints))
	for name := range blueprints {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// ReadConfig reads config.json of a Hugging Face checkpoint folder.
func ReadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("models: %s: there is no config.json: a Hugging Face checkpoint folder has one beside its weights", dir)
	}
	if err != nil {
		return Config{}, fmt.Errorf("models: %w", err)
	}
	c, err := parseConfig(text)
	if err != nil {
		return Config{}, fmt.Errorf("models: %s: %w", path, err)
	}
	return c, nil
}

// rawConfig is config.json as it is read: entries by name, with the first error.
type rawConfig struct {
	entries map[string]json.RawMessage
	err     error
}

func parseConfig(text []byte) (Config, error) {
	raw := &rawConfig{}
	if err := json.Unmarshal(text, &raw.entries); err != nil {
		return Config{}, err
	}
	kind := get(raw, "model_type", "")
	p := blueprintOf(kind)
	if p == nil {
		return Config{}, fmt.Errorf("model_type %q can't be built; known: %s", kind, strings.Join(Buildable(), ", "))
	}
	c := Config{
		Family: p.family,
		Hidden: need(raw, p.keys[0]), Layers: need(raw, p.keys[1]), Heads: need(raw, p.keys[2]), Intermediate: need(raw, p.keys[3]),
		Activation: get(raw, p.keys[4], "gelu"), Vocab: need(raw, "vocab_size"), MaxPositions: need(raw, "max_position_embeddings"),
		TypeVocab: get(raw, "type_vocab_size", 0), LayerNormEps: get(raw, "layer_norm_eps", p.eps), PadToken: get(raw, "pad_token_id", 0),
	}
	raw.task(&c)
	raw.refuse(c)
	return c, errors.Join(raw.err, c.check())
}

func blueprintOf(modelType string) *blueprint {
	for _, p := range blueprints {
		if slices.Contains(p.types, modelType) {
			return p
		}
	}
	return nil
}

// get reads an entry, or def where it is missing or null.
func get[T any](raw *rawConfig, key string, def T) T {
	text, ok := raw.entries[key]
	if !ok || string(text) == "null" {
		return def
	}
	v := def
	if err := json.Unmarshal(text, &v); err != nil {
		raw.err = errors.Join(raw.err, fmt.Errorf("%s: %w", key, err))
	}
	return v
}

func need(raw *rawConfig, key string) int {
	n := get(raw, key, 0)
	if n <= 0 {
		raw.err = errors.Join(raw.err, fmt.Errorf("%s is missing or not positive", key))
	}
	return n
}

// task reads what the checkpoint's class was fine-tuned for. Heads of pre-training and of question answering aren't built.
func (raw *rawConfig) task(c *Config) {
	for _, class := range get(raw, "architectures", []string(nil)) {
		switch {
		case strings.HasSuffix(class, "ForSequenceClassification"):
			c.Task = SequenceClassification
		case strings.HasSuffix(class, "ForTokenClassification"):
			c.Task = TokenClassification
		}
	}
	if c.Task == NoTask {
		return
	}
	names := get(raw, "id2label", map[string]string{"0": "LABEL_0", "1": "LABEL_1"}) // the default of transformers
	for i := range len(names) {
		name, ok := names[strconv.Itoa(i)]
		if !ok {
			raw.err = errors.Join(raw.err, fmt.Errorf("id2label: there are %d labels and none for class %d", len(names), i))
		}
		c.Labels = append(c.Labels, name)
	}
}

// refuse names the settings that change what the layers compute and that Build doesn't write.
func (raw *rawConfig) refuse(c Config) {
	fail := func(format string, args ...any) { raw.err = errors.Join(raw.err, fmt.Errorf(format, args...)) }
	if p := get(raw, "position_embedding_type", "absolute"); p != "absolute" {
		fail("position_embedding_type %q can't be built; known: absolute", p)
	}
	if get(raw, "is_decoder", false) || get(raw, "add_cross_attention", false) {
		fail("it is a decoder; only encoders can be built")
	}
	if n := get(raw, "embedding_size", c.Hidden); n != c.Hidden {
		fail("embedding_size %d differs from the hidden size %d", n, c.Hidden)
	}
	if pruned := get(raw, "pruned_heads", map[string]any(nil)); len(pruned) > 0 {
		fail("heads are pruned; only whole layers can be built")
	}
}

// check reports sizes that contradict each other, so that Build and BuildRandom never make half a graph.
func (c Config) check() error {
	for _, s := range []struct {
		what string
		n    int
	}{
		{"hidden size", c.Hidden}, {"number of layers", c.Layers}, {"number of heads", c.Heads}, {"intermediate size", c.Intermediate},
		{"vocabulary size", c.Vocab}, {"number of positions", c.MaxPositions},
	} {
		if s.n <= 0 {
			return fmt.Errorf("the %s is %d", s.what, s.n)
		}
	}
	p := blueprints[c.Family]
	switch {
	case p == nil:
		return fmt.Errorf("family %q can't be built; known: %s", c.Family, strings.Join(Buildable(), ", "))
	case c.Hidden%c.Heads != 0:
		return fmt.Errorf("the hidden size %d is no multiple of the %d heads", c.Hidden, c.Heads)
	case buildActivations[c.Activation] == nil:
		return fmt.Errorf("activation %q can't be built; known: %s", c.Activation, strings.Join(BuildableActivations(), ", "))
	case c.TypeVocab < 0 || p.tokenTypes && c.TypeVocab == 0:
		return fmt.Errorf("the number of token types is %d", c.TypeVocab)
	case p.countsTokens && c.MaxPositions <= c.PadToken+1:
		return fmt.Errorf("%d positions leave none after the padding id %d", c.MaxPositions, c.PadToken)
	case c.Task != NoTask && len(c.Labels) == 0:
		return fmt.Errorf("a classifier has no labels")
	case c.Task != NoTask && c.Task != SequenceClassification && c.Task != TokenClassification:
		return fmt.Errorf("task %q can't be built; known: %s, %s", c.Task, SequenceClassification, TokenClassification)
	}
	return nil
}
