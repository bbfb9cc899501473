package task

import (
	"encoding/json"
	"math"
)

// Scores are metrics by name. An undefined one, such as the correlation with a constant, is NaN, and null in JSON.
type Scores map[string]float64

// MarshalJSON writes null for what is no number.
func (s Scores) MarshalJSON() ([]byte, error) {
	out := make(map[string]*float64, len(s))
	for name, v := range s {
		if out[name] = nil; !math.IsNaN(v) && !math.IsInf(v, 0) {
			out[name] = &v
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads it.
func (s *Scores) UnmarshalJSON(text []byte) error {
	var in map[string]*float64
	if err := json.Unmarshal(text, &in); err != nil || in == nil {
		return err
	}
	*s = Scores{}
	for name, v := range in {
		if (*s)[name] = math.NaN(); v != nil {
			(*s)[name] = *v
		}
	}
	return nil
}
