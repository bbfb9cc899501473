package folder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/train/data"
)

// A source is where the tokenizer's other files come from.
type source struct {
	*Contents
	tokenizer *data.Tokenizer
}

// find reads a file beside the tokenizer, or else beside the base where the tokenizer is a copy of the base's, as a run has
// one. nil is for none.
func (s source) find(name string) ([]byte, error) {
	own, err := os.ReadFile(s.tokenizer.Path())
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	text, err := optional(filepath.Join(filepath.Dir(s.tokenizer.Path()), name))
	if text == nil && err == nil {
		var base []byte
		if base, err = s.beside(filepath.Base(s.tokenizer.Path())); err == nil && bytes.Equal(base, own) {
			text, err = s.beside(name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	return text, nil
}

// config is tokenizer_config.json: what the source has, and what transformers would otherwise take from its own defaults.
func (s source) config() ([]byte, error) {
	m := map[string]any{}
	text, err := s.find(tokenizerConfigName)
	if err != nil {
		return nil, err
	}
	if text != nil {
		if err := json.Unmarshal(text, &m); err != nil {
			return nil, fmt.Errorf("folder: %s beside %s: %w", tokenizerConfigName, s.tokenizer.Path(), err)
		}
	}
	specials := s.tokenizer.Specials()
	for name, token := range specials {
		if m[name] == nil {
			m[name] = token
		}
	}
	if m["tokenizer_class"] == nil {
		if m["tokenizer_class"] = "BertTokenizer"; specials["cls_token"] != "[CLS]" {
			m["tokenizer_class"], m["model_input_names"] = "PreTrainedTokenizerFast", s.inputNames()
		}
	}
	// BertTokenizerFast goes by these rather than by tokenizer.json, and is uncased without them.
	m["do_lower_case"], m["strip_accents"], m["tokenize_chinese_chars"] = s.tokenizer.Normalization()
	m["model_max_length"] = s.maxLength()
	for _, path := range []string{"special_tokens_map_file", "tokenizer_file"} {
		delete(m, path) // on the machine of who wrote it
	}
	return indented(m)
}

// inputNames are the inputs that a tokenizer can fill.
func (s source) inputNames() []string {
	var out []string
	for _, name := range []string{s.Info.Inputs.IDs, s.Info.Inputs.TokenType, s.Info.Inputs.Mask} {
		if name != "" {
			out = append(out, name)
		}
	}
	return out
}
