package metric

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestEntitiesAreSeqevals(t *testing.T) {
	type spans struct {
		Scheme          Scheme
		Tags            string
		Lenient, Strict []string
	}
	for _, c := range load[spans](t, "entities.json", "spans") {
		for strict, want := range map[bool][]string{false: c.Lenient, true: c.Strict} {
			found, err := Reading{c.Scheme, strict}.Entities(strings.Fields(c.Tags))
			if err != nil {
				t.Fatal(err)
			}
			sameSpans(t, fmt.Sprintf("%s, strict %v: %s", c.Scheme, strict, c.Tags), found, want)
		}
	}
}

// TestTagsOfNoScheme has letters that no scheme has: seqeval's lenient mode warns and reads on.
func TestTagsOfNoScheme(t *testing.T) {
	type spans struct {
		Tags    string
		Lenient []string
	}
	for _, c := range load[spans](t, "entities.json", "odd") {
		found, err := Reading{Scheme: BIO}.Entities(strings.Fields(c.Tags))
		if err != nil {
			t.Fatal(err)
		}
		sameSpans(t, c.Tags, found, c.Lenient)
	}
}

func sameSpans(t *testing.T, what string, found []Span, want []string) {
	t.Helper()
	var got []string
	for _, s := range found {
		got = append(got, fmt.Sprintf("%s:%d:%d", s.Type, s.Start, s.End))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func sentences(joined []string) [][]string {
	var out [][]string
	for _, s := range joined {
		out = append(out, strings.Fields(s))
	}
	return out
}

func TestEntityScoresAreSeqevals(t *testing.T) {
	type comparison struct {
		Scheme          Scheme
		True, Pred      []string
		Lenient, Strict *EntityReport
	}
	schemes := map[Scheme]bool{}
	for i, c := range load[comparison](t, "entities.json", "scores") {
		schemes[c.Scheme] = true
		for strict, want := range map[bool]*EntityReport{false: c.Lenient, true: c.Strict} {
			if want == nil {
				continue
			}
			got, err := EntityScores(sentences(c.True), sentences(c.Pred), Reading{c.Scheme, strict})
			if err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("case %d, %s, strict %v", i, c.Scheme, strict)
			sameScore(t, what+" micro", got.Micro, want.Micro)
			sameScore(t, what+" macro", got.Macro, want.Macro)
			sameScore(t, what+" weighted", got.Weighted, want.Weighted)
			same(t, what+" accuracy", got.Accuracy, number(want.Accuracy))
			if len(got.Types) != len(want.Types) {
				t.Errorf("%s: types %v, want %v", what, got.Types, want.Types)
			}
			for kind := range want.Types {
				sameScore(t, what+" "+kind, got.Types[kind], want.Types[kind])
			}
		}
	}
	for _, s := range Schemes {
		if !schemes[s] {
			t.Errorf("scheme %s: no case in the fixture", s)
		}
	}
}

func TestNoEntitiesAtAll(t *testing.T) {
	for _, s := range [][][]string{nil, {{}}, {{"O", "O"}}} {
		got, err := EntityScores(s, s, Reading{Scheme: BIO})
		if err != nil || got.Micro != (Score{}) || got.Macro != (Score{}) || len(got.Types) != 0 {
			t.Errorf("%v: %v, %v; want zeros", s, got, err)
		}
	}
}

func TestSchemes(t *testing.T) {
	type set struct{ Tags, Scheme string }
	cases := load[set](t, "entities.json", "detect")
	// what seqeval doesn't detect
	cases = append(cases, set{"O I-A", "IOB1"}, set{"NOUN VERB", "plain"}, set{"O B-A NOUN", "plain"},
		set{"O", "plain"}, set{"O I-A S-A", "IOBES"},
		set{"B I O", "BIO"}, set{"B E I O S", "IOBES"}, set{"B I", "plain"}, set{"B O X", "plain"}, set{"B I O NOUN", "plain"})
	for _, c := range cases {
		want, err := ParseScheme(c.Scheme)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DetectScheme(strings.Fields(c.Tags)); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %s", c.Tags, got, err, want)
		}
	}
	for _, tags := range []string{"B-A E-A L-A", "O I-A E-A"} {
		if got, err := DetectScheme(strings.Fields(tags)); err == nil {
			t.Errorf("%s: %s without an error", tags, got)
		}
	}
	for tags, want := range map[string]string{"O B-A I-A": "", "O B I": "", "O B-A E-A": `"E-A" isn't of scheme BIO`, "O B-A Bad": `"Bad" isn't`, "O -A": `"-A" isn't`} {
		if err := BIO.Check(strings.Fields(tags)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", tags, err, want)
		}
	}
	if err := Plain.Check([]string{"NOUN", "B-A"}); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]Scheme{"bio": BIO, "iob2": BIO, "BIOES": IOBES, "PLAIN": Plain} {
		if got, err := ParseScheme(name); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %s", name, got, err, want)
		}
	}
	if _, err := ParseScheme("BMES"); err == nil || !strings.Contains(err.Error(), "BIO IOB1") {
		t.Errorf("BMES: error %v doesn't name the schemes", err)
	}
}

func TestWrongTags(t *testing.T) {
	for _, c := range []struct {
		r    Reading
		tags []string
		want string
	}{
		{Reading{BIO, true}, []string{"O", "S-A"}, `metric: token 1: tag "S-A" isn't of scheme BIO`},
		{Reading{BILOU, true}, []string{"B-A", "E-A"}, `token 1: tag "E-A"`},
		{Reading{IOBES, true}, []string{"NOUN"}, `token 0: tag "NOUN"`},
		{Reading{BIO, false}, []string{"O", ""}, "token 1: its tag is empty"},
		{Reading{"IOE", true}, []string{"O"}, `tag scheme "IOE": unknown`},
	} {
		if _, err := c.r.Entities(c.tags); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %q: error %v, want %q", c.r, c.tags, err, c.want)
		}
	}
	_, err := EntityScores([][]string{{"O"}, {"O", "O"}}, [][]string{{"O"}, {"O"}}, Reading{Scheme: BIO})
	if err == nil || !strings.Contains(err.Error(), "sentence 1: 2 true and 1 predicted tags") {
		t.Errorf("unequal sentences: %v", err)
	}
	_, err = EntityScores([][]string{{"O"}}, [][]string{{""}}, Reading{Scheme: BIO})
	if err == nil || !strings.Contains(err.Error(), "metric: sentence 0: predicted tags: token 0") {
		t.Errorf("empty predicted tag: %v", err)
	}
}
