package data

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/internal/graphtest"
)

// classesOf makes n examples of each label, with texts of their own.
func classesOf(n map[string]int) *Set {
	s := &Set{Path: "x.tsv", LabelColumn: "label"}
	for i := range 1000 {
		for _, label := range []string{"a", "b", "c"} {
			if i < n[label] {
				s.Examples = append(s.Examples, Example{Text: fmt.Sprint(label, i), Label: label, Row: len(s.Examples) + 2})
			}
		}
	}
	return s
}

func TestSplit(t *testing.T) {
	set := classesOf(map[string]int{"a": 200, "b": 45, "c": 1})
	train, dev, err := Split(set, 0.1, 7)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := SplitText(train, dev), "x.tsv: 25 of 246 examples are held out to judge by: a 20 of 200, b 5 of 45, c 0 of 1"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	rows := map[int]int{}
	for _, part := range []*Set{train, dev} {
		at := 0
		for _, ex := range part.Examples {
			if rows[ex.Row]++; ex.Row <= at {
				t.Fatalf("row %d after %d", ex.Row, at)
			}
			at = ex.Row
		}
	}
	if len(rows) != len(set.Examples) {
		t.Errorf("%d rows of %d are in a part", len(rows), len(set.Examples))
	}
	_, again, _ := Split(set, 0.1, 7)
	_, other, _ := Split(set, 0.1, 8)
	if !reflect.DeepEqual(dev, again) || reflect.DeepEqual(dev, other) {
		t.Error("the draw depends on something else than the seed")
	}
}

// Examples with the same texts are in the same part, their labels aside.
func TestSplitDuplicates(t *testing.T) {
	set := &Set{Path: "x.tsv"}
	for i := range 300 {
		ex := Example{Text: fmt.Sprint("t", i%40), Label: fmt.Sprint(i % 3), HasPair: true, Pair: fmt.Sprint("p", i%2), Row: i + 1}
		set.Examples = append(set.Examples, ex)
	}
	for seed := range uint64(20) {
		train, dev, err := Split(set, 0.2, seed)
		if err != nil {
			t.Fatal(err)
		}
		in := map[string]bool{}
		for _, ex := range train.Examples {
			in[ex.Text+ex.Pair] = true
		}
		for _, ex := range dev.Examples {
			if in[ex.Text+ex.Pair] {
				t.Fatalf("seed %d: %s is in both parts", seed, ex.Text)
			}
		}
		if n := len(dev.Examples); n < 40 || n > 60 {
			t.Errorf("seed %d: %d of 300 for a share of 0.2", seed, n)
		}
	}
}

// Scores, lists and unlabelled texts have no classes to keep the shares of.
func TestSplitWithoutClasses(t *testing.T) {
	for name, label := range map[string]func(i int, ex *Example){
		"scores":     func(i int, ex *Example) { ex.Label = fmt.Sprint(float64(i) / 7) },
		"lists":      func(i int, ex *Example) { ex.Labels = []string{fmt.Sprint(i % 3)} },
		"unlabelled": func(int, *Example) {},
		"words":      func(i int, ex *Example) { ex.Text, ex.Words = "", []string{"w", fmt.Sprint(i)} },
	} {
		set := &Set{Path: "x"}
		for i := range 100 {
			ex := Example{Text: fmt.Sprint(i), Row: i + 1}
			label(i, &ex)
			set.Examples = append(set.Examples, ex)
		}
		train, dev, err := Split(set, 0.15, 1)
		if err != nil || len(dev.Examples) != 15 || len(train.Examples) != 85 {
			t.Errorf("%s: %d and %d, %v", name, len(train.Examples), len(dev.Examples), err)
		} else if got := SplitText(train, dev); got != "x: 15 of 100 examples are held out to judge by" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	set := classesOf(map[string]int{"a": 3})
	for share, want := range map[float64]string{0: "want one between 0 and 1", 1: "want one between 0 and 1", -0.5: "want one between", 0.01: "leaves none to judge by"} {
		if _, _, err := Split(set, share, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", share, err)
		}
	}
}

func TestSplitShared(t *testing.T) {
	path := graphtest.Shared(t, "data", "")[0]
	set, err := Read(filepath.Join(path, "SMS-spam/sms.tsv"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	train, dev, err := Split(set, 0.1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := SplitText(train, dev); !strings.Contains(got, "557 of 5574 examples are held out to judge by: ham 483 of 4827, spam 74 of 747") {
		t.Error(got)
	}
}
