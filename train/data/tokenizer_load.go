package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// specialNames are BERT's special tokens, looked for in text even where a vocab.txt is
// all there is.
var specialNames = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}

// LoadTokenizer reads a BERT tokenizer from path: a tokenizer.json (Hugging Face's fast
// tokenizers), a vocab.txt (one token a line), or a folder that holds one of them, the
// former preferred. A tokenizer_config.json in the same folder gives a vocab.txt its
// letter case (do_lower_case); without it, a vocabulary with no capital letter is taken
// for an uncased one. Note says what was found.
func LoadTokenizer(path string) (*Tokenizer, error) {
	path, err := tokenizerFile(path)
	if err != nil {
		return nil, fmt.Errorf("data: tokenizer %w", err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("data: tokenizer %w", err)
	}
	conf, err := readTokenizerConfig(filepath.Join(filepath.Dir(path), "tokenizer_config.json"))
	if err != nil {
		return nil, fmt.Errorf("data: tokenizer %w", err)
	}
	var t *Tokenizer
	if filepath.Ext(path) == ".json" {
		t, err = parseTokenizerJSON(raw)
	} else {
		t, err = parseVocab(raw, conf)
	}
	if err != nil {
		return nil, fmt.Errorf("data: tokenizer %q: %w", path, err)
	}
	t.path = path
	if t.maxLength == 0 && conf.ModelMaxLength < 1e6 { // Hugging Face writes 1e30 for "no limit"
		t.maxLength = int(conf.ModelMaxLength)
	}
	return t, nil
}

// ErrNoTokenizer is [LoadTokenizer]'s for a folder without one.
var ErrNoTokenizer = errors.New("the folder holds neither tokenizer.json nor vocab.txt")

// tokenizerFile returns the file to read where path is a folder.
func tokenizerFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return path, err
	}
	for _, name := range []string{"tokenizer.json", "vocab.txt"} {
		file := filepath.Join(path, name)
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("%q: %w", path, ErrNoTokenizer)
}

// tokenizerConfig is the part of tokenizer_config.json that BERT's tokenizer reads.
type tokenizerConfig struct {
	found                bool
	DoLowerCase          *bool   `json:"do_lower_case"`
	StripAccents         *bool   `json:"strip_accents"`
	TokenizeChineseChars *bool   `json:"tokenize_chinese_chars"`
	ModelMaxLength       float64 `json:"model_max_length"`
}

func readTokenizerConfig(path string) (tokenizerConfig, error) {
	var conf tokenizerConfig
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return conf, nil
	}
	if err != nil {
		return conf, err
	}
	if err := json.Unmarshal(raw, &conf); err != nil {
		return conf, fmt.Errorf("%q: %w", path, err)
	}
	conf.found = true
	return conf, nil
}

// parseVocab reads a vocab.txt: the token of id n stands on line n+1.
func parseVocab(raw []byte, conf tokenizerConfig) (*Tokenizer, error) {
	vocab := map[string]int64{}
	for i, line := range strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n") {
		vocab[strings.TrimSuffix(line, "\r")] = int64(i)
	}
	var added []addedToken
	for _, name := range specialNames {
		id, ok := vocab[name]
		if !ok {
			return nil, fmt.Errorf("no %s on any of its %d lines; is it a BERT vocabulary, one token a line?", name, len(vocab))
		}
		added = append(added, addedToken{ID: id, Content: name})
	}
	lower, why := !hasCapitals(vocab), "as its vocabulary has capital letters"
	if lower {
		why = "as its vocabulary has no capital letter"
	}
	if conf.found && conf.DoLowerCase != nil {
		lower, why = *conf.DoLowerCase, "as tokenizer_config.json says"
	}
	t, err := newTokenizer(vocab, added, wordPieceSpec{UnkToken: "[UNK]", Prefix: "##", MaxChars: 100})
	if err != nil {
		return nil, err
	}
	t.normalizer = normalizer{
		cleanText:    true,
		chineseChars: conf.TokenizeChineseChars == nil || *conf.TokenizeChineseChars,
		stripAccents: lower,
		lowercase:    lower,
	}
	if conf.StripAccents != nil {
		t.normalizer.stripAccents = *conf.StripAccents
	}
	t.single, t.pair = bertTemplates(t.ids["[CLS]"], t.ids["[SEP]"])
	t.note = fmt.Sprintf("WordPiece, %d tokens, %s, %s", len(vocab), caseName(lower), why)
	return t, nil
}

// hasCapitals reports whether a token other than the bracketed ones ([CLS], [unused1])
// has a letter from A to Z; letters outside ASCII don't count, as bert-base-uncased has
// some that are capitals to Unicode.
func hasCapitals(vocab map[string]int64) bool {
	for token := range vocab {
		if !strings.HasPrefix(token, "[") && strings.ContainsAny(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			return true
		}
	}
	return false
}

func caseName(lower bool) string {
	if lower {
		return "uncased"
	}
	return "cased"
}

// bertTemplates lays out [CLS] A [SEP] and [CLS] A [SEP] B [SEP], B's type ids being 1.
func bertTemplates(cls, sep int64) (single, pair template) {
	single = template{{special: cls}, {text: 'A'}, {special: sep}}
	pair = append(append(pair, single...), templatePiece{text: 'B', typeID: 1}, templatePiece{special: sep, typeID: 1})
	return single, pair
}

// robertaTemplates lays out <s> A </s> and <s> A </s></s> B </s>, all type ids being 0.
func robertaTemplates(cls, sep int64) (single, pair template) {
	single = template{{special: cls}, {text: 'A'}, {special: sep}}
	return single, append(append(pair, single...), templatePiece{special: sep}, templatePiece{text: 'B'}, templatePiece{special: sep})
}

// wordPieceSpec are the settings of a WordPiece model, as tokenizer.json names them.
type wordPieceSpec struct {
	UnkToken string `json:"unk_token"`
	Prefix   string `json:"continuing_subword_prefix"`
	MaxChars int    `json:"max_input_chars_per_word"`
}

// newTokenizer indexes a vocabulary and its added tokens; the caller sets the rest.
func newTokenizer(vocab map[string]int64, added []addedToken, spec wordPieceSpec) (*Tokenizer, error) {
	unk, ok := vocab[spec.UnkToken]
	if !ok {
		return nil, fmt.Errorf("the unknown token %q isn't in the vocabulary", spec.UnkToken)
	}
	t := &Tokenizer{
		ids: make(map[string]int64, len(vocab)), tokens: make(map[int64]string, len(vocab)),
		model: newWordPiece(vocab, unk, spec.Prefix, spec.MaxChars),
	}
	for token, id := range vocab {
		if err := t.know(token, id); err != nil {
			return nil, err
		}
	}
	for _, tok := range added {
		if tok.Content == "" {
			continue
		}
		if err := t.know(tok.Content, tok.ID); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"[PAD]", "<pad>"} {
		if id, ok := t.ids[name]; ok {
			t.padID = id
			break
		}
	}
	t.addMatchers(added)
	return t, nil
}

// maxVocab bounds ids: past it, a file is damaged rather than large.
const maxVocab = 1 << 24

func (t *Tokenizer) know(token string, id int64) error {
	if id < 0 || id >= maxVocab {
		return fmt.Errorf("token %q has id %d, which is no id of a vocabulary", token, id)
	}
	t.ids[token], t.tokens[id] = id, token
	t.size = max(t.size, int(id)+1)
	return nil
}

func (t *Tokenizer) addMatchers(added []addedToken) {
	for _, tok := range added {
		switch {
		case tok.Content == "":
		case tok.Normalized:
			t.normAdded.add(tok)
		default:
			t.rawAdded.add(tok)
		}
	}
}

// isNull reports whether a JSON section is absent or null.
func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}
