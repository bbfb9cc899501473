// Package safetensors reads and writes the safetensors format: a little-endian 64-bit header length, a JSON header padded
// with spaces, and the tensors' bytes.
//
// What it writes is what the reference implementation writes for the same tensors, to the byte: metadata first, tensors by
// falling alignment of their element type and then by name.
package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/atomicfile"
	"github.com/peftgraph/peftgraph/internal/mapfile"
)

// maxHeader is the reference implementation's limit on the JSON header.
const maxHeader = 100 << 20

// A Contents is what one file holds.
type Contents struct {
	Metadata map[string]string
	Tensors  map[string]*graph.Tensor
}

// Names returns the tensors' names, sorted.
func (c *Contents) Names() []string {
	out := make([]string, 0, len(c.Tensors))
	for n := range c.Tensors {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

type element struct {
	name  string
	dtype graph.DType
}

// The element types in the reference implementation's order; it sorts tensors by falling order in this list.
var dtypes = []element{
	{"BOOL", graph.Bool}, {"U8", graph.Uint8}, {"I8", graph.Int8}, {"I16", graph.Int16}, {"U16", graph.Uint16},
	{"F16", graph.Float16}, {"BF16", graph.BFloat16}, {"I32", graph.Int32}, {"U32", graph.Uint32}, {"F32", graph.Float},
	{"F64", graph.Double}, {"I64", graph.Int64}, {"U64", graph.Uint64},
}

func rank(d graph.DType) int {
	return slices.IndexFunc(dtypes, func(e element) bool { return e.dtype == d })
}

type entry struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// Read parses a file whose bytes f gives access to; size is the file's length. The tensors refer to f and copy nothing.
func Read(f graph.File, size int64) (*Contents, error) {
	if size < 8 {
		return nil, fmt.Errorf("safetensors: %s: %d bytes: too short to be a safetensors file", f.Path(), size)
	}
	head, err := f.Bytes(0, 8)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", f.Path(), err)
	}
	n := binary.LittleEndian.Uint64(head)
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("safetensors: %s: a header of %d bytes in a file of %d: not a safetensors file, or cut short", f.Path(), n, size)
	}
	text, err := f.Bytes(8, int64(n))
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", f.Path(), err)
	}
	c := &Contents{Tensors: map[string]*graph.Tensor{}}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("safetensors: %s: header: %w", f.Path(), err)
	}
	if name := repeated(text); name != "" {
		return nil, fmt.Errorf("safetensors: %s: header: there are two tensors %q", f.Path(), name)
	}
	start := int64(n) + 8
	for name, value := range raw {
		if name == "__metadata__" {
			if err := json.Unmarshal(value, &c.Metadata); err != nil {
				return nil, fmt.Errorf("safetensors: %s: __metadata__: %w", f.Path(), err)
			}
			continue
		}
		t, err := tensor(f, value, start, size)
		if err != nil {
			return nil, fmt.Errorf("safetensors: %s: tensor %q: %w", f.Path(), name, err)
		}
		c.Tensors[name] = t
	}
	return c, nil
}

// repeated returns a name that comes twice in a JSON object, "" where none does: encoding/json keeps the last of them, and other
// readers may keep the first.
func repeated(object []byte) string {
	d := json.NewDecoder(bytes.NewReader(object))
	seen := map[string]bool{}
	_, err := d.Token()
	for err == nil && d.More() {
		var name json.Token
		name, err = d.Token()
		text, _ := name.(string)
		if seen[text] {
			return text
		}
		seen[text] = true
		err = cmp.Or(err, d.Decode(new(json.RawMessage)))
	}
	return ""
}

func tensor(f graph.File, value json.RawMessage, start, size int64) (*graph.Tensor, error) {
	var e entry
	if err := json.Unmarshal(value, &e); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(dtypes, func(d element) bool { return d.name == e.DType })
	if i < 0 {
		return nil, fmt.Errorf("element type %q is not supported", e.DType)
	}
	from, to := e.Offsets[0], e.Offsets[1]
	if from < 0 || to < from || to > size-start {
		return nil, fmt.Errorf("data at %d–%d in a file that has %d bytes of data: the file is cut short", from, to, size-start)
	}
	if e.Shape == nil {
		e.Shape = []int64{}
	}
	return graph.NewRefTensor(dtypes[i].dtype, e.Shape, graph.Ref{File: f, Offset: start + from, Length: to - from})
}

// Write writes the tensors in the reference implementation's order.
func Write(w io.Writer, c *Contents) error {
	names := c.Names()
	for _, n := range names {
		if rank(c.Tensors[n].DType) < 0 {
			return fmt.Errorf("safetensors: tensor %q: element type %s can't be stored", n, c.Tensors[n].DType)
		}
	}
	sort.SliceStable(names, func(i, j int) bool {
		return rank(c.Tensors[names[i]].DType) > rank(c.Tensors[names[j]].DType)
	})
	header, err := header(c, names)
	if err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(header))); err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	for _, n := range names {
		data, err := c.Tensors[n].Bytes()
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			return fmt.Errorf("safetensors: tensor %q: %w", n, err)
		}
	}
	return nil
}

// header writes the JSON by hand: encoding/json sorts map keys, and the format's order is part of its bytes.
func header(c *Contents, names []string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	field := func(key string, value any) error {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		k, errK := marshal(key)
		v, errV := marshal(value)
		b.Write(k)
		b.WriteByte(':')
		b.Write(v)
		return errors.Join(errK, errV)
	}
	var err error
	if len(c.Metadata) > 0 {
		err = field("__metadata__", c.Metadata)
	}
	at := int64(0)
	for _, n := range names {
		t := c.Tensors[n]
		shape := t.Dims
		if shape == nil {
			shape = []int64{}
		}
		length := t.Len() * t.DType.Size()
		err = errors.Join(err, field(n, entry{dtypes[rank(t.DType)].name, shape, [2]int64{at, at + length}}))
		at += length
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	return b.Bytes(), nil
}

// marshal is json.Marshal without HTML escaping, which the reference implementation doesn't do either.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// Open maps a safetensors file.
func Open(path string) (*Contents, error) {
	f, err := mapfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return Read(f, f.Size())
}

// Save writes a file, whole or not at all.
func Save(path string, c *Contents) error {
	return atomicfile.Write(path, func(w io.Writer) error { return Write(w, c) })
}
