package folder

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/peftgraph/peftgraph/inject"
)

// A SentenceTransformer is what sentence-transformers is told of a model of embeddings: it takes the hidden states from the graph
// and pools them itself.
type SentenceTransformer struct {
	Pooling   inject.HeadKind // see [inject.Plan.Pooling]
	Normalize bool            // vectors have length 1
	Hidden    int             // their dimensions
	MaxLength int             // in tokens, after which a text is cut
}

// poolings are the modes of sentence-transformers' Pooling, by our heads.
var poolings = map[inject.HeadKind]string{inject.HeadMean: "pooling_mode_mean_tokens", inject.HeadCLS: "pooling_mode_cls_token"}

// The modules have the names of sentence-transformers 2, which all later versions know.
const modulesPath = "sentence_transformers.models."

type stModule struct {
	Index int    `json:"idx"`
	Name  string `json:"name"`
	Path  string `json:"path"`
	Type  string `json:"type"`
}

// Write writes into dir what SentenceTransformer(dir, backend="onnx") looks for beside config.json, the tokenizer's files and
// the model with the outputs of [inject.Plan.Outputs].
func (s SentenceTransformer) Write(dir string) error {
	files, err := s.files()
	if err == nil {
		err = replace(dir, files)
	}
	if err != nil {
		return fmt.Errorf("folder: %s: %w", dir, err)
	}
	return nil
}

// files are what [SentenceTransformer.Write] writes.
func (s SentenceTransformer) files() (out []file, err error) {
	mode := poolings[s.Pooling]
	if mode == "" {
		return nil, fmt.Errorf("sentence-transformers pools by the mean or by the first token, and the head is %q", s.Pooling)
	}
	modules := []stModule{{0, "0", "", modulesPath + "Transformer"}, {1, "1", "1_Pooling", modulesPath + "Pooling"}}
	if s.Normalize {
		modules = append(modules, stModule{2, "2", "2_Normalize", modulesPath + "Normalize"})
	}
	pooling := map[string]any{"word_embedding_dimension": s.Hidden, "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false}
	for _, m := range poolings {
		pooling[m] = m == mode
	}
	contents := map[string]any{
		"modules.json":                      modules,
		"1_Pooling/config.json":             pooling,
		"sentence_bert_config.json":         map[string]any{"max_seq_length": s.MaxLength, "do_lower_case": false},
		"config_sentence_transformers.json": map[string]any{"prompts": map[string]string{}, "default_prompt_name": nil, "similarity_fn_name": "cosine"},
	}
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		text, err := json.MarshalIndent(contents[name], "", "  ")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, file{filepath.FromSlash(name), append(text, '\n')})
	}
	return out, nil
}

// sentenceTransformer is what the folder of embeddings tells sentence-transformers, nothing where that can't pool them.
func (c *Contents) sentenceTransformer() ([]file, error) {
	p := inject.Plan{Task: c.Task, Head: inject.Head{Kind: c.Card.Head}, Methods: c.Card.Methods}
	pooling, err := p.Pooling()
	if err != nil {
		return nil, nil
	}
	return SentenceTransformer{pooling, c.Task.Normalize, c.Info.Hidden, c.maxLength()}.files()
}
