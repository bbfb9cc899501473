package data

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// twenty rows of a file, the given ones otherwise.
func twenty(header, format string, other map[int]string) string {
	out := header
	for i := range 20 {
		line, ok := other[i]
		if !ok {
			line = fmt.Sprintf(format, i, i%2)
		}
		out += line + "\n"
	}
	return out
}

// Bad rows are passed over, counted and named, as long as they are few; strictly none is.
func TestBadRows(t *testing.T) {
	const tsv = "text %d\t%d"
	for _, c := range []struct{ name, file, content, want string }{
		{"few fields", "x.tsv", twenty("text\tlabel\n", tsv, map[int]string{3: "alone"}), `x.tsv:5: 1 fields, so none for column "label"`},
		{"many fields", "x.tsv", twenty("text\tlabel\n", tsv, map[int]string{3: "a\tb\t1"}), "x.tsv:5: 3 fields where the header has 2"},
		{"many fields, no header", "x.tsv", twenty("", tsv, map[int]string{3: "a\tb\t1"}), "x.tsv:4: 3 fields where other rows have 2"},
		{"few fields, none in use", "x.csv", twenty("text,label,more\n", "text %d,%d,x", map[int]string{3: "a,1"}), "x.csv:5: 2 fields where the header has 3"},
		{"empty label", "x.csv", twenty("text,label\n", "text %d,%d", map[int]string{3: "a, "}), `x.csv:5: the label in column "label" is empty`},
		{"no JSON", "x.jsonl", twenty("", `{"text": "text %d", "label": %d}`, map[int]string{3: "{"}), "x.jsonl:4: not a JSON object"},
		{"null", "x.jsonl", twenty("", `{"text": "text %d", "label": %d}`, map[int]string{3: `{"text": null, "label": 1}`}), `x.jsonl:4: no value for "text"`},
		{"no first label", "x.jsonl", twenty("", `{"text": "text %d", "label": %d}`, map[int]string{0: `{"text": "a"}`}), `x.jsonl:1: no value for "label"`},
		{"a list", "x.jsonl", twenty("", `{"text": "text %d", "label": %d}`, map[int]string{3: `{"text": "a", "label": ["x", "y"]}`}), `x.jsonl:4: the label in column "label" is a list`},
		{"no label", "x.label", twenty("", "L%[2]d text %[1]d", map[int]string{3: "alone"}), "x.label:4: no space between a label and a text"},
	} {
		path := write(t, t.TempDir(), c.file, c.content)
		opt := Options{}
		if !strings.HasPrefix(c.content, "text\t") && c.file == "x.tsv" {
			opt = Options{TextColumn: "1", LabelColumn: "2"}
		}
		set, err := Read(path, opt)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(set.Examples) != 19 || set.Skipped != 1 || len(set.Bad) != 1 || !strings.Contains(set.Bad[0].Error(), c.want) ||
			!strings.HasPrefix(set.SkippedText(), path+": 1 of 20 rows are bad and were passed over: "+path) {
			t.Errorf("%s: %d examples, %s; want %q", c.name, len(set.Examples), set.SkippedText(), c.want)
		}
		opt.Strict = true
		var bad *RowError
		if _, err := Read(path, opt); !errors.As(err, &bad) || bad.Path != path || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "rows are bad") {
			t.Errorf("%s, strictly: %v", c.name, err)
		}
	}
}

func TestManyBadRows(t *testing.T) {
	bad := map[int]string{4: "a", 9: "b"}
	path := write(t, t.TempDir(), "x.tsv", twenty("text\tlabel\n", "text %d\t%d", bad))
	set, err := Read(path, Options{})
	if err != nil || set.Skipped != 2 {
		t.Errorf("two of twenty: %+v, %v", set, err)
	}
	bad[12] = "c"
	path = write(t, t.TempDir(), "x.tsv", twenty("text\tlabel\n", "text %d\t%d", bad))
	if _, err = Read(path, Options{}); err == nil || !strings.Contains(err.Error(), `x.tsv:6: 1 fields, so none for column "label" (3 of 20 rows are bad)`) {
		t.Errorf("three of twenty: %v", err)
	}
	s := &Set{Path: "x", Examples: make([]Example, 100)}
	for i := range 8 {
		s.bad(&RowError{"x", i, "why"})
	}
	if got := s.SkippedText(); !strings.Contains(got, "8 of 108 rows") || !strings.HasSuffix(got, "x:4: why; and 3 more") {
		t.Error(got)
	}
}

// Fields behind the last column are no rows of another shape where they are empty.
func TestTrailingFields(t *testing.T) {
	set, err := Read(write(t, t.TempDir(), "x.csv", "text,label\na,1,\nb,0,,\n"), Options{Strict: true})
	if err != nil || len(set.Examples) != 2 {
		t.Errorf("%+v, %v", set, err)
	}
}

// A first row that is a header under unknown names, or data with a known one, is asked about.
func TestHeaderDoubts(t *testing.T) {
	rows := ""
	for i := range 20 {
		rows += fmt.Sprintf("a film, %d\t%s\n", i, []string{"pos", "neg"}[i%2])
	}
	numbers := strings.Repeat("a fine film\t1\t3.5\na dull one\t0\t2\n", 6)
	for _, c := range []struct {
		name, content string
		opt           Options
		want          string // "" where nothing is asked
	}{
		{"unknown names", "phrase\tpolarity\n" + rows, Options{}, `row 1 (phrase, polarity) looks like a header: the label "polarity" comes nowhere else, and the 2 others do again and again; name the columns with --text-column and --label-column, or say --no-header`},
		{"unknown names, numbered", "phrase\tpolarity\n" + rows, Options{TextColumn: "1", LabelColumn: "2"}, "looks like a header"},
		{"unknown names over numbers", "phrase\tpolarity\tweight\n" + numbers, Options{TextColumn: "1", LabelColumn: "2"}, `looks like a header: below "polarity" are numbers only`},
		{"they are named", "phrase\tpolarity\n" + rows, Options{TextColumn: "phrase", LabelColumn: "polarity"}, ""},
		{"it is data", "phrase\tpolarity\n" + rows, Options{NoHeader: true}, ""},
		{"a rare label", "what a mess, all of it, to the last\tmixed\n" + rows, Options{}, ""},
		{"a short text", "fine\tpos\n" + rows, Options{}, ""},
		{"data with a known name", "the sentence is long and has words\ttarget\n" + rows, Options{LabelColumn: "2", TextColumn: "1"}, `row 1 was taken for a header, for it has a name that is known, but "the sentence is long and has words" in it looks like data: say --no-header if it is`},
		{"a label with a known name", "ok\tclass\n" + strings.Repeat("good\tclass\nbad\tscore\n", 4), Options{TextColumn: "1", LabelColumn: "2"}, `but "class" in it looks like data`},
		{"a known name over data", "text\tlabel\n" + rows, Options{}, ""},
		{"an index without a name", "\ttext\tlabel\n" + strings.Repeat("1\tgood\tpos\n2\tbad\tneg\n", 4), Options{}, ""},
		{"few rows", "phrase\tpolarity\na\tb\nc\tb\n", Options{TextColumn: "1", LabelColumn: "2"}, ""},
	} {
		_, err := Read(write(t, t.TempDir(), "x.tsv", c.content), c.opt)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %q", c.name, err, c.want)
		}
	}
}

func TestJoinedColumns(t *testing.T) {
	const content = "title,body,q,label\nT,B,Q,1\n,B,Q,0\nT,,Q,1\n"
	for _, c := range []struct {
		opt     Options
		texts   string
		columns string
	}{
		{Options{TextColumn: "title,body"}, "T B|B|T", "text from title and body, label from label"},
		{Options{TextColumn: "title, body", Join: ". "}, "T. B|B|T", `text from title and body (joined by ". "), label from label`},
		{Options{TextColumn: "body,1"}, "B T|B|T", "text from body and title, label from label"},
		{Options{TextColumn: "q", PairColumn: "title,body"}, "Q/T B|Q/B|Q/T", "text from q, second text from title and body, label from label"},
	} {
		set, err := Read(write(t, t.TempDir(), "x.csv", content), c.opt)
		if err != nil {
			t.Errorf("%+v: %v", c.opt, err)
			continue
		}
		var got []string
		for _, ex := range set.Examples {
			text := ex.Text
			if ex.HasPair {
				text += "/" + ex.Pair
			}
			got = append(got, text)
		}
		if strings.Join(got, "|") != c.texts || set.Columns() != c.columns {
			t.Errorf("%+v: %q, %s", c.opt, got, set.Columns())
		}
		// What the set says can be asked for.
		again, err := Read(write(t, t.TempDir(), "x.csv", content), Options{TextColumn: set.TextColumn, PairColumn: set.PairColumn, LabelColumn: set.LabelColumn, Join: set.Join})
		if err != nil || again.Columns() != set.Columns() {
			t.Errorf("%s: %v", set.TextColumn, err)
		}
	}
	set, err := Read(write(t, t.TempDir(), "x.csv", "\"title,body\",label\nx,1\n"), Options{TextColumn: "title,body"})
	if err != nil || set.Examples[0].Text != "x" {
		t.Errorf("a name with a comma: %+v, %v", set, err)
	}
	for _, c := range []struct {
		opt  Options
		want string
	}{
		{Options{TextColumn: "title,none"}, `text column "title,none": "none": no such column; the file has title, body, q, label`},
		{Options{TextColumn: "title,title"}, "is given twice"},
		{Options{TextColumn: "title,body", Schema: &Schema{Words: true}}, "can't be joined"},
	} {
		if _, err := Read(write(t, t.TempDir(), "x.csv", content), c.opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.opt, err)
		}
	}
	set, err = Read(write(t, t.TempDir(), "x.tsv", strings.Repeat("1\tT\tB\n0\tU\tC\n", 5)), Options{TextColumn: "2,3", LabelColumn: "1"})
	if err != nil || set.Examples[1].Text != "U C" || set.Columns() != "text from columns 2 and 3, label from column 1" {
		t.Errorf("by number: %s, %v", set.Columns(), err)
	}
}

// Rows hands out what Read keeps, and goes on after a bad row.
func TestRows(t *testing.T) {
	path := write(t, t.TempDir(), "x.tsv", twenty("text\tlabel\n", "text %d\t%d", map[int]string{0: "a", 7: "b"}))
	for _, opt := range []Options{{}, {TextColumn: "text", LabelColumn: "label"}, {TextColumn: "text", NoLabel: true}} {
		set, err := Read(path, opt)
		if err != nil {
			t.Fatal(err)
		}
		var bad []int
		n := 0
		for ex, err := range Rows(path, opt) {
			var row *RowError
			if errors.As(err, &row) {
				bad = append(bad, ex.Row)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := set.Examples[n]; ex.Text != want.Text || ex.Label != want.Label || ex.Row != want.Row {
				t.Fatalf("%+v, want %+v", ex, want)
			}
			n++
		}
		if n != len(set.Examples) || len(bad) != set.Skipped || fmt.Sprint(bad) != "[2 9]" {
			t.Errorf("%+v: %d, bad %v; want %d, %d", opt, n, bad, len(set.Examples), set.Skipped)
		}
	}
	n := 0
	var last error
	for _, err := range Rows(path, Options{Strict: true}) {
		n, last = n+1, err
	}
	if n != 1 || last == nil {
		t.Errorf("strictly: %d rows, %v", n, last)
	}
	for ex, err := range Rows(path, Options{}) {
		if err == nil {
			if ex.Row != 3 {
				t.Errorf("row %d", ex.Row)
			}
			break
		}
	}
	for _, err := range Rows(filepath.Join(t.TempDir(), "none.tsv"), Options{}) {
		if err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("%v", err)
		}
	}
}

// Each row is answered as it comes where the columns are known.
func TestRowsAtOnce(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func(stdin *os.File) { os.Stdin = stdin }(os.Stdin)
	os.Stdin = r
	go io.WriteString(w, "text\tid\nfirst\t1\n")
	n := 0
	for ex, err := range Rows(Stdin, Options{Format: "tsv", TextColumn: "text", NoLabel: true}) {
		if err != nil || ex.Text != []string{"first", "second"}[n] {
			t.Fatalf("%+v, %v", ex, err)
		}
		if n++; n == 1 { // the second row isn't there before the first one has come
			io.WriteString(w, "second\t2\n")
			w.Close()
		}
	}
	if n != 2 {
		t.Errorf("%d rows", n)
	}
}

// A key that comes late and would have been a column is an error; another one isn't.
func TestLateColumns(t *testing.T) {
	path := write(t, t.TempDir(), "x.jsonl", `{"text": "a", "label": 1}`+"\n"+`{"text": "b", "label": 1, "more": 2}`+"\n"+`{"sentence1": "b", "sentence2": "c", "text": "d", "label": 1}`+"\n")
	var got []string
	for ex, err := range Rows(path, Options{TextColumn: "text", LabelColumn: "label"}) {
		got = append(got, fmt.Sprint(ex.Text, err))
	}
	if fmt.Sprint(got) != "[a<nil> b<nil> d<nil>]" {
		t.Error(got)
	}
	r := &rows{opt: Options{}, path: path, probe: 1, yield: func(Example, error) bool { return true }}
	if err := r.readFile(); err == nil || !strings.Contains(err.Error(), "x.jsonl:3: the column sentence1, sentence2 comes first in this row") {
		t.Errorf("%v", err)
	}
}

// Objects that share no keys take no more than their own size, and what is looked for is found beyond the limit.
func TestManyKeys(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "{\"key%d\": 1, \"text\": \"t\", \"deep\": {\"a\": {\"k%d\": 1}}}\n", i, i)
	}
	fmt.Fprintln(&b, `{"text": "last", "label": "x"}`)
	path := write(t, t.TempDir(), "x.jsonl", b.String())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	set, err := Read(path, Options{NoLabel: true})
	runtime.ReadMemStats(&after)
	if err != nil || len(set.Examples) != 5001 || set.Examples[5000].Text != "last" {
		t.Fatalf("%v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 200<<20 {
		t.Errorf("%d bytes of JSON took %d", b.Len(), n)
	}
	// The label is seen too late to be chosen, and that is said.
	if _, err := Read(path, Options{}); err == nil || !strings.Contains(err.Error(), "no column is known to hold the label") || !strings.HasSuffix(err.Error(), " rows)") {
		t.Errorf("%v", err)
	}
	deep := strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)
	if _, err := Read(write(t, t.TempDir(), "x.jsonl", `{"text": "t", "label": 1, "deep": `+deep+"}\n"), Options{}); err != nil {
		t.Error(err)
	}
}

// What a set keeps grows with its texts and little else, and rows that aren't kept take nothing.
func TestMemory(t *testing.T) {
	const n, text = 100_000, 200
	var b strings.Builder
	b.WriteString("text\tlabel\tmore\n")
	for i := range n {
		fmt.Fprintf(&b, "%0*d\tlabel%d\t%0*d\n", text, i, i%3, 3*text, i)
	}
	path := write(t, t.TempDir(), "x.tsv", b.String())
	b.Reset()
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	set, err := Read(path, Options{})
	if err != nil || len(set.Examples) != n {
		t.Fatal(err)
	}
	if took := live() - before; took > n*(text+160) {
		t.Errorf("%d examples of %d characters take %d each", n, text, took/n)
	}
	runtime.KeepAlive(set)
	set = nil
	before = live()
	rows, most := 0, uint64(0)
	for _, err := range Rows(path, Options{TextColumn: "text", LabelColumn: "label"}) {
		if err != nil {
			t.Fatal(err)
		}
		if rows++; rows%20_000 == 0 {
			most = max(most, live())
		}
	}
	if most > before+1<<20 {
		t.Errorf("%d bytes are kept while rows pass", most-before)
	}
}

// A text is as long as it is.
func TestLongLine(t *testing.T) {
	long := strings.Repeat("long ", 1<<20)
	for name, content := range map[string]string{"x.tsv": "text\tlabel\nshort\t1\n" + long + "\t1\nlast\t0\n", "x.txt": "short\n" + long + "\nlast\n"} {
		set, err := Read(write(t, t.TempDir(), name, content), Options{NoLabel: true})
		if err != nil || len(set.Examples) != 3 || set.Examples[1].Text != long || set.Examples[2].Text != "last" {
			t.Errorf("%s: %d examples, %v", name, len(set.Examples), err)
		}
	}
}
