package data

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// A first row is taken for a header or for data by what its cells say; doubt is what the rows below it say to that.

// columnName is what columns are called: few words, beginning with a letter.
var columnName = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_.#/()-]*( [\p{L}\p{N}_.#/()-]+){0,2}$`)

const (
	longestName = 40 // runes of a column's name
	dataWords   = 6  // so many words are no column's name
	doubtRows   = 3  // fewer rows below the first tell nothing
)

// doubt refuses a first row that was taken for data and looks like a header, and one that was taken for a header and looks like
// data, unless the options say which it is.
func (c *columns) doubt(rows []row, opt Options) error {
	if len(rows) <= doubtRows || c.width == 0 {
		return nil
	}
	first, below := rows[0], rows[1:]
	switch {
	case c.header && !c.asked:
		if i := looksLikeData(first, below, c.lab); i != none {
			return fmt.Errorf("row %d was taken for a header, for it has a name that is known, but %q in it looks like data: say --no-header if it is, else name the columns (--text-column, --label-column)",
				first.line, head(first.cells[i].text, longestName))
		}
	case c.names == nil && !opt.NoHeader:
		if why := c.looksLikeHeader(first, below); why != "" {
			names := make([]string, len(first.cells))
			for i, cell := range first.cells {
				names[i] = cell.text
			}
			return fmt.Errorf("row %d (%s) looks like a header: %s; name the columns with --text-column and --label-column, or say --no-header if it is data",
				first.line, strings.Join(names, ", "), why)
		}
	}
	return nil
}

// looksLikeHeader says why the first row must name columns, "" where nothing says so: all its cells may be names, and one of
// them fits its column badly.
func (c *columns) looksLikeHeader(first row, below []row) string {
	seen := map[string]bool{}
	for _, cell := range first.cells {
		name := strings.TrimSpace(cell.text)
		if name != "" && (!columnName.MatchString(name) || tag.MatchString(name) || len([]rune(name)) > longestName || seen[name]) {
			return ""
		}
		seen[name] = true
	}
	for i, cell := range first.cells {
		values := columnOf(below, i)
		if cell.text != "" && !isNumber(cell.text) && len(values) > 0 && allNumbers(values) {
			return fmt.Sprintf("below %q are numbers only", cell.text)
		}
	}
	if c.lab == none || c.lab >= len(first.cells) {
		return ""
	}
	values := columnOf(below, c.lab)
	different := map[string]bool{}
	for _, v := range values {
		different[v] = true
	}
	if name := first.cells[c.lab].text; !different[name] && 2*len(different) <= len(values) {
		return fmt.Sprintf("the label %q comes nowhere else, and the %d others do again and again", name, len(different))
	}
	return ""
}

// looksLikeData returns the first cell that names no column: a number, a text of several words, or a value that the label's
// column has again.
func looksLikeData(first row, below []row, lab int) int {
	for i, cell := range first.cells {
		if isNumber(cell.text) || len(strings.Fields(cell.text)) >= dataWords {
			return i
		}
		if i != lab || cell.text == "" {
			continue
		}
		for _, v := range columnOf(below, i) {
			if v == cell.text {
				return i
			}
		}
	}
	return none
}

// columnOf returns the values of a column that has one in each row, nil for one that hasn't.
func columnOf(rows []row, i int) []string {
	out := make([]string, 0, len(rows))
	for _, r := range rows {
		if i >= len(r.cells) {
			return nil
		}
		out = append(out, r.cells[i].text)
	}
	return out
}

func isNumber(s string) bool {
	x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return err == nil && !math.IsNaN(x) && !math.IsInf(x, 0) // a column may be called nan, or inf
}

func allNumbers(values []string) bool {
	for _, v := range values {
		if !isNumber(v) {
			return false
		}
	}
	return true
}
