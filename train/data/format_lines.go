package data

import "strings"

func init() {
	register(&format{name: "text", extensions: []string{".txt"}, vague: true, columns: []string{"text"}, parse: parseText})
	register(&format{name: "trec", extensions: []string{".label"}, columns: []string{"label", "text"}, parse: parseTREC})
}

// parseText reads one text a line, without labels: input to predict on. Empty lines are
// passed over.
func parseText(text string) (*table, error) {
	t := &table{}
	err := lines(text, func(n int, s string) error {
		if s != "" {
			t.rows = append(t.rows, row{n, cellsOf([]string{s})})
		}
		return nil
	})
	return t, err
}

// parseTREC reads lines of a label, a space and a text, as the TREC question
// classification data has them.
func parseTREC(text string) (*table, error) {
	t := &table{}
	err := lines(text, func(n int, s string) error {
		if s == "" {
			return nil
		}
		label, rest, ok := strings.Cut(s, " ")
		if !ok {
			return &lineError{n, "no space between a label and a text"}
		}
		t.rows = append(t.rows, row{n, cellsOf([]string{label, rest})})
		return nil
	})
	return t, err
}
