package data

import (
	"bufio"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

func init() {
	register(&format{name: "jsonl", extensions: []string{".jsonl", ".ndjson"}, scan: scanJSONL})
}

// scanJSONL reads one JSON object a line. Its columns are the keys of all objects; an
// object may lack some, and null is as good as lacking. Empty lines are passed over.
func scanJSONL(in *bufio.Reader, out *rows) error {
	index := map[string]int{}
	out.names = []string{}
	return eachLine(in, func(n int, s string) error {
		if strings.TrimSpace(s) == "" {
			return nil
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(s), &object); err != nil || object == nil {
			return out.add(row{line: n, bad: "not a JSON object; JSONL has one object a line" + because(err)})
		}
		flatten(object, deepestColumn)
		for _, key := range slices.Sorted(maps.Keys(object)) {
			if _, known := index[key]; !known && (len(index) < mostColumns || out.opt.wants(key)) {
				index[key] = len(out.names)
				out.names = append(out.names, key)
			}
		}
		cells := out.fields(len(out.names))
		clear(cells)
		for key, raw := range object {
			if i, known := index[key]; known {
				cells[i] = jsonCell(raw)
			}
		}
		return out.add(row{line: n, cells: cells})
	})
}

// Objects may have other keys each, and others in them. So many columns are told apart, beside those that are looked for, and so
// deep are they looked for.
const (
	mostColumns   = 1000
	deepestColumn = 8
)

// flatten puts the fields of objects in an object beside it, as "answers.text".
func flatten(object map[string]json.RawMessage, deep int) {
	if deep == 0 {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		var inner map[string]json.RawMessage
		if object[key][0] != '{' || json.Unmarshal(object[key], &inner) != nil {
			continue
		}
		delete(object, key)
		flatten(inner, deep-1)
		for name, raw := range inner {
			object[key+"."+name] = raw
		}
	}
}

// jsonCell is a string's value, the elements of an array of plain values, or a number, a boolean or anything else as it is
// written.
func jsonCell(raw json.RawMessage) cell {
	if string(raw) == "null" {
		return cell{}
	}
	var s string
	if raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
		return cell{text: s, ok: true}
	}
	if raw[0] == '[' {
		if list, err := jsonItems(raw); err == nil {
			return cell{text: string(raw), list: list, ok: true}
		}
	}
	return cell{text: string(raw), ok: true}
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}
