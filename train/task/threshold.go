package task

import (
	"encoding/json"
	"errors"
	"strconv"
)

// IsZero reports whether one threshold is chosen for all labels, which isn't written down.
func (t Threshold) IsZero() bool { return t == Threshold{} }

// String is the inverse of ParseSetting.
func (t Threshold) String() string {
	switch {
	case t.Fixed > 0:
		return strconv.FormatFloat(t.Fixed, 'g', -1, 64)
	case t.Each:
		return "each"
	}
	return "auto"
}

// ParseSetting reads auto, each or a number between 0 and 1.
func (t *Threshold) ParseSetting(text string) error {
	*t = Threshold{Each: text == "each"}
	if t.Each || text == "auto" {
		return nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x > 0 && x < 1) {
		return errors.New("want auto, each, or a number between 0 and 1")
	}
	t.Fixed = x
	return nil
}

// MarshalJSON writes the command line's form.
func (t Threshold) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// UnmarshalJSON reads it.
func (t *Threshold) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	return t.ParseSetting(s)
}
