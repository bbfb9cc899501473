package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"

	"golang.org/x/text/encoding/charmap"
)

// Stdin is the path of standard input.
const Stdin = "-"

// A source is where a format's bytes come from.
type source struct {
	in   io.Reader
	file *os.File      // nil where in is no file
	size int64         // of what in gives, 0 where that isn't known
	read int64         // of it so far
	utf8 *bufio.Reader // of it as text, once that was asked for
}

// sourceBuffer is how many bytes are read at a time.
const sourceBuffer = 1 << 16

// openSource opens a file, or standard input. What is compressed by gzip is unpacked, whatever its name.
func openSource(path string) (*source, func(), error) {
	if path == Stdin {
		return &source{in: os.Stdin}, func() {}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("data: %w", err)
	}
	s := &source{in: f, file: f}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		s.size = info.Size()
	}
	return s, func() { f.Close() }, nil
}

// Read is the bytes as they come.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	s.read += int64(n)
	return n, err
}

// text is the source as UTF-8 without a byte order mark; that it is UTF-8 is for the reader to check, who knows the line.
func (s *source) text(latin1 bool) (_ *bufio.Reader, err error) {
	if s.utf8 == nil {
		s.utf8, err = s.asText(latin1)
	}
	return s.utf8, err
}

// begin is how the text begins, up to a line's end.
func (s *source) begin(latin1 bool) (string, error) {
	in, err := s.text(latin1)
	if err != nil {
		return "", err
	}
	part, err := in.Peek(in.Size())
	if err == nil {
		part = part[:bytes.LastIndexByte(part, '\n')+1]
	} else if err != io.EOF {
		return "", err
	}
	return string(part), nil
}

func (s *source) asText(latin1 bool) (*bufio.Reader, error) {
	in, err := s.unpacked()
	if err != nil {
		return nil, err
	}
	if latin1 {
		return bufio.NewReaderSize(charmap.ISO8859_1.NewDecoder().Reader(in), sourceBuffer), nil
	}
	mark, err := in.Peek(3)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if bytes.HasPrefix(mark, []byte("\xff\xfe")) || bytes.HasPrefix(mark, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("the file is UTF-16; convert it to UTF-8 (iconv -f utf-16 -t utf-8)")
	}
	if string(mark) == "\ufeff" {
		_, err = in.Discard(len(mark))
		return in, err
	}
	return in, nil
}

// unpacked is the source, out of gzip where it is in it.
func (s *source) unpacked() (*bufio.Reader, error) {
	in := bufio.NewReaderSize(s, sourceBuffer)
	magic, err := in.Peek(3)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if string(magic) != "\x1f\x8b\x08" { // the third byte is deflate, the only method that there is
		return in, nil
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(z, sourceBuffer), nil
}

// whole calls use with bytes that can be read in any order: a file's own, else all of them in memory.
func (s *source) whole(use func(in io.ReaderAt, size int64) error) error {
	if s.file != nil && s.size > 0 {
		return use(s.file, s.size)
	}
	raw, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	return use(bytes.NewReader(raw), int64(len(raw)))
}
