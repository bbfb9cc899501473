package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// JSON returns the tokenizer as a tokenizer.json that gives the same ids: the file's own where it was read from one, else made
// of the vocabulary with its letter case. Texts are cut to maxLength tokens (0 is no limit) and never padded: programs that
// read the file pad their batches themselves, and a length that is fixed would cost each text that many tokens.
func (t *Tokenizer) JSON(maxLength int) ([]byte, error) {
	file, err := t.sections()
	if err != nil {
		return nil, fmt.Errorf("data: tokenizer %q: %w", t.path, err)
	}
	file.Truncation, file.Padding = nil, nil
	if maxLength > 0 {
		file.Truncation = map[string]any{"direction": "Right", "max_length": maxLength, "strategy": "LongestFirst", "stride": 0}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(file); err != nil {
		return nil, fmt.Errorf("data: tokenizer %q: %w", t.path, err)
	}
	return out.Bytes(), nil
}

// tokenizerFileJSON is a whole tokenizer.json, in Hugging Face's order.
type tokenizerFileJSON struct {
	Version       any `json:"version"`
	Truncation    any `json:"truncation"`
	Padding       any `json:"padding"`
	AddedTokens   any `json:"added_tokens"`
	Normalizer    any `json:"normalizer"`
	PreTokenizer  any `json:"pre_tokenizer"`
	PostProcessor any `json:"post_processor"`
	Decoder       any `json:"decoder"`
	Model         any `json:"model"`
}

func (t *Tokenizer) sections() (tokenizerFileJSON, error) {
	if filepath.Ext(t.path) != ".json" {
		return t.made(), nil
	}
	raw, err := os.ReadFile(t.path)
	if err != nil {
		return tokenizerFileJSON{}, err
	}
	s, model := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if err = json.Unmarshal(raw, &s); err == nil {
		err = json.Unmarshal(s["model"], &model)
	}
	model["type"] = json.RawMessage(`"WordPiece"`) // which files that were written before 2021 leave out
	return tokenizerFileJSON{
		Version: s["version"], AddedTokens: s["added_tokens"], Normalizer: s["normalizer"], PreTokenizer: s["pre_tokenizer"],
		PostProcessor: s["post_processor"], Decoder: s["decoder"], Model: model,
	}, err
}

// made are the sections that transformers' BertTokenizerFast makes of a vocab.txt.
func (t *Tokenizer) made() tokenizerFileJSON {
	type object = map[string]any
	var added []object
	for _, name := range specialNames {
		added = append(added, object{"id": t.ids[name], "content": name, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
	}
	slices.SortFunc(added, func(a, b object) int { return int(a["id"].(int64) - b["id"].(int64)) })
	text := func(id string, typeID int) object { return object{"Sequence": object{"id": id, "type_id": typeID}} }
	special := func(id string, typeID int) object {
		return object{"SpecialToken": object{"id": id, "type_id": typeID}}
	}
	named := func(name string) object {
		return object{"id": name, "ids": []int64{t.ids[name]}, "tokens": []string{name}}
	}
	n := t.normalizer
	single := []object{special("[CLS]", 0), text("A", 0), special("[SEP]", 0)}
	return tokenizerFileJSON{
		Version: "1.0", AddedTokens: added,
		Normalizer: object{"type": "BertNormalizer", "clean_text": n.cleanText, "handle_chinese_chars": n.chineseChars,
			"strip_accents": n.stripAccents, "lowercase": n.lowercase},
		PreTokenizer: object{"type": "BertPreTokenizer"},
		PostProcessor: object{"type": "TemplateProcessing", "single": single, "pair": append(slices.Clone(single), text("B", 1), special("[SEP]", 1)),
			"special_tokens": object{"[CLS]": named("[CLS]"), "[SEP]": named("[SEP]")}},
		Decoder: object{"type": "WordPiece", "prefix": "##", "cleanup": true},
		Model: object{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": t.model.maxRunes,
			"vocab": vocabulary(t.ids)},
	}
}

// vocabulary is written in the order of the ids.
type vocabulary map[string]int64

// MarshalJSON writes {"[PAD]": 0, …}.
func (v vocabulary) MarshalJSON() ([]byte, error) {
	tokens := slices.SortedFunc(maps.Keys(v), func(a, b string) int { return int(v[a] - v[b]) })
	out := []byte{'{'}
	for i, token := range tokens {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(token)
		if err != nil {
			return nil, err
		}
		out = fmt.Appendf(append(out, name...), ":%d", v[token])
	}
	return append(out, '}'), nil
}

// Specials returns the special tokens by the names that special_tokens_map.json has for them: those among cls_token, sep_token,
// pad_token, unk_token and mask_token that the tokenizer has.
func (t *Tokenizer) Specials() map[string]string {
	out := map[string]string{"unk_token": t.tokens[t.model.unk]}
	for _, p := range t.single {
		if p.text != 0 {
			continue
		}
		if out["cls_token"] == "" {
			out["cls_token"] = t.tokens[p.special]
		}
		out["sep_token"] = t.tokens[p.special]
	}
	for _, name := range []string{"[MASK]", "<mask>"} {
		if _, ok := t.ids[name]; ok {
			out["mask_token"] = name
		}
	}
	if pad := t.tokens[t.padID]; pad == "[PAD]" || pad == "<pad>" {
		out["pad_token"] = pad
	}
	return out
}

// Normalization says what becomes of a text before words are cut: its capital letters are lowered, accents are dropped, and
// Chinese characters become words.
func (t *Tokenizer) Normalization() (lowercase, stripAccents, chineseChars bool) {
	return t.normalizer.lowercase, t.normalizer.stripAccents, t.normalizer.chineseChars
}
