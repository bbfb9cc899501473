package data

import (
	"fmt"
	"os"
	"strings"
	"unicode/utf8"
)

// Example is one text, or a pair of texts, and its label as the file spells it.
type Example struct {
	Text, Pair string
	HasPair    bool
	Words      []string // the text in words, where the task wants it so; Text is then empty
	Label      string   // empty where the set was read without labels
	Labels     []string // where the task's label is a list; not nil where the row has one, be it empty
	Row        int      // the line of the file that it starts on, from 1
	Fields     map[string][]string
}

// Options say how to read a file; the zero value finds out by itself. A column is a
// header's name or, in a file without one, a number from 1.
type Options struct {
	Format      string // one of Formats; empty: by the file's extension
	TextColumn  string
	PairColumn  string // the second text of a pair; "-" for none where one would be found
	LabelColumn string
	NoLabel     bool // the file has no labels, or they aren't wanted
	NoHeader    bool // the first row is data
	Latin1      bool // the file is in ISO 8859-1, not UTF-8
	// LabelBase is the number of the first class where labels are numbers of classes that have names; nil is 0, where the
	// numbers leave no doubt.
	LabelBase *int
	Schema    *Schema // of the task; nil is one text or two and a label
}

// Set is a file's examples and what was found out about it.
type Set struct {
	Path     string
	Format   string
	Examples []Example
	// TextColumn, PairColumn and LabelColumn are the columns in use: names, or
	// numbers where the file has no header. PairColumn and LabelColumn may be empty.
	TextColumn, PairColumn, LabelColumn string
	Header                              bool // the columns have names
	LabelBase                           *int // as the options had it
}

// Columns says in one line which columns are in use.
func (s *Set) Columns() string {
	kind := "column "
	if s.Header {
		kind = ""
	}
	out := "text from " + kind + s.TextColumn
	if s.PairColumn != "" {
		out += ", second text from " + kind + s.PairColumn
	}
	if s.LabelColumn != "" {
		out += ", label from " + kind + s.LabelColumn
	}
	return out
}

// At says where an error about an example is: in which file, and on which line where it has one.
func (s *Set) At(example int, err error) error {
	if s.Examples[example].Row == 0 {
		return fmt.Errorf("data: %s: example %d: %w", s.Path, example+1, err)
	}
	return fmt.Errorf("data: %s:%d: %w", s.Path, s.Examples[example].Row, err)
}

// Read reads a file of examples. Its errors name the file, the row where there is one,
// and what to try; a file without any example is an error too.
func Read(path string, opt Options) (*Set, error) {
	f, err := formatFor(path, opt.Format)
	if err != nil {
		return nil, fmt.Errorf("data: %s: %w", path, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	text, err := decodeText(raw, opt.Latin1)
	if err != nil {
		return nil, locate(path, err)
	}
	set, err := readTable(f, text, opt)
	if err != nil {
		return nil, locate(path, err)
	}
	set.Path = path
	return set, nil
}

// locate puts the file and, where the error has one, the row in front of it.
func locate(path string, err error) error {
	if e, ok := err.(*lineError); ok {
		return fmt.Errorf("data: %s:%d: %s", path, e.line, e.why)
	}
	return fmt.Errorf("data: %s: %w", path, err)
}

// decodeText checks that raw is UTF-8 and drops its byte order mark, or converts it
// from ISO 8859-1.
func decodeText(raw []byte, latin1 bool) (string, error) {
	if latin1 {
		rs := make([]rune, len(raw))
		for i, b := range raw {
			rs[i] = rune(b)
		}
		return string(rs), nil
	}
	text := string(raw)
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return "", fmt.Errorf("the file is UTF-16; convert it to UTF-8 (iconv -f utf-16 -t utf-8)")
	}
	text = strings.TrimPrefix(text, "\ufeff")
	if utf8.ValidString(text) {
		return text, nil
	}
	return "", invalidUTF8(text)
}

func invalidUTF8(text string) error {
	line := 0
	for s := range strings.Lines(text) {
		line++
		if !utf8.ValidString(s) {
			at := strings.IndexRune(s, utf8.RuneError)
			return &lineError{line, fmt.Sprintf("invalid UTF-8 after %q; is the file in another encoding, such as ISO 8859-1 (latin1)?", tail(s[:max(at, 0)], 20))}
		}
	}
	return fmt.Errorf("invalid UTF-8")
}

// tail returns at most the last n runes of s.
func tail(s string, n int) string {
	rs := []rune(s)
	return string(rs[max(len(rs)-n, 0):])
}

func readTable(f *format, text string, opt Options) (*Set, error) {
	t, err := f.parse(text)
	if err != nil {
		return nil, err
	}
	if len(t.rows) == 0 {
		return nil, fmt.Errorf("the file is empty")
	}
	cols, err := chooseColumns(f, t, opt)
	if err != nil {
		return nil, err
	}
	set := &Set{
		Format: f.name, Header: cols.names != nil, LabelBase: opt.LabelBase,
		TextColumn: cols.label(cols.text), PairColumn: cols.label(cols.pair), LabelColumn: cols.label(cols.lab),
	}
	rows := t.rows
	if cols.header {
		rows = rows[1:]
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("the file has a header (%s) and no example", strings.Join(cols.names, ", "))
	}
	set.Examples = make([]Example, len(rows))
	for i, r := range rows {
		if set.Examples[i], err = cols.example(r); err != nil {
			return nil, err
		}
	}
	return set, nil
}
