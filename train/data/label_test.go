package data

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func setOf(labels ...string) *Set {
	s := &Set{Path: "x.tsv", LabelColumn: "label"}
	for i, l := range labels {
		s.Examples = append(s.Examples, Example{Text: "t", Label: l, Row: i + 2})
	}
	return s
}

func TestInferLabels(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{[]string{"pos", "neg", "pos"}, []string{"neg", "pos"}},
		{[]string{"10", "9", "-1"}, []string{"-1", "9", "10"}},
		{[]string{"10", "9", "x"}, []string{"10", "9", "x"}},
		{[]string{"1.0", "2.0"}, []string{"1.0", "2.0"}},
		{[]string{"a,b", "c"}, []string{"a,b", "c"}},
		{[]string{"B-side", "A-side"}, []string{"A-side", "B-side"}},
	} {
		l, err := InferLabels(setOf(c.in...))
		if err != nil || !slices.Equal(l.Names(), c.want) {
			t.Errorf("%q: %v, %v; want %q", c.in, l, err, c.want)
		}
	}
	if _, err := InferLabels(setOf("one", "one")); err == nil || !strings.Contains(err.Error(), `column "label" holds ["one"] only`) {
		t.Errorf("one class: %v", err)
	}
}

func TestLabelIDs(t *testing.T) {
	for _, c := range []struct {
		names, in []string
		want      []int64
	}{
		{[]string{"neg", "pos"}, []string{"pos", "neg", "1", "0"}, []int64{1, 0, 1, 0}},
		{[]string{"1", "0"}, []string{"0", "1"}, []int64{1, 0}}, // names win over positions
		{[]string{"neg", "pos"}, []string{"pos", "2"}, nil},
		{[]string{"neg", "pos"}, []string{"-1"}, nil},
		{[]string{"neg", "pos"}, []string{"Pos"}, nil},
		{[]string{"1", "2"}, []string{"0"}, nil}, // no position where names are numbers
		{[]string{"2", "x"}, []string{"1"}, nil},
	} {
		l, err := NewLabels(c.names)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.IDs(setOf(c.in...))
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%q of %q: %v, %v; want %v", c.in, c.names, got, err, c.want)
		}
		var unknown *UnknownLabelError
		if err != nil && (!errors.As(err, &unknown) || unknown.Row != len(c.in)+1 || !strings.Contains(err.Error(), "known: "+strings.Join(c.names, ", "))) {
			t.Errorf("%q of %q: %v", c.in, c.names, err)
		}
	}
}

func TestNewLabelsRefuses(t *testing.T) {
	for _, names := range [][]string{nil, {"a"}, {"a", "a"}, {"a", ""}} {
		if _, err := NewLabels(names); err == nil {
			t.Errorf("%q is accepted", names)
		}
	}
}

func TestScores(t *testing.T) {
	got, err := setOf("5.000", "-1", "3e-1").Scores()
	if err != nil || !slices.Equal(got, []float32{5, -1, 0.3}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"pos", "NaN", "inf", "1e99"} {
		if _, err := setOf("1", bad).Scores(); err == nil || !strings.Contains(err.Error(), "x.tsv:3") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What would train something else than was meant is refused, with what to say instead.
func TestInferLabelsRefuses(t *testing.T) {
	for _, c := range []struct {
		in         []string
		want, hint string
	}{
		{[]string{"4.75", "0.2", "3"}, "3 different numbers such as 0.2", "--task regression"},
		{[]string{"praise,price", "delivery", "price,delivery", "praise"}, `lists of labels such as "praise,price"`, "--task multi-label"},
		{[]string{"a|b", "b|c", "c|a"}, `lists of labels such as "a|b"`, "--task multi-label"},
		{[]string{"B-PER", "O", "I-PER"}, `tags of single words such as "B-PER"`, "--task token-classification"},
	} {
		_, err := InferLabels(setOf(c.in...))
		var meant *MeantError
		if !errors.As(err, &meant) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(meant.Hint(), c.hint) {
			t.Errorf("%q: %v", c.in, err)
		}
	}
}

// Numbers in place of names may count from 1.
func TestLabelBase(t *testing.T) {
	names := []string{"World", "Sports", "Business", "Sci/Tech"}
	set := setOf("1", "2", "3", "1")
	var base *LabelBaseError
	if _, err := ResolveLabels(set, names); !errors.As(err, &base) || !strings.Contains(base.Hint(), `--label-base 1 makes 1 "World"`) {
		t.Errorf("%v", err)
	}
	for _, c := range []struct {
		base int
		want []int64
	}{{0, []int64{1, 2, 3, 1}}, {1, []int64{0, 1, 2, 0}}} {
		set.LabelBase = &c.base
		l, err := ResolveLabels(set, names)
		if err != nil {
			t.Fatal(err)
		}
		if ids, err := l.IDs(set); err != nil || !slices.Equal(ids, c.want) {
			t.Errorf("from %d: %v, %v", c.base, ids, err)
		}
	}
	for _, in := range [][]string{{"0", "3"}, {"World", "Sports"}, {"0", "World"}} {
		if _, err := ResolveLabels(setOf(in...), names); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
	if _, err := ResolveLabels(setOf("1", "2"), []string{"1", "2"}); err != nil {
		t.Errorf("names that are numbers: %v", err)
	}
}

// A column that has another value in each row is none of labels.
func TestRowNumbersAreNoLabels(t *testing.T) {
	var numbers, scores []string
	var lists [][]string
	for i := range 20 {
		numbers, scores = append(numbers, strconv.Itoa(i)), append(scores, strconv.Itoa(i)+".5")
		lists = append(lists, numbers[i:])
	}
	const want = "another value in each of its 20 rows, so it is no label"
	if _, err := InferLabels(setOf(numbers...)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	if _, err := ResolveListed(setOf(numbers...), nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	var meant *MeantError
	if _, err := InferLabels(setOf(scores...)); !errors.As(err, &meant) || !strings.HasPrefix(meant.Hint(), "--task regression") {
		t.Errorf("scores: %v", err)
	}
	for _, set := range []*Set{setOf(numbers[:19]...), setOf(append(numbers, "3")...), listed("x", append(lists, numbers[:1])...)} {
		if _, err := ResolveListed(set, nil); err != nil {
			t.Errorf("%d labels: %v", len(set.Examples), err)
		}
	}
}
