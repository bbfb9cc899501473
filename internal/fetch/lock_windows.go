package fetch

import (
	"errors"
	"syscall"
)

const errorSharingViolation = syscall.Errno(32)

// tryLock takes the lock or reports that another process has it: a file open without sharing can't be opened twice. The
// system gives it back when its holder ends, however it ends; the empty file stays.
func tryLock(path string) (unlock func(), taken bool, err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, false, err
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, errors.Is(err, errorSharingViolation), ignore(err, errorSharingViolation)
	}
	return func() { syscall.CloseHandle(h) }, false, nil
}
