package onnxfile

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/peftgraph/peftgraph/graph"
)

// A body is an encoded message whose large pieces are still tensors: its size is known before a byte of them is read.
type body struct {
	parts []part
	size  int64
}

// A part is either encoded bytes or the bytes of a tensor.
type part struct {
	data   []byte
	tensor *graph.Tensor
	size   int64
}

func (b *body) raw(p []byte) {
	if len(p) == 0 {
		return
	}
	if n := len(b.parts); n > 0 && b.parts[n-1].tensor == nil {
		last := &b.parts[n-1]
		last.data = append(last.data, p...)
		last.size += int64(len(p))
	} else {
		b.parts = append(b.parts, part{data: append([]byte(nil), p...), size: int64(len(p))})
	}
	b.size += int64(len(p))
}

// proto appends the fields of m.
func (b *body) proto(m proto.Message) error {
	p, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	b.raw(p)
	return err
}

// message appends sub as the length-delimited field num.
func (b *body) message(num protowire.Number, sub *body) {
	b.header(num, sub.size)
	for _, p := range sub.parts {
		if p.tensor == nil {
			b.raw(p.data)
			continue
		}
		b.parts = append(b.parts, p)
		b.size += p.size
	}
}

// payload appends the n bytes of t as the length-delimited field num.
func (b *body) payload(num protowire.Number, t *graph.Tensor, n int64) {
	b.header(num, n)
	if n > 0 {
		b.parts = append(b.parts, part{tensor: t, size: n})
		b.size += n
	}
}

func (b *body) header(num protowire.Number, n int64) {
	b.raw(protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(n)))
}
