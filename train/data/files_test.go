package data

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folder writes files into a new folder, and returns it.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		write(t, dir, name, content)
	}
	return dir
}

func TestFiles(t *testing.T) {
	dir := folder(t, map[string]string{"b-2.tsv": "", "b-1.tsv": "", "a,c.tsv": "", "x[1].tsv": "", "a": ""})
	t.Chdir(dir)
	for _, c := range []struct{ in, want string }{
		{"b-1.tsv", "b-1.tsv"},
		{"b-*.tsv", "b-1.tsv b-2.tsv"},
		{"b-2.tsv,b-1.tsv", "b-2.tsv b-1.tsv"},
		{"a,b-?.tsv", "a b-1.tsv b-2.tsv"},
		{"a,c.tsv", "a,c.tsv"},   // a file's own name wins
		{"x[1].tsv", "x[1].tsv"}, // so here
		{"-", "-"},
	} {
		got, err := Files(c.in)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, %v", c.in, got, err)
		}
	}
	for in, want := range map[string]string{"no.tsv": "no such file", "no-*.tsv": "no-*.tsv: no file has such a name", "a,a": "a is given twice", "[": "syntax error", "a,": "no such file"} {
		if _, err := Files(in); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "data: ") {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestReadAll(t *testing.T) {
	dir := folder(t, map[string]string{
		"1.tsv": "text\tlabel\na\t1\nb\t0\n", "2.csv": "label,text\n1,\"c, d\"\n", "3.jsonl": `{"label": 0, "text": "e"}` + "\n",
		"other.tsv": "sentence\tlabel\na\t1\n", "score.tsv": "text\tlabel\nx\tn.a.\n",
	})
	set, err := ReadAll([]string{filepath.Join(dir, "1.tsv") + "," + filepath.Join(dir, "2.csv"), filepath.Join(dir, "*.jsonl")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ex := range set.Examples {
		got = append(got, strings.TrimPrefix(set.Where(ex), dir+string(filepath.Separator))+" "+ex.Text+" "+ex.Label)
	}
	if want := []string{"1.tsv:2 a 1", "1.tsv:3 b 0", "2.csv:2 c, d 1", "3.jsonl:1 e 0"}; !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if set.Path != filepath.Join(dir, "1.tsv")+" and 2 other files" || set.Columns() != "text from text, label from label" || set.Format != "tsv" {
		t.Errorf("%s, %s, %s", set.Path, set.Columns(), set.Format)
	}
	// Errors name the file that an example is from.
	set, err = ReadAll([]string{filepath.Join(dir, "1.tsv"), filepath.Join(dir, "score.tsv")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Scores(); err == nil || !strings.Contains(err.Error(), "score.tsv:2: ") {
		t.Errorf("%v", err)
	}
	l, err := NewLabels([]string{"0", "1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.IDs(set); err == nil || !strings.Contains(err.Error(), "score.tsv:2: ") {
		t.Errorf("%v", err)
	}
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{nil, "no file is given"},
		{[]string{filepath.Join(dir, "1.tsv"), filepath.Join(dir, "other.tsv")}, "are unlike: text from text, label from label in one, text from sentence, label from label in the other; say which with --text-column"},
		{[]string{filepath.Join(dir, "1.tsv"), filepath.Join(dir, "none.tsv")}, "no such file"},
	} {
		if _, err := ReadAll(c.paths, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.paths, err)
		}
	}
}

// A file's format follows its own name, whatever the run's was.
func TestOptionsFor(t *testing.T) {
	run := Options{Format: "tsv", TextColumn: "2", LabelColumn: "1", NoHeader: true}
	for _, c := range []struct {
		path string
		in   Options
		want Options
	}{
		{"x.tsv", run, run},
		{"x.unknown", run, run},
		{"-", run, run},
		{"x.csv", run, Options{}},
		{"x.csv.gz", run, Options{}},
		{"x.csv", Options{Format: "tsv", TextColumn: "text", PairColumn: "-", LabelColumn: "label", Latin1: true}, Options{TextColumn: "text", PairColumn: "-", LabelColumn: "label", Latin1: true}},
		{"x.csv", Options{TextColumn: "2"}, Options{TextColumn: "2"}},
	} {
		if got := c.in.For(c.path); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.path, got, c.want)
		}
	}
	path := write(t, t.TempDir(), "x.csv", "label,text\npos,\"one, two\"\nneg,\"he said \"\"no\"\"\"\npos,plain\nneg,\"two\nlines\"\n")
	set, err := Read(path, Options{Format: "tsv", TextColumn: "text", LabelColumn: "label"}.For(path))
	if err != nil || len(set.Examples) != 4 || set.Examples[3].Text != "two\nlines" {
		t.Errorf("%+v, %v", set, err)
	}
}

// packed is content in gzip.
func packed(t *testing.T, content string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGzip(t *testing.T) {
	content := packed(t, "\ufefftext\tlabel\na\t1\nb\t0\n")
	for _, name := range []string{"x.tsv.gz", "x.tsv", "x.TSV.GZ"} {
		set, err := Read(write(t, t.TempDir(), name, content), Options{})
		if err != nil || len(set.Examples) != 2 || set.Format != "tsv" {
			t.Errorf("%s: %+v, %v", name, set, err)
		}
	}
	if _, err := Read(write(t, t.TempDir(), "x.tsv.gz", content[:len(content)-9]), Options{}); err == nil {
		t.Error("half an archive is accepted")
	}
	if _, err := Read(write(t, t.TempDir(), "x.gz", content), Options{}); err == nil || !strings.Contains(err.Error(), `extension ""`) {
		t.Errorf("%v", err)
	}
}

// Standard input has no name that says what it is.
func TestReadStdin(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func(stdin *os.File) { os.Stdin = stdin }(os.Stdin)
	os.Stdin = r
	if _, err := Read(Stdin, Options{}); err == nil || !strings.Contains(err.Error(), "data: standard input: say which format it has (--format): one of "+Formats()[0]+", ") {
		t.Errorf("%v", err)
	}
	parquet, err := os.ReadFile("testdata/parquet/null_element.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for format, content := range map[string]string{"csv": "text,label\na,1\nb,2\n", "parquet": string(parquet)} {
		if r, w, err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
		os.Stdin = r
		go func() {
			w.WriteString(content)
			w.Close()
		}()
		set, err := ReadAll([]string{Stdin}, Options{Format: format, NoLabel: true, TextColumn: "text"})
		if err != nil || len(set.Examples) != 2 || set.Where(set.Examples[0]) != "standard input:"+map[string]string{"csv": "2", "parquet": "1"}[format] {
			t.Errorf("%s: %+v, %v", format, set, err)
		}
	}
}
