package folder

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/atomicfile"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// Contents are what a folder is made of, beside the model.
type Contents struct {
	Info models.Info // as [Standard] returns it
	Task inject.Task // the same
	// Base is the path of the model that was trained, with its folder's config.json, tokenizer_config.json,
	// special_tokens_map.json and README.md where it has them; "" for none.
	Base string
	// Tokenizer is a tokenizer.json or vocab.txt.
	Tokenizer string
	// MaxLength is where texts are cut, in tokens, as they were in training; 0 is at the model's last position.
	MaxLength int
	Card      Card
}

// The files that [Write] makes.
const (
	configName          = "config.json"
	tokenizerName       = "tokenizer.json"
	tokenizerConfigName = "tokenizer_config.json"
	specialsName        = "special_tokens_map.json"
	vocabName           = "vocab.txt"
	cardName            = "README.md"
)

// Check says why [Write] would fail once the model is there: for what lies in the folder, or for what goes into it.
func Check(dir string, l Layout, c Contents) error {
	err := c.suits(dir, l)
	if err == nil {
		_, err = c.files(dir, l)
	}
	return err
}

// suits refuses a folder in which files would be lost, or wouldn't do.
func (c *Contents) suits(dir string, l Layout) error {
	if !slices.Contains(Layouts(), l) {
		return fmt.Errorf("folder: layout %q: unknown; the layouts are %v", l, Layouts())
	}
	for _, path := range []string{c.Base, c.Tokenizer} {
		if path != "" && sameFolder(dir, filepath.Dir(path)) {
			return fmt.Errorf("folder: %s is where %s lies, whose files would be replaced; write into another folder", dir, path)
		}
	}
	if path, err := foreign(dir); path != "" || err != nil {
		return cmp.Or(err, fmt.Errorf("folder: %s is none of an export's files and would be replaced; write into another folder", path))
	}
	return checkLayout(dir, l)
}

// foreign returns a file that would be replaced and isn't of an older export, whose card has our tag.
func foreign(dir string) (string, error) {
	card, err := optional(filepath.Join(dir, cardName))
	if err != nil || bytes.Contains(card, []byte("\n- "+quoted(programTag)+"\n")) {
		return "", err
	}
	for _, name := range []string{cardName, configName, tokenizerName, tokenizerConfigName, specialsName, vocabName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name), nil
		}
	}
	return "", nil
}

// Write makes of a folder with a model, at [ModelPath], one that other programs load. Files of an older export are replaced,
// either all or none; a folder with others of the same names, such as the base's own, is refused. It returns the layout that the
// folder has: where the system has no links, [Linked] is [Flat].
func Write(dir string, l Layout, c Contents) (Layout, error) {
	if err := c.suits(dir, l); err != nil {
		return l, err
	}
	if err := checkWhole(ModelPath(dir, l)); err != nil {
		return l, err
	}
	if l == Linked && !link(dir) {
		l = Flat
	}
	files, err := c.files(dir, l)
	if err != nil {
		return l, err
	}
	if err := replace(dir, files); err != nil {
		return l, fmt.Errorf("folder: %w", err)
	}
	return l, nil
}

func sameFolder(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// A file is one to be written.
type file struct {
	name string
	text []byte
}

func (c *Contents) files(dir string, l Layout) ([]file, error) {
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	out := []file{{configName, config}}
	tokenizer, err := c.tokenizer()
	if err != nil {
		return nil, err
	}
	out = append(out, tokenizer...)
	pooling, err := c.sentenceTransformer()
	if err != nil {
		return nil, err
	}
	out = append(out, pooling...)
	card, err := c.card(dir, l)
	return append(out, file{cardName, card}), err
}

func replace(dir string, files []file) error {
	var s atomicfile.Set
	defer s.Discard()
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		to, err := s.Create(path)
		if err != nil {
			return err
		}
		_, err = to.Write(f.text)
		if closed := to.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, atomicfile.WithoutTemporary(err, to.Name()))
		}
	}
	return s.Commit()
}

// beside reads a file of the base's folder; nil where there is none.
func (c *Contents) beside(name string) ([]byte, error) {
	if c.Base == "" {
		return nil, nil
	}
	return optional(filepath.Join(filepath.Dir(c.Base), name))
}

// optional reads a file that may be missing.
func optional(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	return text, err
}

// config is config.json.
func (c *Contents) config() ([]byte, error) {
	base, err := c.beside(configName)
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	m, err := c.Info.HubConfig(base, c.Task.Head())
	if err != nil {
		return nil, fmt.Errorf("folder: beside %s: %w", c.Base, err)
	}
	problem, err := c.problem()
	if err != nil {
		return nil, err
	}
	if delete(m, "_name_or_path"); c.Card.Base.Hub != "" {
		m["_name_or_path"] = c.Card.Base.Hub // the base's own says what that one was made of
	}
	labels := c.Task.Labels
	if problem != "" {
		m["problem_type"] = problem
		if len(labels) == 0 {
			labels = []string{"LABEL_0"} // transformers' own name where there is none; their number is the number of logits
		}
	}
	if len(labels) > 0 {
		byID, ids := map[string]string{}, map[string]int{}
		for i, name := range labels {
			byID[strconv.Itoa(i)], ids[name] = name, i
		}
		m["id2label"], m["label2id"] = byID, ids
	}
	return indented(m)
}

// problem is the task's problem type.
func (c *Contents) problem() (string, error) {
	if c.Task.Type == "" {
		return "", nil
	}
	t, err := task.Of(c.Task)
	if err != nil {
		return "", err
	}
	return task.ProblemType(t, c.Task.Labels), nil
}

// tokenizer are the tokenizer's files.
func (c *Contents) tokenizer() ([]file, error) {
	t, err := data.LoadTokenizer(c.Tokenizer)
	if err != nil {
		return nil, err
	}
	if t.VocabSize() > c.Info.Vocab {
		return nil, fmt.Errorf("folder: %s: the tokenizer has %d tokens and the model's vocabulary %d: it belongs to another model", t.Path(), t.VocabSize(), c.Info.Vocab)
	}
	text, err := t.JSON(c.maxLength())
	if err != nil {
		return nil, err
	}
	out := []file{{tokenizerName, text}}
	from := source{c, t}
	config, err := from.config()
	if err != nil {
		return nil, err
	}
	specials, err := from.find(specialsName)
	if err == nil && specials == nil {
		specials, err = indented(t.Specials())
	}
	if err != nil {
		return nil, err
	}
	out = append(out, file{tokenizerConfigName, config}, file{specialsName, specials})
	vocab, err := from.find(vocabName)
	if vocab != nil {
		out = append(out, file{vocabName, vocab}) // for programs that know BERT's own format alone
	}
	return out, err
}

// maxLength is where texts are cut.
func (c *Contents) maxLength() int {
	if c.MaxLength == 0 {
		return c.Info.Positions
	}
	return min(c.MaxLength, c.Info.Positions)
}

// indented is JSON for people too.
func indented(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	return out.Bytes(), nil
}
