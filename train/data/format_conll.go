package data

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func init() {
	register(&format{name: "conll", extensions: []string{".conll", ".conllu", ".bio", ".iob", ".iob2"}, parse: parseCoNLL, sniff: looksLikeCoNLL})
}

// conllU are the columns of CoNLL-U (universaldependencies.org/format).
var conllU = []string{"id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"}

// A conll is what was found out about a file that has a word a line and an empty line between sentences.
type conll struct {
	tabs      bool // columns are parted by tabs, otherwise by white space
	width     int
	universal bool // CoNLL-U
}

// conllOf looks at the first line of a word. ok is false where there is none.
func conllOf(text string) (c conll, ok bool) {
	for s := range strings.Lines(text) {
		s = strings.TrimRight(s, " \t\r\n")
		if s == "" || s[0] == '#' || strings.HasPrefix(s, docStart) {
			continue
		}
		c.tabs = strings.Contains(s, "\t")
		fields := c.split(s)
		c.width = len(fields)
		c.universal = c.tabs && c.width == len(conllU) && conllID.MatchString(fields[0])
		return c, true
	}
	return c, false
}

// docStart begins the line that parts documents in CoNLL-2003's files.
const docStart = "-DOCSTART-"

// conllID is a word's number in CoNLL-U; 1-2 is a token of several words, and 1.1 a word that isn't written.
var conllID = regexp.MustCompile(`^\d+([-.]\d+)?$`)

func (c conll) split(line string) []string {
	if c.tabs {
		return strings.Split(line, "\t")
	}
	return strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
}

// names are the columns': the first is the words and the last their tags.
func (c conll) names() []string {
	if c.universal {
		return conllU
	}
	out := make([]string, c.width)
	for i := range out {
		out[i] = strconv.Itoa(i + 1)
	}
	out[c.width-1] = "tags"
	out[0] = "tokens"
	return out
}

// skips reports whether a line is neither a word nor the end of a sentence. A word may be "#": a comment is one by where it
// stands and what follows.
func (c conll) skips(line string, fields []string, first bool) bool {
	switch {
	case strings.HasPrefix(line, docStart):
		return true
	case c.universal:
		return line[0] == '#' || strings.ContainsAny(fields[0], "-.")
	}
	return first && line[0] == '#' && (len(fields) != c.width || strings.HasPrefix(line, "# id "))
}

// sentences calls yield with each sentence: the line it starts on, and its fields by column.
func (c conll) sentences(text string, yield func(line int, columns [][]string)) error {
	start, columns := 0, make([][]string, c.width)
	end := func() {
		if start > 0 {
			yield(start, columns)
		}
		start, columns = 0, make([][]string, c.width)
	}
	err := lines(text, func(n int, s string) error {
		if s = strings.TrimRight(s, " \t"); s == "" {
			end()
			return nil
		}
		fields := c.split(s)
		if c.skips(s, fields, start == 0) {
			return nil
		}
		if len(fields) != c.width {
			return &lineError{n, fmt.Sprintf("%s where the first line of a word has %d: CoNLL has a word a line with the same columns, "+
				"and an empty line between sentences", counted(len(fields), "column"), c.width)}
		}
		if start == 0 {
			start = n
		}
		for i, f := range fields {
			columns[i] = append(columns[i], f)
		}
		return nil
	})
	end()
	return err
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// parseCoNLL reads sentences of one word a line, with columns of which the first is the words and the last their tags: the
// layout of the CoNLL shared tasks, WikiANN's with "en:" before each word, and CoNLL-U. A row is a sentence, and its cells are lists.
func parseCoNLL(text string) (*table, error) {
	c, ok := conllOf(text)
	if !ok {
		return &table{}, nil
	}
	t := &table{names: c.names()}
	err := c.sentences(text, func(line int, columns [][]string) {
		r := row{line: line}
		for _, list := range columns {
			r.cells = append(r.cells, cell{text: strings.Join(list, " "), list: list, ok: true})
		}
		t.rows = append(t.rows, r)
	})
	if err != nil {
		return nil, err
	}
	words := max(0, slices.Index(t.names, "form"))
	t.withoutLanguage(words)
	for _, r := range t.rows {
		if i := slices.Index(r.cells[words].list, ""); i >= 0 {
			return nil, &lineError{r.line, fmt.Sprintf("word %d of the sentence that starts here is empty", i+1)}
		}
	}
	return t, nil
}

var languagePrefix = regexp.MustCompile(`^[a-z]{2,3}(-[a-z]+)*:`)

// withoutLanguage takes off what WikiANN has before each word: its language, as in en:Falls.
func (t *table) withoutLanguage(column int) {
	prefix := ""
	for _, r := range t.rows {
		for _, word := range r.cells[column].list {
			if prefix == "" {
				prefix = languagePrefix.FindString(word)
			}
			if prefix == "" || !strings.HasPrefix(word, prefix) {
				return
			}
		}
	}
	for _, r := range t.rows {
		c := &r.cells[column]
		for i, word := range c.list {
			c.list[i] = strings.TrimPrefix(word, prefix)
		}
		c.text = strings.Join(c.list, " ")
	}
}

// looksLikeCoNLL reports whether a text that a task reads in words has one of them a line: all lines have as many columns, and
// there are sentences apart, or tags, or tabs without anything but words between them.
func looksLikeCoNLL(text string, s *Schema) bool {
	c, ok := conllOf(text)
	if !s.words() || !ok || c.width < 2 {
		return false
	}
	sentences, tags, words := 0, true, true
	err := c.sentences(text, func(_ int, columns [][]string) {
		sentences++
		tags = tags && !slices.ContainsFunc(columns[c.width-1], func(t string) bool { return t != "O" && !tag.MatchString(t) })
		for i, column := range columns {
			words = words && !slices.ContainsFunc(column, func(f string) bool { return strings.Contains(f, " ") })
			if sentences == 1 && c.tabs && s.known(strings.ToLower(columns[i][0])) {
				ok = false // a table with a header
			}
		}
	})
	return ok && err == nil && (sentences > 1 || tags || c.tabs && words)
}
