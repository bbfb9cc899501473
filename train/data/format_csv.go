package data

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"unicode/utf8"
)

func init() {
	register(&format{name: "csv", extensions: []string{".csv"}, scan: scanCSV})
}

// scanCSV reads comma-separated values as RFC 4180 has them: a field in double quotes
// may hold commas, line ends and doubled quotes. After a wrong quote nothing says where
// the next row begins, so that is an error rather than a bad row.
func scanCSV(in *bufio.Reader, out *rows) error {
	r := csv.NewReader(in)
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return nil
		}
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			return &lineError{bad.Line, bad.Err.Error() + "; if quotes are ordinary characters here and fields are parted by tabs, the format is tsv"}
		}
		if err != nil {
			return err
		}
		cells := out.fields(len(fields))
		for i, field := range fields {
			if !utf8.ValidString(field) {
				line, _ := r.FieldPos(i)
				return invalidUTF8(line, field)
			}
			cells[i].text = field
		}
		line, _ := r.FieldPos(0)
		if err := out.add(row{line: line, cells: cells}); err != nil {
			return err
		}
	}
}
