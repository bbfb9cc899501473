package data

import (
	"bufio"
	"strings"
)

func init() {
	register(&format{name: "text", extensions: []string{".txt"}, vague: true, columns: []string{"text"}, scan: scanText})
	register(&format{name: "trec", extensions: []string{".label"}, columns: []string{"label", "text"}, scan: scanTREC})
}

// scanText reads one text a line, without labels: input to predict on. Empty lines are
// passed over.
func scanText(in *bufio.Reader, out *rows) error {
	return eachLine(in, func(n int, s string) error {
		if s = trimEnd(s); s == "" {
			return nil
		}
		cells := out.fields(1)
		cells[0].text = s
		return out.add(row{line: n, cells: cells})
	})
}

// scanTREC reads lines of a label, a space and a text, as the TREC question
// classification data has them.
func scanTREC(in *bufio.Reader, out *rows) error {
	return eachLine(in, func(n int, s string) error {
		if s = trimEnd(s); s == "" {
			return nil
		}
		label, rest, ok := strings.Cut(s, " ")
		if !ok {
			return out.add(row{line: n, bad: "no space between a label and a text"})
		}
		cells := out.fields(2)
		cells[0].text, cells[1].text = label, rest
		return out.add(row{line: n, cells: cells})
	})
}
