package data

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Before the columns are chosen so many rows, or bytes of memory, are looked at: a guess wants more than one row, a header that
// isn't one shows only beside others, and JSON objects needn't all have the same keys.
const (
	probeRows  = 10_000
	probeBytes = 16 << 20
	cellBytes  = 48 // of a cell without its text
)

// A RowError says what is wrong with one row of a file.
type RowError struct {
	Path string
	Row  int // the line that it starts on, from 1; 0 where the format has no lines
	Why  string
}

func (e *RowError) Error() string { return fmt.Sprintf("data: %s: %s", where(e.Path, e.Row), e.Why) }

// errStop ends reading where the examples aren't wanted any more.
var errStop = errors.New("stop")

// rows takes the rows of a file as its format reads them, chooses the columns when it has seen enough of them, and hands out
// an example for each.
type rows struct {
	f     *format
	opt   Options
	path  string
	names []string // of the columns where the format has names for them; they may grow
	probe int      // rows to look at
	total int      // rows in all, where the format knows

	held []row // until the columns are chosen
	size int   // of them, in bytes
	cols *columns
	free []cell                     // for the next row, once rows aren't held
	keep func(Example, row) Example // where examples are to stay
	// yield takes an example, or a *RowError and an example that has no more than its row; it returns false to end.
	yield func(Example, error) bool
}

// Rows reads a file row by row, in memory that doesn't grow with it. A bad row is an error of type *RowError beside an example
// that has its number only, and the next ones follow unless the options are strict; any other error is the last thing that comes.
//
// Columns that the options don't name are chosen when 10,000 rows are read or the file ends, so name them where an answer is
// wanted for each row as it comes.
func Rows(path string, opt Options) iter.Seq2[Example, error] {
	return func(yield func(Example, error) bool) {
		r := &rows{opt: opt, path: path, probe: probeRows}
		if opt.TextColumn != "" && (opt.NoLabel || opt.LabelColumn != "") {
			r.probe = 1
		}
		r.yield = func(ex Example, err error) bool { return yield(ex, err) && (err == nil || !opt.Strict) }
		if err := r.readFile(); err != nil && err != errStop {
			yield(Example{}, err)
		}
	}
}

// readFile reads the file at r's path.
func (r *rows) readFile() error {
	src, done, err := openSource(r.path)
	if err != nil {
		return err
	}
	defer done()
	return r.from(src)
}

// from reads a source. Its errors name the file and, where there is one, the row.
func (r *rows) from(src *source) (err error) {
	f, unknown := formatFor(r.path, r.opt.Format)
	if unknown != nil && (r.opt.Format != "" || !r.opt.Schema.words()) {
		return r.locate(unknown)
	}
	if r.f = f; f == nil || f.vague && r.opt.Format == "" {
		begin, err := src.begin(r.opt.Latin1)
		if err != nil {
			return r.locate(err)
		}
		if r.f = sniffed(f, begin, r.opt); r.f == nil {
			return r.locate(unknown)
		}
	}
	if r.f.columns != nil {
		r.probe = 1
	}
	if err = r.f.read(src, r); err == nil && r.cols == nil {
		err = r.choose(true)
	}
	return r.locate(err)
}

// locate puts the file and, where the error has one, the row in front of it.
func (r *rows) locate(err error) error {
	switch e := err.(type) {
	case nil, *RowError:
		return err
	case *lineError:
		return &RowError{pathText(r.path), e.line, e.why}
	}
	if err == errStop {
		return err
	}
	return fmt.Errorf("data: %s: %w", pathText(r.path), err)
}

// pathText is a path as messages have it.
func pathText(path string) string {
	if path == Stdin {
		return "standard input"
	}
	return path
}

// add takes the next row.
func (r *rows) add(w row) error {
	if r.cols != nil {
		return r.take(w)
	}
	r.size += len(w.bad) + cellBytes*(1+len(w.cells))
	for i := range w.cells {
		r.size += len(w.cells[i].text)
	}
	if r.held = append(r.held, w); len(r.held) < r.probe && r.size < probeBytes || w.bad != "" && r.probe == 1 {
		return nil
	}
	return r.choose(false)
}

// fields returns the cells of a row for a format to fill in. They are the same for all rows where none needs to be held.
func (r *rows) fields(n int) []cell {
	if r.cols == nil || cap(r.free) < n {
		r.free = make([]cell, n)
	}
	cells := r.free[:n]
	for i := range cells {
		cells[i] = cell{ok: true}
	}
	return cells
}

// choose chooses the columns, and takes the rows that waited for it; all says that there are no others.
func (r *rows) choose(all bool) error {
	good := make([]row, 0, len(r.held))
	for _, w := range r.held {
		if w.bad == "" {
			good = append(good, w)
		}
	}
	switch {
	case len(r.held) == 0:
		return fmt.Errorf("the file is empty")
	case len(good) == 0:
		return &lineError{r.held[0].line, r.held[0].bad}
	}
	var err error
	if r.cols, err = chooseColumns(r.f, &table{r.names, good}, r.opt); err != nil && r.names != nil && !all {
		return fmt.Errorf("%w (in the first %d rows)", err, len(r.held))
	} else if err != nil {
		return err
	}
	if r.probe > 1 {
		if err := r.cols.doubt(good, r.opt); err != nil {
			return err
		}
	}
	held := r.held
	r.held = nil
	header := r.cols.header
	for _, w := range held {
		if header && w.bad == "" {
			header = false
			continue
		}
		if err := r.take(w); err != nil {
			return err
		}
	}
	return nil
}

// settle chooses the columns by their names, for a format that knows those before its rows, and returns which are in use.
func (r *rows) settle() (use []int, err error) {
	if r.cols, err = chooseColumns(r.f, &table{names: r.names}, r.opt); err != nil {
		return nil, err
	}
	for i := range r.names {
		if r.cols.inUse(i) {
			use = append(use, i)
		}
	}
	return use, nil
}

// take makes an example of a row.
func (r *rows) take(w row) error {
	if len(r.names) > len(r.cols.names) && r.cols.names != nil {
		if err := r.grown(w); err != nil {
			return err
		}
	}
	ex, err := Example{Row: w.line}, error(nil)
	if w.bad != "" {
		err = &lineError{w.line, w.bad}
	} else if err = r.cols.fits(&w); err == nil {
		ex, err = r.cols.example(w)
	}
	if err != nil {
		ex, err = Example{Row: w.line}, r.locate(err)
	} else if r.keep != nil {
		ex = r.keep(ex, w)
	}
	if !r.yield(ex, err) {
		return errStop
	}
	return nil
}

// grown refuses a column that is first seen after the columns were chosen, and would have been chosen.
func (r *rows) grown(w row) error {
	again, err := chooseColumns(r.f, &table{r.names, []row{w}}, r.opt)
	if err != nil {
		return err
	}
	if !again.same(r.cols) {
		return &lineError{w.line, fmt.Sprintf("the column %s comes first in this row, after others were chosen; name those in use with --text-column, --pair-column and --label-column",
			strings.Join(r.names[len(r.cols.names):], ", "))}
	}
	r.cols.names = again.names
	return nil
}
