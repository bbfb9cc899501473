package data

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// none is the choice of no column.
const none = -1

// columns are the columns in use, as indices; pair and lab may be none.
type columns struct {
	names           []string // nil where the columns have no names
	header          bool     // the names are the first row
	asked           bool     // and a column was asked for by one of them
	width           int      // fields of a row; 0 where a row may have any number of them
	text, pair, lab int
	more            [2][]int // the columns that are joined to the text and to the second text, after them
	join            string
	labs            []int // where each label has a column of its own: their columns, of which lab is the first
	fields          []int // of the schema's fields, by their order there
	schema          *Schema
}

// The two texts, as indices of what columns has of each.
const theText, thePair = 0, 1

// label names a column for the reader: its name, or its number from 1.
func (c *columns) label(i int) string {
	switch {
	case i == none:
		return ""
	case c.names != nil:
		return c.names[i]
	}
	return strconv.Itoa(i + 1)
}

// labels names the columns of a text, with commas.
func (c *columns) labels(first, which int) string {
	out := c.label(first)
	for _, i := range c.more[which] {
		out += "," + c.label(i)
	}
	return out
}

// inUse reports whether a column is.
func (c *columns) inUse(i int) bool {
	return c.isText(i) || i == c.lab || slices.Contains(c.labs, i) || slices.Contains(c.fields, i)
}

// isText reports whether a column is a text, or a part of one.
func (c *columns) isText(i int) bool {
	return i == c.text || i == c.pair || slices.Contains(c.more[theText], i) || slices.Contains(c.more[thePair], i)
}

// same reports whether the columns in use are.
func (c *columns) same(as *columns) bool {
	return c.text == as.text && c.pair == as.pair && c.lab == as.lab && slices.Equal(c.labs, as.labs) && slices.Equal(c.fields, as.fields) &&
		slices.Equal(c.more[theText], as.more[theText]) && slices.Equal(c.more[thePair], as.more[thePair])
}

// chooseColumns finds the columns that opt names, and guesses those that it doesn't.
func chooseColumns(f *format, t *table, opt Options) (*columns, error) {
	c := &columns{names: t.names, text: none, pair: none, lab: none, schema: opt.Schema, join: opt.Join}
	if c.join == "" {
		c.join = " "
	}
	opt.NoLabel = opt.NoLabel || opt.Schema.textsAlone()
	switch {
	case t.names != nil:
	case f.columns != nil:
		c.names = f.columns
	case !opt.NoHeader && isHeader(t.rows[0], opt):
		c.header, c.asked = true, asksByName(opt)
		for _, cell := range t.rows[0].cells {
			c.names = append(c.names, strings.TrimSpace(cell.text))
		}
	}
	width := len(c.names)
	if c.names == nil {
		width = usualWidth(t.rows)
	}
	if t.names == nil && f.columns == nil {
		c.width = width
	}
	for _, want := range []struct {
		what, flag, name string
		to               *int
		more             *[]int
	}{
		{"text", "text-column", opt.TextColumn, &c.text, &c.more[theText]},
		{"second text", "pair-column", opt.PairColumn, &c.pair, &c.more[thePair]},
		{"label", "label-column", opt.LabelColumn, &c.lab, nil},
	} {
		if want.name == "" || want.name == "-" {
			continue
		}
		i, err := c.find(want.name, width)
		switch {
		case err == nil || !strings.Contains(want.name, ","):
		case want.more != nil:
			i, *want.more, err = c.findJoined(want.name, width)
		case opt.Schema.list():
			i, err = c.findEach(want.name, width)
		}
		if err != nil {
			return nil, fmt.Errorf("%s column %q: %w", want.what, want.name, err)
		}
		*want.to = i
	}
	if opt.NoLabel {
		c.lab, c.labs = none, nil
	}
	if opt.Schema.words() && (c.more[theText] != nil || c.more[thePair] != nil) {
		return nil, fmt.Errorf("text column %q: a text in words can't be joined of several columns", opt.TextColumn)
	}
	if c.names == nil {
		return c, c.guessNumbers(t, opt, width)
	}
	if err := c.guessNames(opt); err != nil {
		return nil, err
	}
	return c, c.guessFields(opt)
}

// guessFields finds the schema's further columns by their names.
func (c *columns) guessFields(opt Options) error {
	for _, f := range opt.Schema.fields() {
		at := none
		for _, name := range f.Columns {
			if at == none {
				at = c.has(name)
			}
		}
		if at == none && f.Required && !opt.NoLabel {
			return fmt.Errorf("no column %s; the file has %s", strings.Join(f.Columns, " or "), strings.Join(c.names, ", "))
		}
		c.fields = append(c.fields, at)
	}
	return nil
}

// usualWidth is the number of fields that most rows have, that of the first of them where several are as frequent.
func usualWidth(rows []row) int {
	count, best := map[int]int{}, len(rows[0].cells)
	for _, r := range rows {
		count[len(r.cells)]++
	}
	for _, r := range rows {
		if n := len(r.cells); count[n] > count[best] {
			best = n
		}
	}
	return best
}

// asksByName reports whether a column is asked for by a name that is no number.
func asksByName(opt Options) bool {
	for _, names := range []string{opt.TextColumn, opt.PairColumn, opt.LabelColumn} {
		for name := range strings.SplitSeq(names, ",") {
			if _, err := strconv.Atoi(strings.TrimSpace(name)); err != nil && name != "" && name != "-" {
				return true
			}
		}
	}
	return false
}

// wants reports whether a column of that name is looked for.
func (opt Options) wants(name string) bool {
	for _, names := range []string{opt.TextColumn, opt.PairColumn, opt.LabelColumn} {
		for asked := range strings.SplitSeq(names, ",") {
			if strings.EqualFold(strings.TrimSpace(asked), name) {
				return true
			}
		}
		if strings.EqualFold(names, name) {
			return true
		}
	}
	return opt.Schema.known(strings.ToLower(name))
}

// isHeader reports whether the first row names columns: a column is asked for by a name
// that is no number, or the row holds a name that is known.
func isHeader(first row, opt Options) bool {
	return asksByName(opt) || slices.ContainsFunc(first.cells, func(c cell) bool { return opt.Schema.known(strings.ToLower(strings.TrimSpace(c.text))) })
}

// findJoined finds columns by names with commas between them: the first, and the others.
func (c *columns) findJoined(names string, width int) (int, []int, error) {
	var all []int
	for name := range strings.SplitSeq(names, ",") {
		i, err := c.find(strings.TrimSpace(name), width)
		if err != nil {
			return none, nil, fmt.Errorf("%q: %w", name, err)
		}
		if slices.Contains(all, i) {
			return none, nil, fmt.Errorf("%q is given twice", name)
		}
		all = append(all, i)
	}
	return all[0], all[1:], nil
}

// find returns the index of the column that name names; a number that is no name counts
// columns from 1.
func (c *columns) find(name string, width int) (int, error) {
	for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
		found := none
		for i, n := range c.names {
			if !same(n, name) {
				continue
			}
			if found != none {
				return none, fmt.Errorf("the header has it twice; give its number instead")
			}
			found = i
		}
		if found != none {
			return found, nil
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= width {
		return n - 1, nil
	}
	if c.names == nil {
		return none, fmt.Errorf("the file has no header, so a column is a number from 1 to %d", width)
	}
	return none, fmt.Errorf("no such column; the file has %s", strings.Join(c.names, ", "))
}

// findEach finds the columns that stand for one label each, and returns the first.
func (c *columns) findEach(names string, width int) (int, error) {
	if c.names == nil {
		return none, fmt.Errorf("columns that stand for a label each need a header that names them")
	}
	first, others, err := c.findJoined(names, width)
	if err == nil {
		c.labs = append([]int{first}, others...)
	}
	return first, err
}

// labelNames are the names of the columns that stand for one label each, nil where there are none.
func (c *columns) labelNames() []string {
	var out []string
	for _, at := range c.labs {
		out = append(out, c.label(at))
	}
	return out
}

// labelColumn is what the options call the label's column, or columns.
func (c *columns) labelColumn() string {
	if c.labs == nil {
		return c.label(c.lab)
	}
	return strings.Join(c.labelNames(), ",")
}

// has returns the index of a known name, none if it is absent or is already in use.
func (c *columns) has(name string) int {
	i, err := c.find(name, len(c.names))
	if name == "" || err != nil || c.inUse(i) {
		return none
	}
	return i
}

// guessNames finds the columns that weren't asked for by their names.
func (c *columns) guessNames(opt Options) error {
	for _, k := range opt.Schema.texts() {
		if c.text != none {
			break
		}
		i, j := c.has(k.Text), c.has(k.Pair)
		if i == none || k.Pair != "" && j == none {
			continue
		}
		c.text = i
		if opt.PairColumn == "" {
			c.pair = j
		}
	}
	if c.text == none {
		return fmt.Errorf("no column is known to hold the text; say which (--text-column) of %s", strings.Join(c.names, ", "))
	}
	for _, name := range opt.Schema.labels() {
		if c.lab == none && !opt.NoLabel {
			c.lab = c.has(name)
		}
	}
	if c.lab == none && !opt.NoLabel && !opt.Schema.unlabelled() {
		several := ""
		if opt.Schema.list() && !opt.Schema.words() {
			several = ", or where each label has a column of 0s and 1s all of those, with commas,"
		}
		return fmt.Errorf("no column is known to hold the label; say which (--label-column)%s of %s", several, strings.Join(c.names, ", "))
	}
	return nil
}

// guessNumbers finds the columns of a file without a header. That is safe with one
// column, and with two of which one holds few values, often repeated, as labels do.
func (c *columns) guessNumbers(t *table, opt Options, width int) error {
	if c.text != none && (c.lab != none || opt.NoLabel) {
		return nil
	}
	if c.text == none && c.pair == none && c.lab == none && width == 1 && opt.NoLabel {
		c.text = 0
		return nil
	}
	if width == 2 && c.pair == none {
		switch {
		case c.text != none:
			c.lab = 1 - c.text
			return nil
		case c.lab != none:
			c.text = 1 - c.lab
			return nil
		}
		if i := labelLike(t.rows); i != none {
			c.text = 1 - i
			if !opt.NoLabel {
				c.lab = i
			}
			return nil
		}
	}
	first := make([]string, 0, width)
	for i, cell := range t.rows[0].cells {
		first = append(first, fmt.Sprintf("%d: %q", i+1, head(cell.text, 30)))
	}
	need := "--text-column and --label-column"
	if opt.NoLabel {
		need = "--text-column"
	}
	return fmt.Errorf("the file has no header, so say by number which columns hold what (%s), or by name if the first row is one; row %d has %s",
		need, t.rows[0].line, strings.Join(first, ", "))
}

// labelLike returns which of two columns has few distinct values, at most one in five
// rows and fewer than the other column; none if neither.
func labelLike(rows []row) int {
	var distinct [2]map[string]bool
	for i := range distinct {
		distinct[i] = map[string]bool{}
		for _, r := range rows {
			if i < len(r.cells) {
				distinct[i][r.cells[i].text] = true
			}
		}
	}
	i := 0
	if len(distinct[1]) < len(distinct[0]) {
		i = 1
	}
	if len(distinct[i]) == len(distinct[1-i]) || len(distinct[i])*5 > len(rows) {
		return none
	}
	return i
}

// head returns s, cut to n runes.
func head(s string, n int) string {
	if rs := []rune(s[:min(len(s), (n+1)*utf8.UTFMax)]); len(rs) > n {
		return string(rs[:n]) + "…"
	}
	return s
}

// example takes the columns in use from a row.
func (c *columns) example(r row) (Example, error) {
	ex := Example{Row: r.line, HasPair: c.pair != none}
	text, err := c.cell(r, c.text)
	if err != nil {
		return ex, err
	}
	if !c.schema.words() {
		if ex.Text, err = c.joined(r, text.text, theText); err != nil {
			return ex, err
		}
	} else {
		if ex.Words, err = text.items(strings.Fields); err != nil {
			return ex, c.wrong(r, c.text, err)
		}
	}
	if c.pair != none {
		pair, err := c.cell(r, c.pair)
		if err != nil {
			return ex, err
		}
		if ex.Pair, err = c.joined(r, pair.text, thePair); err != nil {
			return ex, err
		}
	}
	for i, at := range c.fields {
		if at == none || at >= len(r.cells) || !r.cells[at].ok {
			continue
		}
		if ex.Fields == nil {
			ex.Fields = map[string][]string{}
		}
		list := r.cells[at].list
		if list == nil {
			list = []string{r.cells[at].text}
		}
		ex.Fields[c.schema.Fields[i].Name] = list
	}
	if c.lab == none {
		return ex, nil
	}
	return ex, c.labelOf(r, &ex)
}

// joined puts the further columns of a text behind its first. Empty ones add nothing.
func (c *columns) joined(r row, text string, which int) (string, error) {
	for _, at := range c.more[which] {
		further, err := c.cell(r, at)
		if err != nil {
			return "", err
		}
		if text != "" && further.text != "" {
			text += c.join
		}
		text += further.text
	}
	return text, nil
}

// fits refuses a row that has another number of fields than the columns are: what is in them may have moved. Empty fields
// behind the last column are passed over.
func (c *columns) fits(r *row) error {
	if c.width == 0 || len(r.cells) == c.width {
		return nil
	}
	for len(r.cells) > c.width && strings.TrimSpace(r.cells[len(r.cells)-1].text) == "" {
		r.cells = r.cells[:len(r.cells)-1]
	}
	if len(r.cells) == c.width {
		return nil
	}
	for _, at := range append([]int{c.text, c.pair, c.lab}, slices.Concat(c.more[theText], c.more[thePair])...) {
		if at != none && at >= len(r.cells) {
			_, err := c.cell(*r, at)
			return err
		}
	}
	of := "other rows have"
	if c.header {
		of = "the header has"
	}
	return &lineError{r.line, fmt.Sprintf("%d fields where %s %d", len(r.cells), of, c.width)}
}

// cell returns a column's field of a row, which must be there.
func (c *columns) cell(r row, at int) (cell, error) {
	if at >= len(r.cells) && c.width > 0 {
		return cell{}, &lineError{r.line, fmt.Sprintf("%d fields, so none for column %q", len(r.cells), c.label(at))}
	}
	if at >= len(r.cells) || !r.cells[at].ok {
		return cell{}, &lineError{r.line, fmt.Sprintf("no value for %q", c.label(at))}
	}
	return r.cells[at], nil
}

func (c *columns) wrong(r row, at int, err error) error {
	return &lineError{r.line, fmt.Sprintf("column %q: %v", c.label(at), err)}
}

// labelOf reads the row's label.
func (c *columns) labelOf(r row, ex *Example) error {
	if c.labs != nil {
		return c.flags(r, ex)
	}
	lab, err := c.cell(r, c.lab)
	if err != nil {
		return err
	}
	if c.schema.list() {
		parted := partLabels
		if c.schema.words() {
			parted = strings.Fields
		}
		if ex.Labels, err = lab.items(parted); err != nil {
			return c.wrong(r, c.lab, err)
		}
		if slices.Contains(ex.Labels, "") {
			return c.wrong(r, c.lab, fmt.Errorf("a label in the list %s is empty", head(lab.text, 40)))
		}
		return nil
	}
	if lab.list != nil {
		return &lineError{r.line, fmt.Sprintf("the label in column %q is a list, %s; for several labels a text the task is multi-label, for one a word token-classification", c.label(c.lab), head(lab.text, 40))}
	}
	if ex.Label = strings.TrimSpace(lab.text); ex.Label == "" {
		return &lineError{r.line, fmt.Sprintf("the label in column %q is empty", c.label(c.lab))}
	}
	return nil
}

// flags reads the row's labels from the columns that stand for one each.
func (c *columns) flags(r row, ex *Example) error {
	ex.Labels = []string{}
	for _, at := range c.labs {
		cell, err := c.cell(r, at)
		if err != nil {
			return err
		}
		switch strings.ToLower(strings.TrimSpace(cell.text)) {
		case "1", "1.0", "true":
			ex.Labels = append(ex.Labels, c.label(at))
		case "0", "0.0", "false":
		default:
			return c.wrong(r, at, fmt.Errorf("%q says neither that the text has the label nor that it hasn't; want 1 or 0", head(cell.text, 40)))
		}
	}
	return nil
}
