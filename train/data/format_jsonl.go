package data

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

func init() {
	register(&format{name: "jsonl", extensions: []string{".jsonl", ".ndjson"}, parse: parseJSONL})
}

// parseJSONL reads one JSON object a line. Its columns are the keys of all objects; an
// object may lack some, and null is as good as lacking. Empty lines are passed over.
func parseJSONL(text string) (*table, error) {
	var objects []map[string]json.RawMessage
	var at []int
	index := map[string]int{}
	err := lines(text, func(n int, s string) error {
		if strings.TrimSpace(s) == "" {
			return nil
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(s), &object); err != nil || object == nil {
			return &lineError{n, "not a JSON object; JSONL has one object a line" + because(err)}
		}
		flatten(object)
		for key := range object {
			index[key] = 0
		}
		objects, at = append(objects, object), append(at, n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	t := &table{names: slices.Sorted(maps.Keys(index))}
	for i, name := range t.names {
		index[name] = i
	}
	for i, object := range objects {
		cells := make([]cell, len(t.names))
		for key, raw := range object {
			cells[index[key]] = jsonCell(raw)
		}
		t.rows = append(t.rows, row{at[i], cells})
	}
	return t, nil
}

// flatten puts the fields of objects in an object beside it, as "answers.text".
func flatten(object map[string]json.RawMessage) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		var inner map[string]json.RawMessage
		if object[key][0] != '{' || json.Unmarshal(object[key], &inner) != nil {
			continue
		}
		delete(object, key)
		flatten(inner)
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
