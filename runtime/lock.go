package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// lock waits until this process is the only one that holds the lock file at path.
func lock(ctx context.Context, path string, log func(string)) (unlock func(), err error) {
	for told := false; ; {
		unlock, taken, err := tryLock(path)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !taken {
			return unlock, nil
		}
		if !told {
			log("another install is running; waiting for it")
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ignore returns nil in place of an error of the kind expected.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
