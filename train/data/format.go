package data

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// table is a file cut into rows, before any column is chosen. A named table (JSONL)
// knows its columns' names; another one may have them in its first row.
type table struct {
	names []string // nil where the format has no names of its own
	rows  []row
}

// row is one record: line is the 1-based line that it starts on.
type row struct {
	line  int
	cells []cell
}

// cell is one field; ok is false where the record lacks it. list is set where the format says that the field is a list.
type cell struct {
	text string
	list []string
	ok   bool
}

// lineError is what a format's parser reports: the line, and why.
type lineError struct {
	line int
	why  string
}

func (e *lineError) Error() string { return fmt.Sprintf("row %d: %s", e.line, e.why) }

// format is one way to write a table as text. A new one is a file with an init that
// registers it.
type format struct {
	name       string
	extensions []string // with the dot
	// columns, where set, are the names of a layout that has no header.
	columns []string
	// vague: files of other formats have the extensions too.
	vague bool
	// parse cuts valid UTF-8 without a byte order mark into rows.
	parse func(text string) (*table, error)
	// sniff, where set, reports whether a text that is read with the schema is of the format: for extensions that don't say.
	sniff func(text string, s *Schema) bool
}

var formats = map[string]*format{}

func register(f *format) {
	if formats[f.name] != nil {
		panic("data: format registered twice: " + f.name)
	}
	formats[f.name] = f
}

// Formats lists the names of the formats that Read understands, sorted.
func Formats() []string {
	names := make([]string, 0, len(formats))
	for name := range formats {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// formatFor returns the format of that name or, where name is empty, the one of path's
// extension.
func formatFor(path, name string) (*format, error) {
	if name != "" {
		if f := formats[name]; f != nil {
			return f, nil
		}
		return nil, fmt.Errorf("unknown format %q; known: %s", name, strings.Join(Formats(), ", "))
	}
	ext := strings.ToLower(filepath.Ext(path))
	for _, n := range Formats() {
		if slices.Contains(formats[n].extensions, ext) {
			return formats[n], nil
		}
	}
	return nil, fmt.Errorf("no format is known by the extension %q; name one of %s", ext, strings.Join(Formats(), ", "))
}

// sniffed returns the format that a text looks to be of where its name doesn't say, else f and err as they are.
func sniffed(f *format, err error, text string, opt Options) (*format, error) {
	if opt.Format != "" || f != nil && !f.vague {
		return f, err
	}
	for _, n := range Formats() {
		if own := formats[n]; own.sniff != nil && own.sniff(text, opt.Schema) {
			return own, nil
		}
	}
	return f, err
}

// lines calls yield with each line of text and its number, without its end (\n or \r\n).
func lines(text string, yield func(line int, s string) error) error {
	n := 0
	for s := range strings.Lines(text) {
		n++
		s = strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
		if err := yield(n, s); err != nil {
			return err
		}
	}
	return nil
}

// cellsOf makes cells of plain fields.
func cellsOf(fields []string) []cell {
	cells := make([]cell, len(fields))
	for i, f := range fields {
		cells[i] = cell{text: f, ok: true}
	}
	return cells
}
