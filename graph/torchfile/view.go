package torchfile

import (
	"container/list"
	"fmt"
	"slices"

	"github.com/nlpodyssey/gopickle/types"

	"github.com/peftgraph/peftgraph/graph"
)

// A storage is a named run of elements; a view is a tensor in one.
type (
	storage struct {
		key   string
		dtype graph.DType
	}
	view struct {
		storage       storage
		offset        int64 // of the first element, in elements
		dims, strides []int64
	}
)

// bind gives the views of a state dict their bytes.
func bind(dict any, f graph.File, storages map[string]extent) (map[string]*graph.Tensor, error) {
	out := map[string]*graph.Tensor{}
	err := each(dict, func(name string, v view) error {
		at, ok := storages[v.storage.key]
		if !ok {
			return fmt.Errorf("tensor %q: its storage %q is missing", name, v.storage.key)
		}
		t, err := v.tensor(f, at)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		out[name] = t
		return nil
	})
	return out, err
}

// each calls do for the tensors of a dictionary.
func each(dict any, do func(string, view) error) error {
	entry := func(k, v any) error {
		name, isName := k.(string)
		x, isTensor := v.(view)
		if !isName || !isTensor {
			return fmt.Errorf("%v is no tensor: want a state dict, a dictionary of tensors by name", k)
		}
		return do(name, x)
	}
	switch d := dict.(type) {
	case *types.Dict:
		for _, e := range *d {
			if err := entry(e.Key, e.Value); err != nil {
				return err
			}
		}
		return nil
	case *types.OrderedDict:
		return eachOrdered(d.List, entry)
	}
	return fmt.Errorf("it holds %T: want a state dict, a dictionary of tensors by name", dict)
}

func eachOrdered(l *list.List, do func(k, v any) error) error {
	for e := l.Front(); e != nil; e = e.Next() {
		entry, ok := e.Value.(*types.OrderedDictEntry)
		if !ok {
			return fmt.Errorf("a dictionary entry is %T", e.Value)
		}
		if err := do(entry.Key, entry.Value); err != nil {
			return err
		}
	}
	return nil
}

// tensor returns the view as a tensor that refers to the file, or a copy where its elements don't lie in order.
func (v view) tensor(f graph.File, at extent) (*graph.Tensor, error) {
	size := v.storage.dtype.Size()
	n, last, ordered, err := v.span()
	if err != nil {
		return nil, err
	}
	if n > 0 && last >= at.length/size {
		return nil, fmt.Errorf("%v with strides %v from element %d on needs %d elements; its storage has %d", v.dims, v.strides, v.offset, last+1, at.length/size)
	}
	if n == 0 {
		return graph.NewTensor(v.storage.dtype, v.dims, nil)
	}
	if ordered {
		return graph.NewRefTensor(v.storage.dtype, v.dims, graph.Ref{File: f, Offset: at.offset + v.offset*size, Length: n * size})
	}
	if n > at.length/size {
		return nil, fmt.Errorf("%v with strides %v repeats elements of its storage", v.dims, v.strides)
	}
	all, err := f.Bytes(at.offset, at.length)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, n*size)
	index := make([]int64, len(v.dims))
	for range n {
		e := v.offset
		for i, k := range index {
			e += k * v.strides[i]
		}
		out = append(out, all[e*size:(e+1)*size]...)
		for i := len(index) - 1; i >= 0; i-- {
			if index[i]++; index[i] < v.dims[i] {
				break
			}
			index[i] = 0
		}
	}
	return graph.NewTensor(v.storage.dtype, v.dims, out)
}

// span returns how many elements the view has, the last one's place in the storage, and whether they lie in order there.
func (v view) span() (n, last int64, ordered bool, err error) {
	const most = 1 << 40
	if len(v.dims) != len(v.strides) || len(v.dims) > 16 || v.offset < 0 || v.offset > most {
		return 0, 0, false, fmt.Errorf("dimensions %v, strides %v, offset %d: damaged", v.dims, v.strides, v.offset)
	}
	n, last, ordered = 1, v.offset, true
	for i, d := range slices.Backward(v.dims) {
		s := v.strides[i]
		if d < 0 || d > most || s < 0 || s > most || d > 0 && n > most/d || d > 1 && s > most/d {
			return 0, 0, false, fmt.Errorf("dimensions %v, strides %v: damaged", v.dims, v.strides)
		}
		if d > 1 {
			ordered = ordered && s == n
			last += (d - 1) * s
		}
		n *= d
	}
	return n, last, ordered, nil
}
