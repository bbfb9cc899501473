package peftgraph

import (
	"errors"
	"fmt"
)

// A HintedError is an error with what to try. Other packages' errors may have a method Hint too: [Hint] finds any of them.
type HintedError struct {
	Err error
	Try string
}

func (e *HintedError) Error() string { return e.Err.Error() }

func (e *HintedError) Unwrap() error { return e.Err }

// Hint says what to try.
func (e *HintedError) Hint() string { return e.Try }

// Hint returns what an error says to try, "" where none in its chain does. Where it says "setting Tokenizer", it means the
// field Tokenizer of the options.
func Hint(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return ""
}

// A DiffersError says that a comparison went past its threshold: an export that isn't proven, two models that differ,
// gradients that aren't the loss's.
type DiffersError struct{ Text string }

func (e *DiffersError) Error() string { return e.Text }

// A SettingError says that a setting can't be as it is, alone or beside the others.
type SettingError struct {
	Setting string // the field's name; "" where the text says it
	Text    string
}

func (e *SettingError) Error() string {
	if e.Setting == "" {
		return e.Text
	}
	return "setting " + e.Setting + ": " + e.Text
}

func settingf(name, format string, args ...any) error {
	return &SettingError{name, fmt.Sprintf(format, args...)}
}

func hinted(err error, try string) error { return &HintedError{err, try} }
