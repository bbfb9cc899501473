// Package atomicfile writes files that are either whole or not there.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Write calls write with a temporary file in path's folder and puts it in path's place when everything has reached the
// disk. After an error the old file, if there was one, is untouched and nothing else stays.
func Write(path string, write func(io.Writer) error) error {
	return WriteFile(path, func(f *os.File) error {
		w := bufio.NewWriterSize(f, 1<<16)
		if err := write(w); err != nil {
			return err
		}
		return w.Flush()
	})
}

// WriteFile is [Write] for writers that need the file itself.
func WriteFile(path string, write func(*os.File) error) error {
	var s Set
	defer s.Discard()
	f, err := s.Create(path)
	if err != nil {
		return fmt.Errorf("atomicfile: create %s: %w", path, err)
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("atomicfile: %s: %w", path, WithoutTemporary(err, f.Name()))
	}
	if err := s.Commit(); err != nil {
		return fmt.Errorf("atomicfile: %w", err)
	}
	return nil
}

// WithoutTemporary takes the temporary file's name, which says nothing to a user, off an error of working on it.
func WithoutTemporary(err error, name string) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path) && path.Path == name:
		return path.Err
	case errors.As(err, &link) && link.Old == name:
		return link.Err
	}
	return err
}

// WriteBytes writes data as a whole file.
func WriteBytes(path string, data []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
