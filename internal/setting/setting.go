// Package setting reads and writes settings by the tags of a struct's fields: flag is the command line's name, usage explains
// it, json is the name in files. Embedded structs count as the struct's own.
package setting

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// A Setting is one field that the command line can set.
type Setting struct {
	Flag    string // "rank"
	Usage   string
	Default string
	IsBool  bool
}

// A Parser is a setting with a form of its own on the command line; its String is the inverse.
type Parser interface {
	ParseSetting(text string) error
}

// List returns the settings of what s points to, in the order of its fields.
func List(s any) []Setting {
	var out []Setting
	each(reflect.ValueOf(s).Elem(), func(f reflect.StructField, v reflect.Value) {
		out = append(out, Setting{f.Tag.Get("flag"), f.Tag.Get("usage"), format(v), v.Kind() == reflect.Bool})
	})
	return out
}

// Set sets the setting of that flag from its command-line form. ok is false when s has no such setting.
func Set(s any, flag, text string) (ok bool, err error) {
	each(reflect.ValueOf(s).Elem(), func(f reflect.StructField, v reflect.Value) {
		if f.Tag.Get("flag") == flag {
			ok, err = true, parse(v, text)
		}
	})
	if err != nil {
		err = fmt.Errorf("--%s %q: %w", flag, text, err)
	}
	return ok, err
}

func each(v reflect.Value, do func(reflect.StructField, reflect.Value)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Anonymous:
			each(v.Field(i), do)
		case f.Tag.Get("flag") != "":
			do(f, v.Field(i))
		}
	}
}

func format(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case []int:
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(x), " ", ","), "[]")
	default:
		return fmt.Sprint(x)
	}
}

func parse(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = text
	case *bool:
		return scan(strconv.ParseBool, text, p, "true or false")
	case *int:
		return scan(strconv.Atoi, text, p, "a whole number")
	case *float64:
		return scan(func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }, text, p, "a number")
	case *[]int:
		return parseList(text, p)
	case Parser:
		return p.ParseSetting(text)
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	default:
		return fmt.Errorf("a setting of type %T can't be given on the command line", p)
	}
	return nil
}

func scan[T any](parse func(string) (T, error), text string, to *T, want string) error {
	x, err := parse(text)
	if err != nil {
		return fmt.Errorf("want %s", want)
	}
	*to = x
	return nil
}

// parseList reads "0,1,5-8".
func parseList(text string, to *[]int) error {
	*to = nil
	for _, part := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		lo, err := strconv.Atoi(first)
		hi := lo
		if err == nil && isRange {
			hi, err = strconv.Atoi(last)
		}
		if err != nil || lo < 0 || hi < lo || hi-lo > 10000 {
			return fmt.Errorf("want numbers and ranges such as 0,1,5-8")
		}
		for n := lo; n <= hi; n++ {
			*to = append(*to, n)
		}
	}
	return nil
}
