package onnxfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// copyBuffer is how much of a file is in memory at a time where the system can't copy by itself.
const copyBuffer = 1 << 20

// A writer writes files under temporary names, and gives them their own names all at the end.
type writer struct {
	sync   bool
	folder string // temporary, for files that know each other by name; "" for temporary names in the files' own folder
	files  []pending
	size   int64 // bytes in all files
}

type pending struct{ temp, path string }

// together makes the folder in which the files have their own names already.
func (w *writer) together(path string) error {
	return temporary(path, func(name string) error {
		err := os.Mkdir(name, 0o777)
		if err == nil {
			w.folder = name
		}
		return err
	})
}

// write creates the temporary file for path on the same disk, where renaming is atomic.
func (w *writer) write(path string, parts []part) error {
	f, err := w.create(path)
	if err != nil {
		return err
	}
	w.files = append(w.files, pending{f.Name(), path})
	for _, p := range parts {
		w.size += p.size
	}
	c := &copier{dst: f, open: map[*source]*os.File{}}
	err = c.parts(parts)
	if w.sync && err == nil {
		err = f.Sync()
	}
	return errors.Join(err, c.close(), f.Close())
}

// create is os.CreateTemp with the permissions of an ordinary new file.
func (w *writer) create(path string) (f *os.File, err error) {
	open := func(name string) error {
		f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		return err
	}
	if w.folder != "" {
		return f, open(filepath.Join(w.folder, filepath.Base(path)))
	}
	return f, temporary(path, open)
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

// commit renames the files, side files first, so that a model never stands beside data it doesn't know.
func (w *writer) commit() error {
	for len(w.files) > 0 {
		if err := os.Rename(w.files[0].temp, w.files[0].path); err != nil {
			return err
		}
		w.files = w.files[1:]
	}
	return nil
}

// abort removes what commit didn't rename, and the folder.
func (w *writer) abort() {
	for _, f := range w.files {
		_ = os.Remove(f.temp) // there is an error to report already
	}
	if w.folder != "" {
		_ = os.Remove(w.folder)
	}
	w.files, w.folder = nil, ""
}

// A copier writes parts to a file. Bytes that are in another file go from file to file without entering this process
// where the system can do that, and else through a small buffer; never through the mapping, whose pages would count as
// memory of the process.
type copier struct {
	dst  *os.File
	open map[*source]*os.File
	buf  []byte
}

func (c *copier) parts(parts []part) error {
	for _, p := range parts {
		if err := c.part(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) part(p part) error {
	if p.tensor == nil {
		_, err := c.dst.Write(p.data)
		return err
	}
	r := p.tensor.Ref()
	if r == nil {
		b, err := p.tensor.Bytes()
		if err == nil {
			_, err = c.dst.Write(b)
		}
		return err
	}
	if src, ok := r.File.(*source); ok {
		return c.copy(src, r.Offset, r.Length)
	}
	return c.buffered(readerOf(p.tensor), r.Length)
}

// copy appends n bytes of src.
func (c *copier) copy(src *source, off, n int64) error {
	f, ok := c.open[src]
	if !ok {
		f = src.reopen()
		c.open[src] = f
	}
	if f == nil {
		return c.buffered(io.NewSectionReader(src, off, n), n)
	}
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return err
	}
	return exactly(n)(c.dst.ReadFrom(io.LimitReader(f, n)))
}

func (c *copier) buffered(r io.Reader, n int64) error {
	if c.buf == nil {
		c.buf = make([]byte, copyBuffer)
	}
	return exactly(n)(io.CopyBuffer(struct{ io.Writer }{c.dst}, r, c.buf))
}

// exactly turns a short copy into an error.
func exactly(want int64) func(int64, error) error {
	return func(n int64, err error) error {
		if err == nil && n != want {
			err = fmt.Errorf("a source of weights ended %d bytes early: it was changed after it was loaded", want-n)
		}
		return err
	}
}

func (c *copier) close() error {
	var errs []error
	for _, f := range c.open {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
