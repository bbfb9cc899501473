package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"
)

// A Set is files that are written under temporary names, and take their places all at the end. The zero value is an empty one.
type Set struct {
	folder string // temporary; "" for temporary names beside the files' places
	files  []pending
}

type pending struct{ temp, path string }

// Together makes a temporary folder beside path. Files that are created from then on have their own names in it, by which they
// can refer to each other before they are in their places.
func (s *Set) Together(path string) error {
	return temporary(path, func(name string) error {
		err := os.Mkdir(name, 0o777)
		if err == nil {
			s.folder = name
		}
		return WithoutTemporary(err, name)
	})
}

// Create makes the temporary file for path, with the permissions of an ordinary new file, on the same disk, where renaming is
// atomic. The caller closes it before Commit.
func (s *Set) Create(path string) (f *os.File, err error) {
	open := func(name string) error {
		f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		return WithoutTemporary(err, name)
	}
	if s.folder != "" {
		err = open(filepath.Join(s.folder, filepath.Base(path)))
	} else {
		err = temporary(path, open)
	}
	if err != nil {
		return nil, err
	}
	s.files = append(s.files, pending{f.Name(), path})
	return f, nil
}

// temporary calls create with names beside path until one is free.
func temporary(path string, create func(name string) error) error {
	for i := 0; ; i++ {
		err := create(filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d-%d.tmp", filepath.Base(path), os.Getpid(), i)))
		if !os.IsExist(err) || i == 1000 {
			return err
		}
	}
}

// Commit gives the files their places in the order in which they were created.
func (s *Set) Commit() error {
	for len(s.files) > 0 {
		f := s.files[0]
		if err := os.Rename(f.temp, f.path); err != nil {
			return fmt.Errorf("%s: %w", f.path, WithoutTemporary(err, f.temp))
		}
		s.files = s.files[1:]
	}
	return nil
}

// Discard removes what has no place yet. After Commit it does nothing but remove the folder.
func (s *Set) Discard() {
	for _, f := range s.files {
		_ = os.Remove(f.temp) // there is an error to report already
	}
	if s.folder != "" {
		_ = os.Remove(s.folder)
	}
	s.files, s.folder = nil, ""
}
