package onnxfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/peftgraph/peftgraph/graph"
)

// How much of each initializer [Fingerprint] looks at: this many windows of this many bytes, evenly spread.
const (
	windows    = 64
	windowSize = 256
)

// Fingerprint identifies a model, for telling whether an adapter belongs to it: the SHA-256, in hex, of its operators and
// wiring and of each initializer's name, type, dimensions and a sample of its bytes. The sample is 64 windows of 256 bytes
// evenly spread over the tensor, its first and last bytes included; so it takes milliseconds whatever the model's size,
// recognises any other training of the model, and misses a change of a few single elements. Use [HashInitializers] to
// prove that nothing changed. Metadata and node names don't count.
func Fingerprint(g *graph.Graph) (string, error) {
	p := &printer{hash: sha256.New()}
	p.graph(g)
	if p.err != nil {
		return "", fmt.Errorf("onnxfile: fingerprint of %q: %w", g.Name, p.err)
	}
	return hex.EncodeToString(p.hash.Sum(nil)), nil
}

// A printer feeds a graph into a hash. Every string is preceded by its length, so that no two graphs read alike.
type printer struct {
	hash hash.Hash
	buf  [windows * windowSize]byte
	err  error
}

func (p *printer) str(ss ...string) {
	p.num(int64(len(ss)))
	for _, s := range ss {
		p.num(int64(len(s)))
		p.hash.Write([]byte(s))
	}
}

func (p *printer) num(ns ...int64) {
	for _, n := range ns {
		p.hash.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	}
}

func (p *printer) graph(g *graph.Graph) {
	p.num(g.Opset())
	p.str(valueNames(g.Inputs())...)
	p.str(valueNames(g.Outputs())...)
	for _, n := range g.Nodes() {
		p.str(n.Domain, n.Op)
		p.str(valueNames(n.Inputs())...)
		p.str(valueNames(n.Outputs())...)
		for _, a := range n.Attrs {
			p.attr(&a)
		}
	}
	for _, v := range g.Initializers() {
		p.str(v.Name())
		p.tensor(v.Init())
	}
}

func (p *printer) attr(a *graph.Attr) {
	p.str(a.Name, a.S)
	p.num(int64(a.Kind), a.I)
	p.str(fmt.Sprint(a.F, a.Floats))
	p.num(a.Ints...)
	p.str(a.Strings...)
	for _, t := range append(slices.Clone(a.Tensors), a.T) {
		if t != nil {
			p.tensor(t)
		}
	}
	for _, g := range append(slices.Clone(a.Graphs), a.G) {
		if g != nil {
			p.graph(g)
		}
	}
}

// tensor samples t. Bytes in a file are read rather than mapped, so that a page of 4 kB isn't resident for each window.
func (p *printer) tensor(t *graph.Tensor) {
	p.num(int64(t.DType), int64(len(t.Dims)))
	p.num(t.Dims...)
	r := readerOf(t)
	if r.Size() <= windows*windowSize {
		p.window(t, r, 0, r.Size())
		return
	}
	for k := range int64(windows) {
		p.window(t, r, k*(r.Size()-windowSize)/(windows-1), windowSize)
	}
}

func (p *printer) window(t *graph.Tensor, r io.ReaderAt, off, n int64) {
	if _, err := r.ReadAt(p.buf[:n], off); err != nil && err != io.EOF && p.err == nil {
		p.err = fmt.Errorf("tensor %s%v: %w", t.DType, t.Dims, err)
	}
	p.hash.Write(p.buf[:n])
}

// HashInitializers returns the [HashTensor] of each initializer, by name.
func HashInitializers(g *graph.Graph) (map[string]string, error) {
	out := map[string]string{}
	for _, v := range g.Initializers() {
		var err error
		if out[v.Name()], err = HashTensor(v.Init()); err != nil {
			return nil, fmt.Errorf("onnxfile: hash of initializer %q: %w", v.Name(), err)
		}
	}
	return out, nil
}

// HashTensor returns the SHA-256, in hex, of all bytes of t. Those in a file are read, not mapped.
func HashTensor(t *graph.Tensor) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, readerOf(t)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readerOf returns a reader of the bytes of t.
func readerOf(t *graph.Tensor) *io.SectionReader {
	r := t.Ref()
	if r == nil {
		b, _ := t.Bytes() // fails for files only
		return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
	}
	if f, ok := r.File.(io.ReaderAt); ok {
		return io.NewSectionReader(f, r.Offset, r.Length)
	}
	return io.NewSectionReader(fileReader{r.File}, r.Offset, r.Length)
}

// A fileReader reads from a file that offers slices only.
type fileReader struct{ graph.File }

// ReadAt implements [io.ReaderAt].
func (f fileReader) ReadAt(p []byte, off int64) (int, error) {
	b, err := f.Bytes(off, int64(len(p)))
	return copy(p, b), err
}
