package data

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// table is a whole file cut into rows. A named table knows its columns' names; another one may have them in its first row.
type table struct {
	names []string // nil where the format has no names of its own
	rows  []row
}

// row is one record: line is the 1-based line that it starts on, or its number where the format has no lines. A row that
// couldn't be read says why in bad, and its cells don't count.
type row struct {
	line  int
	cells []cell
	bad   string
	own   bool // the cells' texts are no parts of something larger
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

// format is one way to write a table. A new one is a file with an init that registers it, and has one of scan, parse and open.
type format struct {
	name       string
	extensions []string // with the dot
	// columns, where set, are the names of a layout that has no header.
	columns []string
	// vague: files of other formats have the extensions too.
	vague bool
	// sniff, where set, reports whether a text that begins so and is read with the schema is of the format: for extensions that
	// don't say. The beginning ends with a line, or with the text.
	sniff func(begin string, s *Schema) bool
	// scan reads UTF-8 without a byte order mark, and gives its rows to out as they come, in cells that it may have of out; it
	// stops at the first error that out returns. Nothing of the text needs to stay in memory.
	scan func(in *bufio.Reader, out *rows) error
	// parse cuts valid UTF-8 without a byte order mark into rows: for what can be read as a whole only.
	parse func(text string) (*table, error)
	// open reads bytes in any order.
	open func(in io.ReaderAt, size int64, out *rows) error
}

// read gives the rows of src to out, in whichever way the format has.
func (f *format) read(src *source, out *rows) error {
	switch {
	case f.open != nil:
		return src.whole(func(in io.ReaderAt, size int64) error { return f.open(in, size, out) })
	case f.scan != nil:
		in, err := src.text(out.opt.Latin1)
		if err != nil {
			return err
		}
		return f.scan(in, out)
	}
	in, err := src.text(out.opt.Latin1)
	if err != nil {
		return err
	}
	var whole strings.Builder
	if err := eachLine(in, func(_ int, s string) error { whole.WriteString(s); return nil }); err != nil {
		return err
	}
	t, err := f.parse(whole.String())
	if err != nil {
		return err
	}
	out.names = t.names
	for _, w := range t.rows {
		if err := out.add(w); err != nil {
			return err
		}
	}
	return nil
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
	if path == Stdin {
		return nil, fmt.Errorf("say which format it has (--format): one of %s", strings.Join(Formats(), ", "))
	}
	ext := strings.ToLower(filepath.Ext(path))
	if ext == ".gz" {
		ext = strings.ToLower(filepath.Ext(path[:len(path)-len(ext)]))
	}
	for _, n := range Formats() {
		if slices.Contains(formats[n].extensions, ext) {
			return formats[n], nil
		}
	}
	return nil, fmt.Errorf("no format is known by the extension %q; say which it has (--format): one of %s", ext, strings.Join(Formats(), ", "))
}

// sniffed returns the format that a text looks to be of where its name doesn't say, else f.
func sniffed(f *format, begin string, opt Options) *format {
	if opt.Format != "" || f != nil && !f.vague {
		return f
	}
	for _, n := range Formats() {
		if own := formats[n]; own.sniff != nil && own.sniff(begin, opt.Schema) {
			return own
		}
	}
	return f
}

// lines calls yield with each line of a text that is in memory and its number, without its end.
func lines(text string, yield func(line int, s string) error) error {
	n := 0
	for s := range strings.Lines(text) {
		n++
		if err := yield(n, trimEnd(s)); err != nil {
			return err
		}
	}
	return nil
}

// trimEnd drops a line's end, \n or \r\n.
func trimEnd(s string) string { return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r") }

// eachLine calls yield with each line of in, its end included, and its number. Invalid UTF-8 is an error.
func eachLine(in *bufio.Reader, yield func(line int, s string) error) error {
	var long []byte // of a line that is longer than in's buffer
	for n := 1; ; n++ {
		part, err := in.ReadSlice('\n')
		for long = long[:0]; err == bufio.ErrBufferFull; part, err = in.ReadSlice('\n') {
			long = append(long, part...)
		}
		if len(long) > 0 {
			long = append(long, part...)
			part = long
		}
		if err != nil && err != io.EOF {
			return err
		}
		if len(part) > 0 {
			if !utf8.Valid(part) {
				return invalidUTF8(n, string(part))
			}
			if err := yield(n, string(part)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if cap(long) > maxKeptLine {
			long = nil
		}
	}
}

// maxKeptLine is how much of a long line's buffer is kept for the next one.
const maxKeptLine = 1 << 20

// invalidUTF8 says where in a text that begins on a line the first byte is that is no UTF-8.
func invalidUTF8(line int, s string) error {
	at := 0
	for at < len(s) {
		r, n := utf8.DecodeRuneInString(s[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	line += strings.Count(s[:at], "\n")
	before := s[strings.LastIndex(s[:at], "\n")+1 : at]
	return &lineError{line, fmt.Sprintf("invalid UTF-8 after %q; is the file in another encoding, such as ISO 8859-1 (--latin1)?", tail(before, 20))}
}

// tail returns at most the last n runes of s.
func tail(s string, n int) string {
	rs := []rune(s[max(len(s)-n*utf8.UTFMax, 0):])
	return string(rs[max(len(rs)-n, 0):])
}
