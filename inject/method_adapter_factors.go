package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Factors is a number for all layers or one by layer: keys are layer numbers and "default". In JSON a lone default is a
// number, as in AdapterHub's reduction_factor.
type Factors map[string]float64

const defaultFactor = "default"

// MarshalJSON writes a number or an object.
func (f Factors) MarshalJSON() ([]byte, error) {
	if x, ok := f[defaultFactor]; ok && len(f) == 1 {
		return json.Marshal(x)
	}
	return json.Marshal(map[string]float64(f))
}

// UnmarshalJSON accepts a number, an object and null.
func (f *Factors) UnmarshalJSON(data []byte) error {
	var x *float64
	if json.Unmarshal(data, &x) == nil {
		if *f = nil; x != nil {
			*f = Factors{defaultFactor: *x}
		}
		return f.check()
	}
	m := map[string]float64{}
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("want a number, or numbers by layer and \"default\"")
	}
	*f = m
	return f.check()
}

// UnmarshalText reads the command line's form: 16, or 0=8,default=16.
func (f *Factors) UnmarshalText(text []byte) error {
	*f = Factors{}
	for _, part := range strings.Split(string(text), ",") {
		key, number, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			key, number = defaultFactor, key
		}
		x, err := strconv.ParseFloat(number, 64)
		if _, twice := (*f)[key]; err != nil || twice {
			return fmt.Errorf("want a number, or LAYER=NUMBER,default=NUMBER")
		}
		(*f)[key] = x
	}
	return f.check()
}

// String is the inverse of [Factors.UnmarshalText].
func (f Factors) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(f)) {
		if k == defaultFactor && len(f) == 1 {
			return fmt.Sprint(f[k])
		}
		parts = append(parts, fmt.Sprintf("%s=%v", k, f[k]))
	}
	return strings.Join(parts, ",")
}

func (f Factors) check() error {
	for k, x := range f {
		if n, err := strconv.Atoi(k); k != defaultFactor && (err != nil || n < 0) {
			return fmt.Errorf("%q is neither a layer's number nor %q", k, defaultFactor)
		}
		if !(x > 0) || math.IsInf(x, 0) {
			return fmt.Errorf("factor %v: must be above 0", x)
		}
	}
	return nil
}

// width returns hidden // factor for a layer, at least 1 and floored as Python's // does.
func (f Factors) width(layer, hidden int) (int, error) {
	x, ok := f[strconv.Itoa(layer)]
	if !ok {
		x, ok = f[defaultFactor]
	}
	if !ok {
		return 0, fmt.Errorf("--reduction-factor has neither this layer nor default")
	}
	h := float64(hidden)
	d := max(1, math.Round((h-math.Mod(h, x))/x))
	if d > largest {
		return 0, fmt.Errorf("--reduction-factor %v makes a bottleneck wider than %d", x, largest)
	}
	return int(d), nil
}
