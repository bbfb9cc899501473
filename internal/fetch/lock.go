package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Lock waits until this process is the only one that holds the lock file at path; waiting is called once when another one
// has it. The system releases the lock of a process that ends, however it ends; the empty file stays.
func Lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	for told := false; ; {
		unlock, taken, err := tryLock(path)
		if err != nil {
			return nil, fmt.Errorf("fetch: lock %s: %w", path, err)
		}
		if !taken {
			return unlock, nil
		}
		if !told {
			waiting()
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
