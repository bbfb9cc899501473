//go:build !windows

package fetch

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the lock or reports that another process has it. The system gives it back when its holder ends, however it
// ends; the empty file stays.
func tryLock(path string) (unlock func(), taken bool, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, false, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		f.Close()
		return nil, errors.Is(err, syscall.EWOULDBLOCK), ignore(err, syscall.EWOULDBLOCK)
	}
	return func() { f.Close() }, false, nil
}
