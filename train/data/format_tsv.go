package data

import (
	"bufio"
	"strings"
)

func init() {
	register(&format{name: "tsv", extensions: []string{".tsv"}, vague: true, scan: scanTSV})
}

// scanTSV reads tab-separated values as GLUE writes them: nothing is quoted, so a
// double quote is a character like another. Empty lines are passed over.
func scanTSV(in *bufio.Reader, out *rows) error {
	return eachLine(in, func(n int, s string) error {
		if s = trimEnd(s); s == "" {
			return nil
		}
		cells := out.fields(strings.Count(s, "\t") + 1)
		for i := range cells {
			cells[i].text, s, _ = strings.Cut(s, "\t")
		}
		return out.add(row{line: n, cells: cells})
	})
}
