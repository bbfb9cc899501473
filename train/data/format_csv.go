package data

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

func init() {
	register(&format{name: "csv", extensions: []string{".csv"}, parse: parseCSV})
}

// parseCSV reads comma-separated values as RFC 4180 has them: a field in double quotes
// may hold commas, line ends and doubled quotes.
func parseCSV(text string) (*table, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord = -1
	t := &table{}
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return t, nil
		}
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			return nil, &lineError{bad.Line, bad.Err.Error() + "; if quotes are ordinary characters here and fields are parted by tabs, the format is tsv"}
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		t.rows = append(t.rows, row{line, cellsOf(fields)})
	}
}
