package runtime

import (
	"sync"

	"github.com/peftgraph/peftgraph/graph"
)

// pool keeps the memory of outputs that the caller no longer needs, by size in bytes.
type pool struct {
	mu   sync.Mutex
	free map[int64][][]byte
}

// perSize bounds how many buffers of one size wait for use: a training loop recycles one set of outputs a step.
const perSize = 4

func (p *pool) get(n int64) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.free[n]
	if len(list) == 0 {
		return make([]byte, n)
	}
	p.free[n] = list[:len(list)-1]
	return list[len(list)-1]
}

func (p *pool) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := int64(len(b))
	if p.free == nil {
		p.free = map[int64][][]byte{}
	}
	if n > 0 && len(p.free[n]) < perSize {
		p.free[n] = append(p.free[n], b)
	}
}

// Recycle gives the memory of tensors that Run has returned back to the session, which writes later outputs of the same size
// into it. Nothing may use them, nor slices of their data, any more. It spares the allocation of large outputs in a loop.
func (s *Session) Recycle(tensors ...*graph.Tensor) {
	for _, t := range tensors {
		if t == nil || t.Ref() != nil {
			continue
		}
		if data, err := t.Bytes(); err == nil {
			s.pool.put(data)
		}
	}
}
