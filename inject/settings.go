package inject

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// A Setting is one field of a method that the command line can set.
type Setting struct {
	Flag    string // "rank"
	Usage   string
	Default string
	IsBool  bool
}

// Settings lists a method's settings in the order of its fields. Embedded structs count as the method's own.
func Settings(m Method) []Setting {
	var out []Setting
	eachSetting(reflect.ValueOf(m).Elem(), func(f reflect.StructField, v reflect.Value) {
		out = append(out, Setting{f.Tag.Get("flag"), f.Tag.Get("usage"), formatSetting(v), v.Kind() == reflect.Bool})
	})
	return out
}

// Set sets the setting of that flag from its command-line form. ok is false when the method has no such setting.
func Set(m Method, flag, text string) (ok bool, err error) {
	eachSetting(reflect.ValueOf(m).Elem(), func(f reflect.StructField, v reflect.Value) {
		if f.Tag.Get("flag") == flag {
			ok, err = true, parseSetting(v, text)
		}
	})
	if err != nil {
		err = fmt.Errorf("inject: --%s %q: %w", flag, text, err)
	}
	return ok, err
}

// Validate says which of m's settings is wrong whatever the model is, by the name of its flag.
func Validate(m Method) error {
	if v, ok := m.(interface{ validate() error }); ok {
		if err := v.validate(); err != nil {
			return fmt.Errorf("inject: %w", err)
		}
	}
	return nil
}

// CheckDropout refuses what is no probability of zeroing an element, by the name of the flag that gave it.
func CheckDropout(flag string, rate float64) error {
	if !(rate >= 0 && rate < 1) {
		return fmt.Errorf("--%s %v: must be at least 0 and below 1", flag, rate)
	}
	return nil
}

// largest bounds sizes that no model bounds: those of virtual tokens, of their MLPs and of bottlenecks.
const largest = 1 << 16

// checkSize refuses what is no size of least at least, by the name of the flag that gave it.
func checkSize(flag string, n, least int) error {
	if n < least || n > largest {
		return fmt.Errorf("--%s %d: must be at least %d and at most %d", flag, n, least, largest)
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func eachSetting(v reflect.Value, do func(reflect.StructField, reflect.Value)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Anonymous:
			eachSetting(v.Field(i), do)
		case f.Tag.Get("flag") != "":
			do(f, v.Field(i))
		}
	}
}

func formatSetting(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case []int:
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(x), " ", ","), "[]")
	case Pattern:
		return ""
	default:
		return fmt.Sprint(x)
	}
}

func parseSetting(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = text
	case *bool:
		return scan(strconv.ParseBool, text, p, "true or false")
	case *int:
		return scan(strconv.Atoi, text, p, "a whole number")
	case *float64:
		return scan(func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }, text, p, "a number")
	case *ModuleNames:
		*p = ParseNames(text)
		if p.empty() {
			return fmt.Errorf("want names separated by commas, all-linear or re:PATTERN")
		}
	case *[]int:
		return parseList(text, p)
	case *Pattern:
		return parsePattern(text, p)
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

// parsePattern reads "NAME=NUMBER,NAME=NUMBER".
func parsePattern(text string, to *Pattern) error {
	*to = Pattern{}
	for _, part := range strings.Split(text, ",") {
		name, number, ok := strings.Cut(part, "=")
		x, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil || name == "" {
			return fmt.Errorf("want NAME=NUMBER, several separated by commas")
		}
		(*to)[name] = x
	}
	return nil
}
