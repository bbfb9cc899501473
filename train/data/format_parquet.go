package data

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	pqformat "github.com/parquet-go/parquet-go/format"
)

func init() {
	register(&format{name: "parquet", extensions: []string{".parquet", ".pq"}, open: openParquet})
}

// openParquet reads Parquet: columns of strings, numbers and booleans, and of lists of those; the fields of a structure are
// columns with dotted names, as those of a JSON object are. Rows are counted from 1. Only the columns in use are read, a page at
// a time.
func openParquet(in io.ReaderAt, size int64, out *rows) error {
	if err := checkFooter(in, size); err != nil {
		return err
	}
	var f *parquet.File
	err := guarded(func() (err error) {
		f, err = parquet.OpenFile(in, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		return err
	})
	if err != nil {
		return damaged("%v", err)
	}
	if n := f.NumRows(); n < 0 || n > parquetRows+parquetValues*size {
		return damaged("%d rows in %d bytes", n, size)
	} else {
		out.total = int(n)
	}
	p := &parquetFile{in: in, size: size, file: f, left: parquetFixed + parquetBytes*size}
	err = guarded(func() error {
		for _, c := range f.Root().Columns() {
			p.find(c, c.Name())
		}
		return nil
	})
	if err != nil {
		return damaged("%v", err)
	}
	out.names = make([]string, len(p.columns))
	for i, c := range p.columns {
		out.names[i] = c.name
	}
	use, err := out.settle()
	if err != nil {
		return err
	}
	for _, i := range use {
		if c := p.columns[i]; c.why != "" {
			return fmt.Errorf("column %q %s; it can't be a text or a label", c.name, c.why)
		} else if c.list > 0 && out.cols.isText(i) && !out.opt.Schema.words() {
			return fmt.Errorf("column %q holds lists; a text is a string", c.name)
		}
	}
	first := 1
	for g := range f.RowGroups() {
		n, err := p.group(g, use, first, out)
		if err != nil {
			return err
		}
		first += n
	}
	return nil
}

// guarded returns what the library panics with as an error.
func guarded(do func() error) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = fmt.Errorf("%v", what)
		}
	}()
	return do()
}

// parquetFile is an open file and its columns.
type parquetFile struct {
	in      io.ReaderAt
	size    int64
	file    *parquet.File
	columns []*parquetColumn
	left    int64 // bytes that pages may still come to
}

// parquetColumn is a column of values or of lists.
type parquetColumn struct {
	name string
	leaf *parquet.Column
	list int    // the definition level of a list that has elements; 0 where the column isn't one of lists
	why  string // it can't be read

	unsigned bool // its integers are
}

// find adds the columns that are in c.
func (p *parquetFile) find(c *parquet.Column, name string) {
	col := &parquetColumn{name: name, leaf: c}
	inner := c.Columns()
	switch {
	case c.Repeated():
		col.element(c)
	case c.Leaf():
		col.plain()
	case len(inner) == 1 && inner[0].Repeated():
		col.element(inner[0])
	default:
		for _, field := range inner {
			p.find(field, name+"."+field.Name())
		}
		return
	}
	p.columns = append(p.columns, col)
}

// element makes col a column of lists, whose elements are in the repeated column or in its only field.
func (col *parquetColumn) element(repeated *parquet.Column) {
	col.leaf, col.list = repeated, repeated.MaxDefinitionLevel()
	if inner := repeated.Columns(); !repeated.Leaf() && len(inner) == 1 {
		col.leaf = inner[0]
	}
	switch {
	case !col.leaf.Leaf():
		col.why = "holds lists of structures, or maps"
		if inner := col.leaf.Columns(); len(inner) == 1 && inner[0].Repeated() {
			col.why = "holds lists of lists"
		}
	case col.leaf.MaxRepetitionLevel() != 1:
		col.why = "holds lists of lists"
	default:
		col.plain()
	}
}

// plain finds out what the column's values are.
func (col *parquetColumn) plain() {
	t := col.leaf.Type()
	known := false
	if kind, means := t.Kind(), t.LogicalType(); means == nil || means.Value == nil {
		known = kind != parquet.Int96 && kind != parquet.FixedLenByteArray
	} else {
		switch of := means.Value.(type) {
		case *pqformat.StringType, *pqformat.EnumType, *pqformat.JsonType:
			known = kind == parquet.ByteArray
		case *pqformat.IntType:
			known, col.unsigned = kind == parquet.Int32 || kind == parquet.Int64, !of.IsSigned
		}
	}
	if !known {
		col.why = fmt.Sprintf("holds values of type %s", t)
	}
}

// group gives the rows of a row group to out, the first of which has that number, and returns how many there were.
func (p *parquetFile) group(g int, use []int, first int, out *rows) (int, error) {
	readers := make([]*parquetReader, len(use))
	group := p.file.RowGroups()[g]
	chunks := group.ColumnChunks()
	for i, u := range use {
		col := p.columns[u]
		meta := &p.file.Metadata().RowGroups[g].Columns[col.leaf.Index()].MetaData
		check := &pageCheck{fileSize: p.size, left: &p.left, codec: int(meta.Codec), maxDef: col.leaf.MaxDefinitionLevel(), maxRep: col.leaf.MaxRepetitionLevel()}
		start := meta.DataPageOffset
		if meta.DictionaryPageOffset != 0 {
			start = meta.DictionaryPageOffset
		}
		err := check.chunk(p.in, start, meta.TotalCompressedSize)
		check.close()
		if err != nil {
			return 0, fmt.Errorf("column %q: %w", col.name, err)
		}
		readers[i] = &parquetReader{parquetColumn: col, seen: map[string]string{}}
		if err := guarded(func() error { readers[i].pages = chunks[col.leaf.Index()].Pages(); return nil }); err != nil {
			return 0, damaged("%v", err)
		}
		defer readers[i].close()
	}
	for n := 0; ; n++ {
		w, err := p.row(readers, use, first+n, out)
		if err == io.EOF && int64(n) == group.NumRows() {
			return n, nil
		}
		if err == io.EOF {
			err = damaged("its %d. group has %d rows, and says %d", g+1, n, group.NumRows())
		}
		if err == nil {
			err = out.add(w)
		}
		if err != nil {
			return 0, err
		}
	}
}

// row reads the next value of each column; io.EOF where there is none in any.
func (p *parquetFile) row(readers []*parquetReader, use []int, number int, out *rows) (row, error) {
	w := row{line: number, cells: out.fields(len(p.columns)), own: true}
	ended := 0
	for i := range w.cells {
		w.cells[i].ok = false
	}
	for i, r := range readers {
		c, err := r.next()
		var bad *badValue
		switch {
		case err == io.EOF:
			ended++
		case errors.As(err, &bad):
			w.bad = fmt.Sprintf("column %q: %s", r.name, bad.why)
		case err != nil:
			return w, fmt.Errorf("column %q: %w", r.name, err)
		}
		w.cells[use[i]] = c
	}
	switch ended {
	case 0:
		return w, nil
	case len(readers):
		return w, io.EOF
	}
	return w, damaged("row %d is in some columns and not in others", number)
}

// badValue is a value that makes its row a bad one.
type badValue struct{ why string }

func (e *badValue) Error() string { return e.why }

// parquetReader reads a column in a row group value by value. Rows are told apart by the repetition levels, so that a list may go
// on in the next page.
type parquetReader struct {
	*parquetColumn
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    [128]parquet.Value
	at, n  int               // in buf
	seen   map[string]string // texts of a dictionary: there may be few of them, and rows by the million
}

func (r *parquetReader) close() {
	parquet.Release(r.page)
	if r.pages != nil {
		_ = r.pages.Close() // nothing was written
	}
}

// peek returns the next value without taking it; io.EOF at the end.
func (r *parquetReader) peek() (*parquet.Value, error) {
	for r.at == r.n {
		if err := guarded(r.fill); err != nil {
			if err == io.EOF {
				return nil, err
			}
			return nil, damaged("%v", err)
		}
	}
	return &r.buf[r.at], nil
}

// fill reads further values, of the next page where there is none in this one.
func (r *parquetReader) fill() (err error) {
	if r.values != nil {
		r.at = 0
		r.n, err = r.values.ReadValues(r.buf[:])
		if r.n > 0 || err != nil && err != io.EOF {
			return nil
		}
	}
	r.at, r.n = 0, 0
	parquet.Release(r.page)
	r.page, r.values = nil, nil
	if r.page, err = r.pages.ReadPage(); err != nil {
		return err
	}
	r.values = r.page.Values()
	return nil
}

// next returns the next row's cell.
func (r *parquetReader) next() (cell, error) {
	v, err := r.peek()
	if err != nil {
		return cell{}, err
	}
	if r.list > 0 {
		return r.nextList()
	}
	r.at++
	if v.IsNull() {
		return cell{}, nil
	}
	text, err := r.text(v)
	return cell{text: text, ok: true}, err
}

// nextList reads a row's list. An empty one has one value, whose definition level says so, as a list that is null has.
func (r *parquetReader) nextList() (c cell, bad error) {
	items := []string{}
	for first := true; ; first = false {
		v, err := r.peek()
		if err == io.EOF && !first || err == nil && (v.RepetitionLevel() == 0) != first {
			break
		}
		if err != nil {
			return cell{}, err
		}
		r.at++
		switch level := v.DefinitionLevel(); {
		case level < r.list-1 && first:
			c.ok = false
			return c, nil
		case level < r.list:
			continue
		case v.IsNull():
			bad = &badValue{fmt.Sprintf("element %d of the list is null", len(items)+1)}
			continue
		}
		text, err := r.text(v)
		if err != nil {
			bad = err
		}
		items = append(items, text)
	}
	if bad != nil {
		return cell{}, bad
	}
	return cell{text: listText(items), list: items, ok: true}, nil
}

// listText is what a message says of a list.
func listText(items []string) string {
	const most = 3
	short := make([]string, min(len(items), most))
	for i := range short {
		short[i] = strconv.Quote(head(items[i], 20))
	}
	if len(items) > most {
		short = append(short, "…")
	}
	return "[" + strings.Join(short, ",") + "]"
}

// text is a value as text: a string's own, a number in as few digits as tell it from others.
func (r *parquetReader) text(v *parquet.Value) (string, error) {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.FormatBool(v.Boolean()), nil
	case parquet.Int32:
		if r.unsigned {
			return strconv.FormatUint(uint64(v.Uint32()), 10), nil
		}
		return strconv.FormatInt(int64(v.Int32()), 10), nil
	case parquet.Int64:
		if r.unsigned {
			return strconv.FormatUint(v.Uint64(), 10), nil
		}
		return strconv.FormatInt(v.Int64(), 10), nil
	case parquet.Float:
		return strconv.FormatFloat(float64(v.Float()), 'f', -1, 32), nil
	case parquet.Double:
		return strconv.FormatFloat(v.Double(), 'f', -1, 64), nil
	}
	raw := v.ByteArray()
	if text, ok := r.seen[string(raw)]; ok {
		return text, nil
	}
	text := string(raw)
	if !utf8.ValidString(text) {
		return "", &badValue{"the text is no UTF-8"}
	}
	if r.page.Dictionary() != nil {
		r.seen[text] = text
	}
	return text, nil
}
