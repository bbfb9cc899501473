package onnxfile

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/peftgraph/peftgraph/internal/atomicfile"
)

// copyBuffer is how much of a file is in memory at a time where the system can't copy by itself.
const copyBuffer = 1 << 20

// A writer writes files that take their places at the end: side files first, so that a model never stands beside data it
// doesn't know.
type writer struct {
	atomicfile.Set
	sync bool
	size int64 // bytes in all files
}

// write writes the file for path, and returns where it is meanwhile.
func (w *writer) write(path string, parts []part) (temporary string, err error) {
	f, err := w.Create(path)
	if err != nil {
		return "", err
	}
	for _, p := range parts {
		w.size += p.size
	}
	c := &copier{dst: f, open: map[*source]*os.File{}}
	err = c.parts(parts)
	if w.sync && err == nil {
		err = f.Sync()
	}
	err = atomicfile.WithoutTemporary(err, f.Name())
	return f.Name(), errors.Join(err, c.close(), f.Close())
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
