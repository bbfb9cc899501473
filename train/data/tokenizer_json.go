package data

import (
	"encoding/json"
	"fmt"
)

// tokenizerJSON is Hugging Face's tokenizer.json, as far as a BERT tokenizer uses it.
type tokenizerJSON struct {
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Model         json.RawMessage `json:"model"`
	Truncation    *struct {
		MaxLength int `json:"max_length"`
	} `json:"truncation"`
	Padding *struct {
		PadID int64 `json:"pad_id"`
	} `json:"padding"`
}

func parseTokenizerJSON(raw []byte) (*Tokenizer, error) {
	var file tokenizerJSON
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("not a tokenizer.json: %w", err)
	}
	t, err := parseModel(file.Model, file.AddedTokens)
	if err != nil {
		return nil, err
	}
	if t.normalizer, err = parseNormalizer(file.Normalizer); err != nil {
		return nil, err
	}
	if err := wantKind("pre_tokenizer", file.PreTokenizer, "BertPreTokenizer"); err != nil {
		return nil, err
	}
	if err := t.parsePostProcessor(file.PostProcessor); err != nil {
		return nil, err
	}
	t.normalizeAdded()
	if file.Truncation != nil {
		t.maxLength = file.Truncation.MaxLength
	}
	if file.Padding != nil {
		t.padID = file.Padding.PadID
	}
	t.note = fmt.Sprintf("WordPiece, %d tokens, %s, as tokenizer.json says", len(t.ids), caseName(t.normalizer.lowercase))
	return t, nil
}

// kindOf returns the "type" of a section, "none" for an absent one.
func kindOf(raw json.RawMessage) (string, error) {
	if isNull(raw) {
		return "none", nil
	}
	var v struct {
		Type string `json:"type"`
	}
	err := json.Unmarshal(raw, &v)
	return v.Type, err
}

// wantKind refuses a section of another type than the BERT one, by name.
func wantKind(section string, raw json.RawMessage, want string) error {
	kind, err := kindOf(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", section, err)
	}
	if kind != want {
		return fmt.Errorf("%s is of type %q, not %q: only BERT's WordPiece tokenizer is supported", section, kind, want)
	}
	return nil
}

func parseModel(raw json.RawMessage, added []addedToken) (*Tokenizer, error) {
	kind, err := kindOf(raw)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if kind != "WordPiece" && kind != "" { // files written before 2021 don't name the type
		return nil, fmt.Errorf("model is of type %q, not %q: only BERT's WordPiece tokenizer is supported", kind, "WordPiece")
	}
	var m struct {
		wordPieceSpec
		Vocab  map[string]int64 `json:"vocab"`
		Merges json.RawMessage  `json:"merges"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if m.Merges != nil || m.MaxChars <= 0 {
		return nil, fmt.Errorf("model is not a WordPiece model: it has merges or lacks max_input_chars_per_word")
	}
	return newTokenizer(m.Vocab, added, m.wordPieceSpec)
}

func parseNormalizer(raw json.RawMessage) (normalizer, error) {
	if err := wantKind("normalizer", raw, "BertNormalizer"); err != nil {
		return normalizer{}, err
	}
	var v struct {
		CleanText    bool  `json:"clean_text"`
		ChineseChars bool  `json:"handle_chinese_chars"`
		StripAccents *bool `json:"strip_accents"`
		Lowercase    bool  `json:"lowercase"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return normalizer{}, fmt.Errorf("normalizer: %w", err)
	}
	n := normalizer{cleanText: v.CleanText, chineseChars: v.ChineseChars, stripAccents: v.Lowercase, lowercase: v.Lowercase}
	if v.StripAccents != nil {
		n.stripAccents = *v.StripAccents
	}
	return n, nil
}

// parsePostProcessor reads the layout of special tokens: BertProcessing, or a
// TemplateProcessing, which can spell any layout.
func (t *Tokenizer) parsePostProcessor(raw json.RawMessage) error {
	kind, err := kindOf(raw)
	if err != nil {
		return fmt.Errorf("post_processor: %w", err)
	}
	switch kind {
	case "BertProcessing":
		return t.parseProcessing(raw, bertTemplates)
	case "RobertaProcessing": // MPNet's, whose words are WordPiece's
		return t.parseProcessing(raw, robertaTemplates)
	case "TemplateProcessing":
		return t.parseTemplates(raw)
	}
	return fmt.Errorf("post_processor is of type %q, not %q, %q or %q: only BERT's WordPiece tokenizer is supported",
		kind, "BertProcessing", "RobertaProcessing", "TemplateProcessing")
}

func (t *Tokenizer) parseProcessing(raw json.RawMessage, templates func(cls, sep int64) (single, pair template)) error {
	var v struct {
		Sep, Cls [2]any // token, id
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("post_processor: %w", err)
	}
	sep, sepOK := v.Sep[1].(float64)
	cls, clsOK := v.Cls[1].(float64)
	if !sepOK || !clsOK || !t.has(int64(sep)) || !t.has(int64(cls)) {
		return fmt.Errorf("post_processor: sep %v and cls %v must be pairs of a token and its id", v.Sep, v.Cls)
	}
	t.single, t.pair = templates(int64(cls), int64(sep))
	return nil
}

func (t *Tokenizer) has(id int64) bool {
	_, ok := t.tokens[id]
	return ok
}

func (t *Tokenizer) parseTemplates(raw json.RawMessage) error {
	var v struct {
		Single, Pair  []templateItem
		SpecialTokens map[string]struct{ IDs []int64 } `json:"special_tokens"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("post_processor: %w", err)
	}
	ids := map[string][]int64{}
	for name, tok := range v.SpecialTokens {
		ids[name] = tok.IDs
	}
	var err error
	if t.single, err = t.buildTemplate(v.Single, ids, "A"); err != nil {
		return fmt.Errorf("post_processor: single: %w", err)
	}
	if t.pair, err = t.buildTemplate(v.Pair, ids, "AB"); err != nil {
		return fmt.Errorf("post_processor: pair: %w", err)
	}
	return nil
}

type templateItem struct {
	SpecialToken, Sequence *struct {
		ID     string `json:"id"`
		TypeID int64  `json:"type_id"`
	}
}

// buildTemplate resolves the special tokens of a template, which must hold each of texts
// once.
func (t *Tokenizer) buildTemplate(items []templateItem, ids map[string][]int64, texts string) (template, error) {
	var out template
	seen := ""
	for _, item := range items {
		switch {
		case item.Sequence != nil && (item.Sequence.ID == "A" || item.Sequence.ID == "B"):
			seen += item.Sequence.ID
			out = append(out, templatePiece{text: item.Sequence.ID[0], typeID: item.Sequence.TypeID})
		case item.SpecialToken != nil && ids[item.SpecialToken.ID] != nil:
			for _, id := range ids[item.SpecialToken.ID] {
				if !t.has(id) {
					return nil, fmt.Errorf("special token %q has id %d, which isn't in the vocabulary", item.SpecialToken.ID, id)
				}
				out = append(out, templatePiece{special: id, typeID: item.SpecialToken.TypeID})
			}
		default:
			return nil, fmt.Errorf("a piece is neither sequence A or B nor one of its special tokens")
		}
	}
	if seen != texts {
		return nil, fmt.Errorf("its sequences are %q, not %q", seen, texts)
	}
	return out, nil
}

// normalizeAdded brings the added tokens that match normalized text into that form.
func (t *Tokenizer) normalizeAdded() {
	old := t.normAdded.tokens
	t.normAdded = matcher{}
	for _, toks := range old {
		for _, tok := range toks {
			if tok.Content = t.normalizer.normalize(tok.Content); tok.Content != "" {
				t.normAdded.add(tok)
			}
		}
	}
}
