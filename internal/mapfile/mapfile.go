// Package mapfile gives read-only access to a file's bytes without copying them: mapped into memory where the system can,
// read into memory elsewhere.
package mapfile

import (
	"fmt"
	"os"
	"path/filepath"
)

// A File is a mapping; it implements graph.File. It is never taken down: slices of it may be anywhere by then, and an
// unused mapping costs address space, not memory.
type File struct {
	path string
	data []byte
}

// Open maps the whole file.
func Open(path string) (*File, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("mapfile: %w", err)
	}
	f, err := os.Open(abs)
	if err != nil {
		return nil, fmt.Errorf("mapfile: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("mapfile: %w", err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("mapfile: %s is a folder", path)
	}
	m := &File{path: abs}
	if info.Size() == 0 {
		return m, nil
	}
	if m.data, err = Map(f, info.Size()); err != nil {
		return nil, fmt.Errorf("mapfile: %s: %w", path, err)
	}
	return m, nil
}

// Path returns the file's absolute path.
func (f *File) Path() string { return f.path }

// Size returns the file's length in bytes.
func (f *File) Size() int64 { return int64(len(f.data)) }

// Bytes returns n bytes at offset off. The slice must not be written to.
func (f *File) Bytes(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > f.Size() || n > f.Size()-off {
		return nil, fmt.Errorf("mapfile: %s: bytes %d to %d of a file of %d: it was cut short", f.path, off, off+n, f.Size())
	}
	return f.data[off : off+n : off+n], nil
}
