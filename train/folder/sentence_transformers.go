package folder

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/atomicfile"
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
	mode := poolings[s.Pooling]
	if mode == "" {
		return fmt.Errorf("folder: %s: sentence-transformers pools by the mean or by the first token, and the head is %q", dir, s.Pooling)
	}
	modules := []stModule{{0, "0", "", modulesPath + "Transformer"}, {1, "1", "1_Pooling", modulesPath + "Pooling"}}
	if s.Normalize {
		modules = append(modules, stModule{2, "2", "2_Normalize", modulesPath + "Normalize"})
	}
	pooling := map[string]any{"word_embedding_dimension": s.Hidden, "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false}
	for _, m := range poolings {
		pooling[m] = m == mode
	}
	for _, m := range modules {
		if err := os.MkdirAll(filepath.Join(dir, m.Path), 0o755); err != nil {
			return fmt.Errorf("folder: %w", err)
		}
	}
	for name, content := range map[string]any{
		"modules.json":                      modules,
		"1_Pooling/config.json":             pooling,
		"sentence_bert_config.json":         map[string]any{"max_seq_length": s.MaxLength, "do_lower_case": false},
		"config_sentence_transformers.json": map[string]any{"prompts": map[string]string{}, "default_prompt_name": nil, "similarity_fn_name": "cosine"},
	} {
		text, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return fmt.Errorf("folder: %s: %w", name, err)
		}
		if err := atomicfile.WriteBytes(filepath.Join(dir, filepath.FromSlash(name)), append(text, '\n')); err != nil {
			return fmt.Errorf("folder: %w", err)
		}
	}
	return nil
}
