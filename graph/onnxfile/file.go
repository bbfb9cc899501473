package onnxfile

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/peftgraph/peftgraph/internal/mapfile"
)

// inlineBelow is the size in bytes below which a tensor is copied when it is read, and stays in the model when that is saved.
const inlineBelow = 1024

// mapFrom is the file size from which a file is mapped. Smaller ones are read, which costs less than a mapping does.
const mapFrom = 1 << 20

// A source is a file whose bytes tensors refer to. It implements [graph.File].
//
// A mapping is never undone: a slice of it says nothing to the garbage collector, so a caller that kept a slice and
// dropped the graph would crash. Clean mapped pages cost address space, not memory.
type source struct {
	path  string
	data  []byte
	file  *os.File // closed by its own finalizer when the last tensor that refers to it is gone
	size  int64
	mtime time.Time
}

// openSource opens, and maps or reads, the file at path.
func openSource(path string) (*source, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(abs)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "read", Path: abs, Err: fmt.Errorf("not a regular file")}
	}
	if err != nil {
		return nil, closing(f, err)
	}
	s := &source{path: abs, file: f, size: info.Size(), mtime: info.ModTime()}
	if s.size < mapFrom {
		s.data = make([]byte, s.size)
		_, err = io.ReadFull(f, s.data)
	} else {
		s.data, err = mapfile.Map(f, s.size)
	}
	if err != nil {
		return nil, closing(f, &os.PathError{Op: "map", Path: abs, Err: err})
	}
	return s, nil
}

func closing(f *os.File, err error) error {
	_ = f.Close() // the error at hand is the one to report
	return err
}

// Path returns the absolute path under which the file was opened.
func (s *source) Path() string { return s.path }

// Bytes returns n bytes at offset off without copying them.
func (s *source) Bytes(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > s.size || n > s.size-off {
		return nil, fmt.Errorf("onnxfile: %s: bytes %d to %d of a file of %d", s.path, off, off+n, s.size)
	}
	return s.data[off : off+n : off+n], nil
}

// ReadAt reads through the file descriptor, so that the mapping's pages stay out of the process's resident memory.
func (s *source) ReadAt(p []byte, off int64) (int, error) { return s.file.ReadAt(p, off) }

// changed reports an error when the file was written to after it was opened.
func (s *source) changed() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() != s.size || !info.ModTime().Equal(s.mtime) {
		return fmt.Errorf("%s was changed after it was loaded; load it again", s.path)
	}
	return nil
}

// sameFile reports whether path names the file that s has open, also through links.
func (s *source) sameFile(path string) bool {
	a, errA := s.file.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// reopen returns a descriptor with a position of its own, or nil when another file has the name by now.
func (s *source) reopen() *os.File {
	f, err := os.Open(s.path)
	if err != nil {
		return nil
	}
	mine, errA := s.file.Stat()
	its, errB := f.Stat()
	if errA != nil || errB != nil || !os.SameFile(mine, its) {
		_ = f.Close() // only read from
		return nil
	}
	return f
}
