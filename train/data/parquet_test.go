package data

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// everyColumn makes a field of each column that the fixtures have.
func everyColumn() *Schema {
	s := &Schema{}
	for _, name := range []string{"i8", "i64", "u32", "u64", "f32", "f64", "flag", "tags", "ids", "large", "answers.text", "answers.answer_start", "meta.deep.source"} {
		s.Fields = append(s.Fields, Field{Name: name, Columns: []string{name}})
	}
	return s
}

// plainly writes numbers in one way: JSON has 1.0 for what is 1 here.
func plainly(set *Set) {
	for _, ex := range set.Examples {
		for _, values := range ex.Fields {
			for i, v := range values {
				if x, err := strconv.ParseFloat(v, 64); err == nil && strings.Contains(v, ".") && !strings.Contains(v, "tag") {
					values[i] = strconv.FormatFloat(x, 'f', -1, 64)
				}
			}
		}
	}
}

// What pyarrow wrote in Parquet is what it says that it wrote.
func TestParquet(t *testing.T) {
	for file, rows := range map[string]string{"none": "kinds", "snappy": "kinds", "gzip": "kinds", "zstd": "kinds", "v2": "kinds", "plain": "kinds", "delta": "delta", "pages": "pages"} {
		opt := Options{Schema: everyColumn(), NoLabel: rows == "pages"}
		got, err := Read("testdata/parquet/"+file+".parquet", opt)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		want, err := Read("testdata/parquet/"+rows+".jsonl", opt)
		if err != nil {
			t.Fatal(err)
		}
		plainly(got)
		plainly(want)
		if len(got.Examples) != len(want.Examples) || got.Skipped != want.Skipped || rows == "kinds" && got.Skipped != 3 {
			t.Errorf("%s: %d rows, %d bad; want %d, %d", file, len(got.Examples), got.Skipped, len(want.Examples), want.Skipped)
			continue
		}
		for i, ex := range got.Examples {
			if !reflect.DeepEqual(ex, want.Examples[i]) {
				t.Errorf("%s: row %d:\n got %+v\nwant %+v", file, i+1, ex, want.Examples[i])
				break
			}
		}
		if got.Format != "parquet" || !got.Header || got.TextColumn != "text" {
			t.Errorf("%s: %s, %s", file, got.Format, got.Columns())
		}
	}
}

func TestParquetRefuses(t *testing.T) {
	for _, c := range []struct {
		file string
		opt  Options
		want string
	}{
		{"nested", Options{TextColumn: "people"}, `column "people" holds lists of structures, or maps`},
		{"nested", Options{TextColumn: "rows"}, `column "rows" holds lists of lists`},
		{"nested", Options{LabelColumn: "pairs"}, `column "pairs" holds lists of structures, or maps`},
		{"nested", Options{LabelColumn: "name"}, "no such column; the file has text, label, people, rows, pairs"},
		{"types", Options{LabelColumn: "when"}, `column "when" holds values of type TIMESTAMP`},
		{"types", Options{LabelColumn: "price"}, `column "price" holds values of type DECIMAL`},
		{"null_element", Options{TextColumn: "tags", NoLabel: true}, `column "tags" holds lists; a text is a string`},
		{"pages", Options{LabelColumn: "tags"}, `pages.parquet:1: the label in column "tags" is a list, []`},
		{"empty", Options{}, "no example"},
		{"null_element", Options{LabelColumn: "tags", Schema: &Schema{List: true}}, `null_element.parquet:1: column "tags": element 2 of the list is null`},
		{"brotli", Options{}, `column "text": compression 4 isn't read; have the file written with snappy, gzip or zstd`},
	} {
		_, err := Read("testdata/parquet/"+c.file+".parquet", c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %q", c.file, err, c.want)
		}
	}
	// What is beside a column that can't be read is.
	for _, file := range []string{"nested", "types"} {
		if _, err := Read("testdata/parquet/"+file+".parquet", Options{}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for name, content := range map[string]string{"nothing": "", "text": "text,label\nno parquet,1\n", "encrypted": "PAR1\x00\x00\x00\x00PARE", "long footer": "PAR1\xff\xff\xff\x7fPAR1"} {
		if _, err := Read(write(t, t.TempDir(), "x.parquet", content), Options{}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// A file whose bytes are wrong is an error, or is read, in memory that its size bounds.
func TestParquetDamaged(t *testing.T) {
	for _, file := range []string{"snappy", "v2", "delta", "null_element"} {
		raw, err := os.ReadFile("testdata/parquet/" + file + ".parquet")
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for i := 0; i < len(raw); i += 1 + len(raw)/80 {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				bad := bytes.Clone(raw)
				bad[i] ^= flip
				if _, err := readBounded(t, bad); err != nil {
					refused++
				}
			}
			if _, err := readBounded(t, raw[:i]); err == nil {
				t.Errorf("%s: %d bytes of it are accepted", file, i)
			}
		}
		if refused == 0 {
			t.Errorf("%s: no damage is noticed", file)
		}
	}
}

// readBounded reads a Parquet file, and fails if that takes more memory than the file's size allows.
func readBounded(t testing.TB, raw []byte) (*Set, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	set, err := ReadFrom(bytes.NewReader(raw), "x.parquet", Options{NoLabel: true, TextColumn: "text", Schema: everyColumn()})
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 100<<20+uint64(len(raw))<<10 {
		t.Fatalf("%d bytes of Parquet took %d", len(raw), n)
	}
	return set, err
}

// A text that a dictionary has once is kept once, however many rows have it.
func TestParquetDictionary(t *testing.T) {
	set, err := Read("testdata/parquet/repeated.parquet", Options{NoLabel: true})
	if err != nil || len(set.Examples) != 3000 {
		t.Fatal(err)
	}
	first := unsafe.StringData(set.Examples[0].Text)
	for _, ex := range set.Examples {
		if len(ex.Text) != 500 || unsafe.StringData(ex.Text) != first {
			t.Fatalf("row %d has a text of its own", ex.Row)
		}
	}
}

// A few bytes may ask for any amount of memory: each way to is refused by name.
func TestParquetBombs(t *testing.T) {
	left := int64(1 << 20)
	c := &pageCheck{fileSize: 1000, left: &left, maxDef: 1}
	runs := []byte{0xfe, 0xff, 0xff, 0xff, 0x0f, 1} // 2³¹−1 times a value
	sized := func(b []byte) []byte { return append([]byte{byte(len(b)), 0, 0, 0}, b...) }
	for name, h := range map[string]struct {
		head pageHeader
		body []byte
		want string
	}{
		"size":    {pageHeader{uncompressed: 1 << 31}, nil, "a page of 0 bytes that come to"},
		"values":  {pageHeader{values: 1 << 30}, nil, "a page of 1073741824 values"},
		"levels":  {pageHeader{values: 10, defEncoding: 3}, sized(runs), "a run of 2147483647 values in a page of 10"},
		"levels2": {pageHeader{kind: dataPageV2, values: 10, defBytes: 6, uncompressed: 6}, runs, "a run of 2147483647 values in a page of 10"},
		"indices": {pageHeader{values: 10, defEncoding: 3, encoding: 8}, append(sized(nil), append([]byte{1}, runs...)...), "a run of 2147483647"},
		"deltas":  {pageHeader{values: 10, defEncoding: 3, encoding: 5}, append(sized(nil), 0x80, 1, 4, 0xff, 0xff, 0x03), "differences of 65535 values in a page of 10"},
		"prefix":  {pageHeader{values: 10, defEncoding: 3, encoding: 7}, sized(nil), "encoding 7 isn't read"},
	} {
		if err := c.page(&h.head, h.body); err == nil || !strings.Contains(err.Error(), h.want) {
			t.Errorf("%s: %v; want %q", name, err, h.want)
		}
	}
	for name, s := range map[string]string{
		"long binary":   "\x18\xff\xff\xff\xff\x0f",
		"long list":     "\x19\xf5\xff\xff\xff\xff\x0f",
		"deep":          strings.Repeat("\x1c", 100),
		"deep lists":    "\x19" + strings.Repeat("\x19", 100),
		"unknown type":  "\x1e",
		"without end":   "\x15\x02",
		"large map":     "\x1b\xff\xff\xff\x0f\x55",
		"huge footer 2": "\x15",
	} {
		if err := (&thrift{bufio.NewReader(strings.NewReader(s)), int64(len(s))}).fields(0, nil); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func FuzzParquet(f *testing.F) {
	files, err := filepath.Glob("testdata/parquet/*.parquet")
	if err != nil || len(files) == 0 {
		f.Fatal(fmt.Errorf("no fixtures: %v", err))
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 1<<16 {
			return
		}
		set, err := readBounded(t, raw)
		if err == nil && len(set.Examples) == 0 {
			t.Fatal("no example and no error")
		}
	})
}
