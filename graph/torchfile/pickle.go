package torchfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"

	"github.com/peftgraph/peftgraph/graph"
)

// opcodes are the instructions that torch.save writes, with what follows each: a number is that many bytes, and the
// negative ones are the forms below. Everything else, such as the ones that make objects, is refused before anything runs.
var opcodes = map[byte]int{
	0x80: 1, 0x95: 8, // PROTO, FRAME
	'(': 0, '.': 0, // MARK, STOP
	'N': 0, 0x88: 0, 0x89: 0, // None, True, False
	'K': 1, 'M': 2, 'J': 4, 'G': 8, 0x8a: bytes1, // integers and floats
	'X': bytes4, 0x8c: bytes1, // strings
	'}': 0, ']': 0, ')': 0, 't': 0, 0x85: 0, 0x86: 0, 0x87: 0, // containers
	's': 0, 'u': 0, 'a': 0, 'e': 0, // what goes into them
	'q': 1, 'r': 4, 'h': 1, 'j': 4, 0x94: 0, // the memo
	'c': lines2, 0x93: 0, 'R': 0, 'Q': 0, 'b': 0, // GLOBAL, STACK_GLOBAL, REDUCE, BINPERSID, BUILD
}

const (
	bytes1 = -1 // a length of one byte, and as many bytes
	bytes4 = -2 // a length of four bytes, and as many bytes
	lines2 = -3 // two lines
)

// scan checks the program at the start of data and returns its length. The machine that runs it makes room for whatever
// length an argument claims, so none may claim more than there is.
func scan(data []byte) (int64, error) {
	at := 0
	for at < len(data) {
		op := data[at]
		rest := data[at+1:]
		form, ok := opcodes[op]
		if !ok {
			return 0, fmt.Errorf("pickle instruction %#02x at byte %d is none that torch.save writes: refused", op, at)
		}
		n := form
		switch {
		case form == bytes1 && len(rest) >= 1:
			n = 1 + int(rest[0])
		case form == bytes4 && len(rest) >= 4:
			n = 4 + int(binary.LittleEndian.Uint32(rest))
		case form == lines2:
			n = bytes.IndexByte(rest, '\n') + 1
			if n > 0 {
				n += bytes.IndexByte(rest[n:], '\n') + 1
			}
			if n == 0 || rest[n-1] != '\n' {
				n = -1
			}
		case op == 0x95 && len(rest) >= 8:
			if size := binary.LittleEndian.Uint64(rest); size > uint64(len(rest)-8) {
				return 0, fmt.Errorf("pickle frame at byte %d of %d bytes: cut short", at, size)
			}
		}
		if n < 0 || n > len(rest) {
			return 0, fmt.Errorf("pickle instruction %#02x at byte %d: its argument was cut short", op, at)
		}
		at += 1 + n
		if op == '.' {
			return int64(at), nil
		}
	}
	return 0, errors.New("the pickle has no end: it was cut short")
}

// unpickle runs the program at the start of data and returns what it made and how long it was.
func unpickle(data []byte) (v any, n int64, err error) {
	if len(data) > largestPickle {
		data = data[:largestPickle]
	}
	if n, err = scan(data); err != nil {
		return nil, 0, err
	}
	// The machine panics on programs that take from an empty stack and the like.
	defer func() {
		if r := recover(); r != nil {
			v, n, err = nil, 0, fmt.Errorf("damaged pickle: %v", r)
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(data[:n]))
	u.FindClass, u.PersistentLoad = find, persistent
	v, err = u.Load()
	return v, n, err
}

var storages = map[string]graph.DType{
	"FloatStorage": graph.Float, "HalfStorage": graph.Float16, "DoubleStorage": graph.Double, "BFloat16Storage": graph.BFloat16,
	"LongStorage": graph.Int64, "IntStorage": graph.Int32, "ShortStorage": graph.Int16, "CharStorage": graph.Int8,
	"ByteStorage": graph.Uint8, "BoolStorage": graph.Bool,
}

// find returns what a name in a pickle stands for: nothing but what describes tensors.
func find(module, name string) (any, error) {
	if d, ok := storages[name]; ok && module == "torch" {
		return d, nil
	}
	switch module + "." + name {
	case "torch._utils._rebuild_tensor_v2":
		return call(rebuildTensor), nil
	case "torch._utils._rebuild_parameter":
		return call(rebuildParameter), nil
	}
	return nil, fmt.Errorf("the pickle refers to %s.%s, which is no part of a tensor: refused", module, name)
}

// A call is one of our own functions that a pickle may call.
type call func(args []any) (any, error)

var _ types.Callable = call(nil)

// Call implements the pickle machine's interface.
func (c call) Call(args ...any) (any, error) { return c(args) }

// rebuildTensor is _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks, …).
func rebuildTensor(args []any) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("a tensor with %d arguments", len(args))
	}
	s, ok := args[0].(storage)
	off, isInt := args[1].(int)
	dims, errDims := ints(args[2])
	strides, errStrides := ints(args[3])
	if !ok || !isInt {
		return nil, fmt.Errorf("a tensor in %T at %v", args[0], args[1])
	}
	return view{s, int64(off), dims, strides}, errors.Join(errDims, errStrides)
}

// rebuildParameter is _rebuild_parameter(data, requires_grad, backward_hooks).
func rebuildParameter(args []any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("a parameter without a tensor")
	}
	return args[0], nil
}

func ints(v any) ([]int64, error) {
	t, ok := v.(*types.Tuple)
	if !ok {
		return nil, fmt.Errorf("%T, want a tuple of numbers", v)
	}
	out := make([]int64, t.Len())
	for i := range out {
		n, ok := t.Get(i).(int)
		if !ok {
			return nil, fmt.Errorf("%T in a tensor's dimensions", t.Get(i))
		}
		out[i] = int64(n)
	}
	return out, nil
}

// persistent reads a storage's identity: ("storage", type, key, device, elements, …).
func persistent(id any) (any, error) {
	t, ok := id.(*types.Tuple)
	if !ok || t.Len() < 5 || t.Get(0) != "storage" {
		return nil, fmt.Errorf("a reference that is no storage: %v", id)
	}
	d, isType := t.Get(1).(graph.DType)
	key, isKey := t.Get(2).(string)
	if !isType || !isKey {
		return nil, fmt.Errorf("a storage of type %T", t.Get(1))
	}
	if t.Len() > 5 && t.Get(5) != nil {
		return nil, errors.New("a storage that is a part of another, as old PyTorch wrote: load and save it with a newer one")
	}
	return storage{key, d}, nil
}
