package format

import (
	"fmt"

	"github.com/peftgraph/peftgraph/inject"
)

// plausible fails for settings that ask for more virtual tokens, or for a wider MLP behind them, than the adapter has numbers.
// Parameters are made before they are filled: a damaged setting would ask for any amount of memory. Ranks and bottlenecks are
// bounded by the base's width where they are injected.
func (a *Adapter) plausible() error {
	total := int64(0)
	for _, t := range a.Tensors {
		total += t.Len()
	}
	for _, m := range a.Methods {
		if n := int64(virtualSize(m)); n > total {
			return fmt.Errorf("format: %s: its settings ask for %d virtual tokens or units of their MLP, and its tensors have %d numbers in all: one of the files is damaged", a.Path, n, total)
		}
	}
	return nil
}

// virtualSize returns the number of a method's virtual tokens or the width of the MLP that its tensors hold, whichever is more.
func virtualSize(m inject.Method) int {
	switch m := m.(type) {
	case *inject.Prefix:
		if !m.Folded {
			return max(m.Tokens, m.Hidden)
		}
		return m.Tokens
	case *inject.Prompt:
		return m.Tokens
	case *inject.PTuning:
		if !m.Folded {
			return max(m.Tokens, m.Hidden)
		}
		return m.Tokens
	}
	return 0
}
