package data

import "strings"

func init() {
	register(&format{name: "tsv", extensions: []string{".tsv"}, vague: true, parse: parseTSV})
}

// parseTSV reads tab-separated values as GLUE writes them: nothing is quoted, so a
// double quote is a character like another. Empty lines are passed over.
func parseTSV(text string) (*table, error) {
	t := &table{}
	err := lines(text, func(n int, s string) error {
		if s != "" {
			t.rows = append(t.rows, row{n, cellsOf(strings.Split(s, "\t"))})
		}
		return nil
	})
	return t, err
}
