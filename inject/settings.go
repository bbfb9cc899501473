package inject

import (
	"fmt"
	"math"

	"github.com/peftgraph/peftgraph/internal/setting"
)

// Settings lists a method's settings in the order of its fields.
func Settings(m Method) []setting.Setting { return setting.List(m) }

// Set sets the setting of that flag from its command-line form. ok is false when the method has no such setting.
func Set(m Method, flag, text string) (ok bool, err error) {
	if ok, err = setting.Set(m, flag, text); err != nil {
		err = fmt.Errorf("inject: %w", err)
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
