package data

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A Schema says which columns a task reads, and by which names they are known.
type Schema struct {
	// Texts are names of the text's column, each with that of the second text where the task wants one; the first that a
	// file has wins. nil is the usual names.
	Texts []TextNames
	// Labels are names of the label's column, the first that a file has. nil is the usual names, and none at all means that the
	// task reads texts alone.
	Labels []string
	// Unlabelled: the task learns from texts alone, or from a label only where there is one.
	Unlabelled bool
	// Words: the text is a list of words. List: the label is a list, of tags or of classes.
	Words, List bool
	// Fields are further columns.
	Fields []Field
}

// TextNames are the column names of a text and of the second text that goes with it, "" for none.
type TextNames struct{ Text, Pair string }

// A Field is a further column of a task.
type Field struct {
	Name     string   // in [Example.Fields]
	Columns  []string // names that it is known by
	Required bool     // unless the labels aren't wanted
}

// textNames are the usual names: those of GLUE, SNLI, SuperGLUE and of common data sets.
var textNames = []TextNames{
	{"sentence1", "sentence2"}, {"premise", "hypothesis"}, {"question1", "question2"},
	{"text1", "text2"}, {"text_a", "text_b"}, {"question", "sentence"}, {"question", "passage"},
	{"query", "passage"}, {"query", "document"},
	{"text", ""}, {"sentence", ""}, {"content", ""}, {"review", ""}, {"comment", ""}, {"tweet", ""},
	{"message", ""}, {"utterance", ""}, {"question", ""}, {"query", ""}, {"premise", ""}, {"sentence1", ""},
	{"title", ""},
}

// labelNames are the usual names of a label.
var labelNames = []string{"label", "labels", "gold_label", "class", "category", "target", "sentiment", "intent", "score"}

func (s *Schema) texts() []TextNames {
	if s != nil && s.Texts != nil {
		return s.Texts
	}
	return textNames
}

func (s *Schema) labels() []string {
	if s != nil && s.Labels != nil {
		return s.Labels
	}
	return labelNames
}

// known reports whether a column name is one that the task looks for.
func (s *Schema) known(name string) bool {
	if name == "" {
		return false
	}
	for _, t := range s.texts() {
		if name == t.Text || name == t.Pair {
			return true
		}
	}
	for _, f := range s.fields() {
		if slices.Contains(f.Columns, name) {
			return true
		}
	}
	return slices.Contains(s.labels(), name)
}

func (s *Schema) textsAlone() bool { return s != nil && s.Labels != nil && len(s.Labels) == 0 }

func (s *Schema) fields() []Field {
	if s == nil {
		return nil
	}
	return s.Fields
}

func (s *Schema) words() bool      { return s != nil && s.Words }
func (s *Schema) list() bool       { return s != nil && s.List }
func (s *Schema) unlabelled() bool { return s != nil && s.Unlabelled }

// items returns the elements of a cell that holds a list: as its format has it, as a JSON array, or split by parted.
func (c cell) items(parted func(string) []string) ([]string, error) {
	switch text := strings.TrimSpace(c.text); {
	case c.list != nil:
		return c.list, nil
	case strings.HasPrefix(text, "["):
		list, err := jsonItems([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("%s is no JSON array of strings or numbers", head(text, 40))
		}
		return list, nil
	default:
		return parted(text), nil
	}
}

// jsonItems returns the elements of a JSON array of strings, numbers and booleans.
func jsonItems(raw []byte) ([]string, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, err
	}
	out := make([]string, len(items))
	for i, item := range items {
		c := jsonCell(item)
		if !c.ok || c.list != nil || item[0] == '{' {
			return nil, fmt.Errorf("element %d is %s", i+1, head(string(item), 40))
		}
		out[i] = c.text
	}
	return out, nil
}

// listSeparators part a list in a cell of text: the first one that it has.
const listSeparators = ",;|"

// partLabels parts a list of labels as tables without lists have them: praise,price. An empty cell is an empty list.
func partLabels(text string) []string {
	sep := ","
	if i := strings.IndexAny(text, listSeparators); i >= 0 {
		sep = text[i : i+1]
	}
	out := []string{}
	for part := range strings.SplitSeq(text, sep) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
