package data

import (
	"slices"
	"strings"
	"testing"
)

func listed(path string, lists ...[]string) *Set {
	s := &Set{Path: path, LabelColumn: "label"}
	for i, l := range lists {
		s.Examples = append(s.Examples, Example{Text: path + string(rune('a'+i)), Labels: l, Row: i + 2})
	}
	return s
}

func TestCompareSets(t *testing.T) {
	texts := func(path string, pairs ...string) *Set { // text=label
		s := &Set{Path: path, LabelColumn: "label"}
		for i, p := range pairs {
			text, label, _ := strings.Cut(p, "=")
			s.Examples = append(s.Examples, Example{Text: text, Label: label, Row: i + 2})
		}
		return s
	}
	one := 1
	counted := texts("e", "x=1", "y=2")
	counted.LabelBase = &one
	for _, c := range []struct {
		name        string
		train, eval *Set
		labels      []string
		want        []string
	}{
		{"nothing to say", texts("t", "a=x", "b=y"), texts("e", "c=x"), []string{"x", "y"}, nil},
		{"no set to judge on", texts("t", "a=x", "b=y"), nil, []string{"x", "y"}, nil},
		{"a label of the judged set", texts("t", "a=x", "b=x"), texts("e", "c=x", "d=y", "e=y"), []string{"x", "y"},
			[]string{`no row of t has the label "y": nothing can be learned of it`, `the label "y", of 2 rows (3, 4) in e, is of none in t`}},
		{"a label by its number", texts("t", "a=x", "b=y"), counted, []string{"x", "y"}, nil},
		{"scores aren't labels", texts("t", "a=1.5"), texts("e", "c=2"), nil, nil},
		{"a text of both", texts("t", "a=x", "b=y"), texts("e", "c=x", " b =y"), []string{"x", "y"},
			[]string{"e: 1 of 2 texts are also in t, row 3: what is measured on them says little about other texts"}},
		{"one file for both", texts("t", "a=x", "b=y"), texts("t", "a=x", "b=y"), []string{"x", "y"},
			[]string{"t is trained on and judged on: what is measured says little about other texts"}},
		{"other labels for a text", texts("t", "a=x", "b=y", "a=y", "a=x"), nil, []string{"x", "y"}, []string{"t: a text that an earlier row has with another label: row 4"}},
		{"missing values", texts("t", "a=x", "b=nan", "c=nan", "d=NaN", "e=nan", "f=nan"), nil, nil,
			[]string{`t: the label "NaN", in row 5, is how a missing value is written`,
				`t: the label "nan", in 4 rows (the first are 3, 4, 6), is how a missing value is written`}},
		{"lists", listed("t", []string{"x", "y"}, []string{}), listed("e", []string{"y", "z"}), []string{"x", "y", "z"},
			[]string{`no row of t has the label "z": nothing can be learned of it`, `the label "z", of row 2 in e, is of none in t`}},
	} {
		if got := Compare(c.train, c.eval, c.labels); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

// Lists of labels, in every way in which a file may have them.
func TestReadLists(t *testing.T) {
	schema := &Schema{List: true}
	for _, c := range []struct {
		name, file, content string
		opt                 Options
		want                [][]string
		labels              []string
	}{
		{"commas in a quoted cell", "x.csv", "text,label\nt,\"praise, price\"\nu,\nv,price\n", Options{},
			[][]string{{"praise", "price"}, {}, {"price"}}, []string{"praise", "price"}},
		{"semicolons", "x.csv", "text,label\nt,praise;price\nu,praise\n", Options{}, [][]string{{"praise", "price"}, {"praise"}}, []string{"praise", "price"}},
		{"bars", "x.tsv", "text\tlabels\nt\tpraise|price\n", Options{}, [][]string{{"praise", "price"}}, []string{"praise", "price"}},
		{"JSON in a cell", "x.tsv", "text\tlabels\nt\t[\"a,b\", \"c\"]\nu\t[]\n", Options{}, [][]string{{"a,b", "c"}, {}}, []string{"a,b", "c"}},
		{"JSON", "x.jsonl", "{\"text\":\"t\",\"label\":[\"praise\",\"price\"]}\n{\"text\":\"u\",\"label\":[]}\n{\"text\":\"v\",\"label\":\"price\"}\n{\"text\":\"w\",\"label\":[7]}\n", Options{},
			[][]string{{"praise", "price"}, {}, {"price"}, {"7"}}, []string{"7", "praise", "price"}},
		{"a column for each", "x.csv", "id,text,toxic,obscene,threat\n1,t,1,0,0\n2,u,0,0.0,0\n3,v,1.0,True,0\n", Options{LabelColumn: "toxic,obscene, threat"},
			[][]string{{"toxic"}, {}, {"toxic", "obscene"}}, []string{"toxic", "obscene", "threat"}},
		{"a column for each, by number", "x.csv", "text,b,a\nt,1,1\n", Options{LabelColumn: "3,2"}, [][]string{{"a", "b"}}, []string{"a", "b"}},
		{"an object in JSON", "x.jsonl", "{\"text\":\"t\",\"is\":{\"a\":true,\"b\":false}}\n", Options{LabelColumn: "is.a,is.b"}, [][]string{{"is.a"}}, []string{"is.a", "is.b"}},
	} {
		c.opt.Schema = schema
		set, err := Read(write(t, t.TempDir(), c.file, c.content), c.opt)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got [][]string
		for _, ex := range set.Examples {
			got = append(got, ex.Labels)
		}
		if !slices.EqualFunc(got, c.want, func(a, b []string) bool { return a != nil && slices.Equal(a, b) }) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		l, err := ResolveListed(set, nil)
		if err != nil || !slices.Equal(l.Names(), c.labels) {
			t.Errorf("%s: labels %v, %v; want %q", c.name, l, err, c.labels)
		}
		again := c.opt // a run reads its columns as the set names them
		again.LabelColumn = set.LabelColumn
		if other, err := Read(set.Path, again); err != nil || other.Columns() != set.Columns() {
			t.Errorf("%s: read again as %q: %v", c.name, set.LabelColumn, err)
		}
	}
}

func TestReadListsRefuses(t *testing.T) {
	for _, c := range []struct {
		name, file, content string
		opt                 Options
		want                string
	}{
		{"a cut list", "x.csv", "text,label\nt,a\nu,\"[\"\"a\"\"\"\n", Options{}, `x.csv:3: column "label": ["a" is no JSON array`},
		{"Python's list", "x.tsv", "text\tlabel\nt\t['a', 'b']\n", Options{}, `x.tsv:2: column "label": ['a', 'b'] is no JSON array of strings or numbers`},
		{"a list in a list", "x.jsonl", "{\"text\":\"t\",\"label\":[[\"a\"]]}\n", Options{}, `x.jsonl:1: column "label": [["a"]] is no JSON array of strings`},
		{"an empty label", "x.jsonl", "{\"text\":\"t\",\"label\":[\"a\",\"\"]}\n", Options{}, `x.jsonl:1: column "label": a label in the list ["a",""] is empty`},
		{"nothing", "x.jsonl", "{\"text\":\"t\",\"label\":null}\n", Options{}, `x.jsonl:1: no value for "label"`},
		{"no label column", "x.csv", "text,toxic,threat\nt,1,0\n", Options{}, "or where each label has a column of 0s and 1s all of those, with commas, of text, toxic, threat"},
		{"neither 0 nor 1", "x.csv", "text,toxic,threat\nt,1,0\nu,-1,1\n", Options{LabelColumn: "toxic,threat"}, `x.csv:3: column "toxic": "-1" says neither`},
		{"an empty flag", "x.csv", "text,toxic,threat\nt,1,\n", Options{LabelColumn: "toxic,threat"}, `x.csv:2: column "threat": "" says neither`},
		{"a missing column", "x.csv", "text,toxic,threat\nt,1,0\n", Options{LabelColumn: "toxic,obscene"}, `"obscene": no such column; the file has text, toxic, threat`},
		{"a column twice", "x.csv", "text,toxic,threat\nt,1,0\n", Options{LabelColumn: "toxic,toxic"}, `"toxic" is given twice`},
		{"no header", "x.csv", "t,1,0\n", Options{TextColumn: "1", LabelColumn: "2,3", NoHeader: true}, "need a header that names them"},
	} {
		c.opt.Schema = &Schema{List: true}
		_, err := Read(write(t, t.TempDir(), c.file, c.content), c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "data: ") {
			t.Errorf("%s: %v\nwant %q", c.name, err, c.want)
		}
	}
	for _, c := range []struct {
		lists [][]string
		names []string
		want  string
	}{
		{[][]string{{"4.5"}, {"0.2"}}, nil, "scores rather than classes"},
		{[][]string{{"O", "B-PER"}}, nil, "tags of single words"},
		{[][]string{{}, {}}, nil, "holds no label at all"},
		{[][]string{{"1", "3"}, {"2"}}, []string{"a", "b", "c"}, "nothing says whether they count from 0 or from 1"},
		{[][]string{{"a"}}, []string{"a", "a"}, `"a" is given twice`},
	} {
		if _, err := ResolveListed(listed("x", c.lists...), c.names); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.lists, err, c.want)
		}
	}
}

func TestHot(t *testing.T) {
	l, err := NewListed([]string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Hot(listed("x", []string{"c", "a", "a"}, []string{}, []string{"1"}))
	want := [][]float32{{1, 0, 1}, {0, 0, 0}, {0, 1, 0}}
	if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if _, err := l.Hot(listed("x", []string{"a"}, []string{"d"})); err == nil || !strings.Contains(err.Error(), `x:3: unknown label "d"; known: a, b, c`) {
		t.Errorf("%v", err)
	}
}
