package fetch

import (
	"context"
	"errors"
	"fmt"
)

// A Source is one place to get something from.
type Source struct {
	Name string // as the user types it
	Get  func() error
}

// FirstOf asks the sources in turn until one works, and tells log in one line why another was passed over. The error says
// what went wrong with each, and ends with advice. A cancelled ctx ends the round.
func FirstOf(ctx context.Context, sources []Source, advice string, log func(string)) error {
	var failures []error
	for _, s := range sources {
		err := s.Get()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		err = fmt.Errorf("%s: %w", s.Name, err)
		failures = append(failures, err)
		log(err.Error())
	}
	return fmt.Errorf("no source worked:\n%w\n%s", errors.Join(failures...), advice)
}
