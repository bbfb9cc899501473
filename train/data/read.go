package data

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Example is one text, or a pair of texts, and its label as the file spells it.
type Example struct {
	Text, Pair string
	HasPair    bool
	Part       int32    // which of the set's files it is from
	Words      []string // the text in words, where the task wants it so; Text is then empty
	Label      string   // empty where the set was read without labels
	Labels     []string // where the task's label is a list; not nil where the row has one, be it empty
	Row        int      // the line of the file that it starts on, from 1
	Fields     map[string][]string
}

// Options say how to read a file; the zero value finds out by itself. A column is a
// header's name or, in a file without one, a number from 1; several columns, with commas
// between them, are one text.
type Options struct {
	Format      string // one of Formats; empty: by the file's extension
	TextColumn  string
	PairColumn  string // the second text of a pair; "-" for none where one would be found
	LabelColumn string // where each label of a list has a column of 0s and 1s, all of them, with commas
	NoLabel     bool   // the file has no labels, or they aren't wanted
	NoHeader    bool   // the first row is data
	Latin1      bool   // the file is in ISO 8859-1, not UTF-8
	Join        string // between the texts of several columns; empty: a space
	Strict      bool   // the first bad row is an error
	// LabelBase is the number of the first class where labels are numbers of classes that have names; nil is 0, where the
	// numbers leave no doubt.
	LabelBase *int
	Schema    *Schema // of the task; nil is one text or two and a label
}

// Set is the examples of a file, or several, and what was found out about it.
type Set struct {
	Path     string   // as messages name it: where there are several files, the first and how many more
	Files    []string // nil: Path alone
	Format   string
	Examples []Example
	// TextColumn, PairColumn and LabelColumn are the columns in use: names, or
	// numbers where the file has no header. PairColumn and LabelColumn may be empty.
	TextColumn, PairColumn, LabelColumn string
	// EachLabel are the labels where each has a column of its own; LabelColumn has them all.
	EachLabel []string
	Header    bool        // the columns have names
	LabelBase *int        // as the options had it
	Join      string      // as the options had it
	Skipped   int         // bad rows, which were passed over
	Bad       []*RowError // the first of them
	// Learn: the file was read to learn from it or to judge by it, not only for answers.
	Learn bool
}

// Columns says in one line which columns are in use.
func (s *Set) Columns() string {
	kind := "column "
	if s.Header {
		kind = ""
	}
	between := ""
	if s.Join != "" {
		between = fmt.Sprintf(" (joined by %q)", s.Join)
	}
	text := func(columns string) string {
		if !strings.Contains(columns, ",") {
			return kind + columns
		}
		return strings.Replace(kind, " ", "s ", 1) + strings.ReplaceAll(columns, ",", " and ") + between
	}
	out := "text from " + text(s.TextColumn)
	if s.PairColumn != "" {
		out += ", second text from " + text(s.PairColumn)
	}
	if s.LabelColumn != "" {
		out += ", label from " + kind + s.LabelColumn
	}
	return out
}

// Where names the file and the row of one of the set's examples.
func (s *Set) Where(ex Example) string { return where(s.File(ex), ex.Row) }

// where is a row of a file as messages have it; it has no number where the format has no lines.
func where(path string, row int) string {
	if row == 0 {
		return path
	}
	return fmt.Sprintf("%s:%d", path, row)
}

// File is the path that one of the set's examples was read from.
func (s *Set) File(ex Example) string {
	if int(ex.Part) < len(s.Files) {
		return s.Files[ex.Part]
	}
	return s.Path
}

// SkippedText says in one line how many rows were passed over and what is wrong with the first ones, "" where none was.
func (s *Set) SkippedText() string {
	if s.Skipped == 0 {
		return ""
	}
	what := make([]string, len(s.Bad))
	for i, bad := range s.Bad {
		what[i] = strings.TrimPrefix(bad.Error(), "data: ")
	}
	rest := ""
	if n := s.Skipped - len(s.Bad); n > 0 {
		rest = fmt.Sprintf("; and %d more", n)
	}
	return fmt.Sprintf("%s: %d of %d rows are bad and were passed over: %s%s", s.Path, s.Skipped, s.Skipped+len(s.Examples), strings.Join(what, "; "), rest)
}

// Of bad rows one in badLimit is passed over: more say that the file is something else than it was read as.
const badLimit = 10

// badShown is how many bad rows a set keeps.
const badShown = 5

// Read reads a file of examples, standard input where path is [Stdin]. Its errors name the file, the row where there is one,
// and what to try; a file without any example is an error too.
//
// A bad row is one with another number of fields than the others, without a value, with an empty label, or with one that the
// format or the task can't read. Bad rows are passed over, counted and kept in the set for whoever reports them, as long as they
// are at most one row in ten; else, and with [Options].Strict always, the first of them is the error.
func Read(path string, opt Options) (*Set, error) {
	src, done, err := openSource(path)
	if err != nil {
		return nil, err
	}
	defer done()
	return readSource(src, path, opt)
}

// ReadFrom is Read of what r gives; name stands for it in messages, and its extension for its format.
func ReadFrom(r io.Reader, name string, opt Options) (*Set, error) {
	return readSource(&source{in: r}, name, opt)
}

func readSource(src *source, path string, opt Options) (*Set, error) {
	set := &Set{Path: pathText(path), Files: []string{pathText(path)}, LabelBase: opt.LabelBase}
	k := keeper{seen: map[string]string{}}
	r := &rows{opt: opt, path: path, probe: probeRows, keep: k.keep}
	r.yield = func(ex Example, err error) bool {
		if err != nil {
			set.bad(err.(*RowError))
			return !opt.Strict
		}
		if n := len(set.Examples); n == cap(set.Examples) {
			more := r.total - n
			if more <= 0 {
				more = src.rest(n)
			}
			set.Examples = slices.Grow(set.Examples, more)
		}
		set.Examples = append(set.Examples, ex)
		return true
	}
	if err := r.from(src); err != nil && err != errStop {
		return nil, err
	}
	c := r.cols
	if err := set.tooBad(opt.Strict); err != nil {
		return nil, err
	}
	if len(set.Examples) == 0 {
		return nil, fmt.Errorf("data: %s: the file has a header (%s) and no example", set.Path, strings.Join(c.names, ", "))
	}
	set.Format, set.Header, set.Join, set.Learn = r.f.name, c.names != nil, opt.Join, !opt.NoLabel
	set.TextColumn, set.PairColumn, set.LabelColumn = c.labels(c.text, theText), c.labels(c.pair, thePair), c.labelColumn()
	set.EachLabel = c.labelNames()
	return set, nil
}

// bad counts a bad row.
func (s *Set) bad(err *RowError) {
	if s.Skipped++; len(s.Bad) < badShown {
		s.Bad = append(s.Bad, err)
	}
}

// tooBad returns the first bad row's error if there are too many of them.
func (s *Set) tooBad(strict bool) error {
	n := s.Skipped + len(s.Examples)
	if s.Skipped == 0 || !strict && s.Skipped*badLimit <= n {
		return nil
	}
	first := *s.Bad[0]
	if s.Skipped > 1 {
		first.Why += fmt.Sprintf(" (%d of %d rows are bad)", s.Skipped, n)
	}
	return &first
}

// rest is for how many rows more there should be room when n are read: as many as the rest of the source has if it is like what
// was read, and some. What is read already and is in no row yet counts for nothing, so that there is room enough: growing once
// more would take the set's examples twice. A few short rows before a long one don't make room for millions.
func (s *source) rest(n int) int {
	done := s.read - sourceBuffer
	if done <= 0 || s.size <= done {
		return n/4 + 64
	}
	more := float64(n) * float64(s.size-done) / float64(done)
	return int(min(more*1.02, 64*float64(n))) + 64
}

// A keeper makes examples keep little more than what they have: a text is a part of the line that it came in, and where the line
// is much longer, the rest should go. Each different label is kept once.
type keeper struct {
	seen  map[string]string
	chunk strings.Builder
}

const (
	chunkBytes = 1 << 20
	chunkText  = 1 << 12 // a longer text is kept as it is
	seenLabels = 10_000  // further ones are kept each
)

func (k *keeper) keep(ex Example, of row) Example {
	all := 0
	for i := range of.cells {
		all += len(of.cells[i].text)
	}
	if mostly := (len(ex.Text) + len(ex.Pair)) * 4; mostly < all*3 && !of.own {
		ex.Text, ex.Pair = k.text(ex.Text), k.text(ex.Pair)
	}
	ex.Label = k.label(ex.Label)
	for i := range ex.Labels {
		ex.Labels[i] = k.label(ex.Labels[i])
	}
	return ex
}

// text copies a text to behind the others.
func (k *keeper) text(s string) string {
	if len(s) > chunkText {
		return s
	}
	if k.chunk.Len()+len(s) > k.chunk.Cap() {
		k.chunk = strings.Builder{}
		k.chunk.Grow(chunkBytes)
	}
	at := k.chunk.Len()
	k.chunk.WriteString(s)
	return k.chunk.String()[at:]
}

func (k *keeper) label(s string) string {
	if kept, ok := k.seen[s]; ok {
		return kept
	}
	s = strings.Clone(s)
	if len(k.seen) < seenLabels {
		k.seen[s] = s
	}
	return s
}
