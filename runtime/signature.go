package runtime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/peftgraph/peftgraph/graph"
)

// ValueInfo is what a model declares about one of its inputs or outputs.
type ValueInfo struct {
	Name  string
	DType graph.DType
	Shape graph.Shape
}

func (v ValueInfo) String() string { return fmt.Sprintf("%q %s%s", v.Name, v.DType, v.Shape) }

// signature is a model's declared interface.
type signature struct {
	inputs   []ValueInfo // that a run must feed
	defaults []ValueInfo // that a run may feed: inputs with an initializer
	outputs  []ValueInfo
}

// readSignature reads a model's declared interface from the file format itself, skipping over everything else. The binding
// can tell it only of a model that it loads a second time, and then without the names of dimensions.
func readSignature(r io.ReaderAt, size int64) (*signature, error) {
	var inputs []ValueInfo
	var s signature
	initializers := map[string]bool{}
	initializer := func(m message) error {
		name, err := m.text(8) // TensorProto.name
		initializers[name] = true
		return err
	}
	graphs := 0
	err := message{r, 0, size}.each(func(field uint64, m message, _ uint64) error {
		if field != 7 { // ModelProto.graph
			return nil
		}
		graphs++
		return m.each(func(field uint64, m message, _ uint64) (err error) {
			var v ValueInfo
			switch field { // of GraphProto
			case 5:
				err = initializer(m)
			case 15: // sparse_initializer, whose field values is a tensor
				err = m.sub(1, initializer)
			case 11:
				v, err = readValueInfo(m)
				inputs = append(inputs, v)
			case 12:
				v, err = readValueInfo(m)
				s.outputs = append(s.outputs, v)
			}
			return err
		})
	})
	if err == nil && (graphs == 0 || len(s.outputs) == 0) {
		err = errors.New("it holds no graph with outputs")
	}
	for _, in := range inputs {
		if initializers[in.Name] {
			s.defaults = append(s.defaults, in)
		} else {
			s.inputs = append(s.inputs, in)
		}
	}
	return &s, err
}

func readValueInfo(m message) (ValueInfo, error) {
	var v ValueInfo
	var err error
	if v.Name, err = m.text(1); err != nil { // ValueInfoProto.name
		return v, err
	}
	err = m.sub(2, func(m message) error { // ValueInfoProto.type
		return m.sub(1, func(m message) error { // TypeProto.tensor_type
			return m.each(func(field uint64, m message, n uint64) error {
				switch field { // of TypeProto.Tensor
				case 1:
					v.DType = graph.DType(n)
				case 2:
					v.Shape = graph.Shape{}
					return m.sub(1, func(m message) error { // TensorShapeProto.dim
						dim, err := readDim(m)
						v.Shape = append(v.Shape, dim)
						return err
					})
				}
				return nil
			})
		})
	})
	return v, err
}

func readDim(m message) (graph.Dim, error) {
	dim := graph.UnknownDim()
	err := m.each(func(field uint64, m message, n uint64) error {
		switch field { // of TensorShapeProto.Dimension
		case 1:
			dim = graph.Fixed(int64(n))
		case 2:
			name, err := m.all()
			if name != "" {
				dim = graph.Symbol(name)
			}
			return err
		}
		return nil
	})
	if dim.Sym == "" && dim.N < 0 {
		dim = graph.UnknownDim()
	}
	return dim, err
}

// message is the part of a file that holds one protobuf message.
type message struct {
	r        io.ReaderAt
	off, end int64
}

var errCut = errors.New("it is no ONNX file, or it is cut off")

// each calls f for the message's fields in turn: with a part of the file for one that has a length, with a number for a varint.
func (m message) each(f func(field uint64, part message, number uint64) error) error {
	for m.off < m.end {
		tag, err := m.varint()
		if err != nil {
			return err
		}
		part, number := message{m.r, m.off, m.off}, uint64(0)
		switch tag & 7 {
		case 0:
			number, err = m.varint()
		case 1:
			m.off += 8
		case 2:
			var n uint64
			n, err = m.varint()
			if n > uint64(m.end-m.off) {
				err = errCut
			} else {
				part = message{m.r, m.off, m.off + int64(n)}
				m.off = part.end
			}
		case 5:
			m.off += 4
		default:
			err = errCut
		}
		if err == nil && m.off > m.end {
			err = errCut
		}
		if err != nil {
			return err
		}
		if err := f(tag>>3, part, number); err != nil {
			return err
		}
	}
	return nil
}

// varint reads a number and moves behind it.
func (m *message) varint() (uint64, error) {
	var buf [binary.MaxVarintLen64]byte
	n, err := m.r.ReadAt(buf[:min(int64(len(buf)), max(0, m.end-m.off))], m.off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	v, size := binary.Uvarint(buf[:n])
	if size <= 0 {
		return 0, errCut
	}
	m.off += int64(size)
	return v, nil
}

// sub calls f for each field of that number.
func (m message) sub(want uint64, f func(message) error) error {
	return m.each(func(field uint64, part message, _ uint64) error {
		if field != want {
			return nil
		}
		return f(part)
	})
}

// text returns a string field.
func (m message) text(want uint64) (text string, err error) {
	err = m.sub(want, func(part message) (err error) {
		text, err = part.all()
		return err
	})
	return text, err
}

// all returns the bytes of the whole message, a name here.
func (m message) all() (string, error) {
	const longest = 1 << 20
	if m.end-m.off > longest {
		return "", errCut
	}
	buf := make([]byte, m.end-m.off)
	if _, err := m.r.ReadAt(buf, m.off); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(buf), nil
}
