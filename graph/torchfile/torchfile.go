// Package torchfile reads the tensors of files that PyTorch's torch.save wrote: `pytorch_model.bin`, `adapter_model.bin`.
//
// Such a file is a pickle, a program for a small stack machine, which in Python may call any function. Here it can call
// nothing: a program is run only when all its instructions are among those that torch.save writes and all its arguments lie
// inside the file, the only names it can refer to are the ones that describe a tensor, and these build descriptions.
package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"path"
	"strings"

	"github.com/nlpodyssey/gopickle/types"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/internal/mapfile"
)

// largestPickle is far more than the description of any model takes; the tensors themselves lie outside it.
const largestPickle = 64 << 20

// Open reads a state dict, a dictionary of tensors by name. The tensors' bytes stay in the file, unless a tensor is a view
// that doesn't lie in order; that one is copied.
func Open(path string) (map[string]*graph.Tensor, error) {
	f, err := mapfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("torchfile: %w", err)
	}
	out, err := Read(f, f.Size())
	if err != nil {
		return nil, fmt.Errorf("torchfile: %s: %w", path, err)
	}
	return out, nil
}

// Read is [Open] for a file of size bytes that is open already.
func Read(f graph.File, size int64) (map[string]*graph.Tensor, error) {
	data, err := f.Bytes(0, size)
	if err != nil {
		return nil, err
	}
	if size > 262 && string(data[257:262]) == "ustar" {
		return nil, errors.New("a tar archive, as PyTorch wrote before 0.1.10: load and save it with a newer PyTorch")
	}
	var (
		dict     any
		storages map[string]extent
	)
	if bytes.HasPrefix(data, []byte("PK")) {
		dict, storages, err = readZip(data)
	} else {
		dict, storages, err = readLegacy(data)
	}
	if err != nil {
		return nil, err
	}
	return bind(dict, f, storages)
}

// An extent is where a storage's bytes are in the file.
type extent struct{ offset, length int64 }

// readZip reads the format of PyTorch 1.6 and later: an archive with data.pkl and, uncompressed, data/0, data/1, …
func readZip(data []byte) (dict any, storages map[string]extent, err error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, nil, err
	}
	storages = map[string]extent{}
	var program []byte
	for _, f := range z.File {
		// The archive's own folder comes first: "archive/data.pkl".
		_, name, _ := strings.Cut(f.Name, "/")
		switch {
		case name == "data.pkl":
			if program, err = unzip(f); err != nil {
				return nil, nil, err
			}
		case name == "constants.pkl":
			return nil, nil, errors.New("a TorchScript program, not a state dict")
		case name == "byteorder":
			if order, err := unzip(f); err != nil || string(order) != "little" {
				return nil, nil, fmt.Errorf("byte order %.10q: only little-endian files can be read", order)
			}
		case path.Dir(name) == "data":
			off, err := f.DataOffset()
			if err != nil || f.Method != zip.Store || off > int64(len(data)) || f.UncompressedSize64 > uint64(int64(len(data))-off) {
				return nil, nil, fmt.Errorf("%s is compressed or damaged: PyTorch stores tensors as they are", f.Name)
			}
			storages[path.Base(name)] = extent{off, int64(f.UncompressedSize64)}
		}
	}
	if program == nil {
		return nil, nil, errors.New("the archive has no data.pkl: it isn't PyTorch's")
	}
	dict, _, err = unpickle(program)
	return dict, storages, err
}

func unzip(f *zip.File) ([]byte, error) {
	if f.UncompressedSize64 > largestPickle {
		return nil, fmt.Errorf("%s has %d bytes: no description of tensors is that long", f.Name, f.UncompressedSize64)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, largestPickle))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	return out, nil
}

// The first two pickles of a file of PyTorch before 1.6.
const (
	legacyMagic   = "1950a86a20f9469cfc6c"
	legacyVersion = 1001
)

// readLegacy reads the format of PyTorch before 1.6: five pickles (magic number, version, the writer's system, the state
// dict, the storages' keys) and then, for each key, the number of elements and the elements.
func readLegacy(data []byte) (dict any, storages map[string]extent, err error) {
	var parts [5]any
	at := int64(0)
	for i := range parts {
		v, n, err := unpickle(data[at:])
		if err != nil {
			return nil, nil, err
		}
		parts[i], at = v, at+n
		if m, ok := v.(*big.Int); i == 0 && (!ok || m.Text(16) != legacyMagic) {
			return nil, nil, errors.New("a pickle, but not one of PyTorch's")
		}
	}
	if v, ok := parts[1].(int); !ok || v != legacyVersion {
		return nil, nil, fmt.Errorf("version %v of PyTorch's format: only %d is known", parts[1], legacyVersion)
	}
	keys, ok := parts[4].(*types.List)
	if !ok {
		return nil, nil, errors.New("the list of storages is missing")
	}
	sizes := elementSizes(parts[3])
	storages = map[string]extent{}
	for _, k := range *keys {
		key, ok := k.(string)
		size := sizes[key]
		if !ok || size == 0 || at+8 > int64(len(data)) {
			return nil, nil, fmt.Errorf("storage %v at byte %d: the file is damaged or cut short", k, at)
		}
		n := binary.LittleEndian.Uint64(data[at:])
		at += 8
		if n > uint64(int64(len(data))-at)/uint64(size) {
			return nil, nil, fmt.Errorf("storage %s at byte %d needs %d elements: the file was cut short", key, at, n)
		}
		storages[key] = extent{at, int64(n) * size}
		at += int64(n) * size
	}
	return parts[3], storages, nil
}

// elementSizes returns the bytes of one element of each storage that the state dict's tensors are in.
func elementSizes(dict any) map[string]int64 {
	out := map[string]int64{}
	_ = each(dict, func(_ string, v view) error {
		out[v.storage.key] = v.storage.dtype.Size()
		return nil
	})
	return out
}
