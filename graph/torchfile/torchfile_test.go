package torchfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The state dict that torch.save wrote is read whole in each of its formats; views keep their order.
func TestOpen(t *testing.T) {
	text, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		Shape []int64
		Data  []float64
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"zip.bin", "legacy.bin", "plain_dict.bin"} {
		got, err := Open(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d tensors, want %d", file, len(got), len(want))
		}
		for name, w := range want {
			x := got[name]
			if x == nil {
				t.Errorf("%s: %s is missing", file, name)
				continue
			}
			data, err := x.Float64s()
			if err != nil || !slices.Equal(x.Dims, w.Shape) || !slices.Equal(data, w.Data) {
				t.Errorf("%s: %s is %v %v, want %v: %v", file, name, x.Dims, data, w, err)
			}
		}
		if got["part"].Ref() == nil || got["transposed"].Ref() != nil {
			t.Errorf("%s: a tensor in order is copied, or one out of order isn't", file)
		}
	}
}

// What is no state dict is refused by name, and nothing runs.
func TestRefusals(t *testing.T) {
	for file, want := range map[string]string{
		"evil_zip.bin": "system", "evil_legacy.bin": "system", "evil_eval.bin": "eval", "evil_protocol0.bin": "instruction",
		"evil_protocol4.bin": "system", "list.bin": "state dict", "checkpoint.bin": "epoch",
	} {
		_, err := Open(filepath.Join("testdata", file))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v, want an error with the file and %q", file, err, want)
		}
	}
	if _, err := os.Stat("torchfile-was-here"); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("a pickle ran a command")
	}
}

// Every way to cut a file short is an error and never a panic.
func TestCutShort(t *testing.T) {
	for _, file := range []string{"zip.bin", "legacy.bin"} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(data); n += 7 {
			if _, err := Read(memory(data[:n]), int64(n)); err == nil {
				t.Errorf("%s cut to %d of %d bytes: accepted", file, n, len(data))
			}
		}
	}
}

func TestPickleArguments(t *testing.T) {
	for name, c := range map[string]struct{ program, want string }{
		"empty":              {"", "no end"},
		"no end":             {"\x80\x02}", "no end"},
		"foreign":            {"\x80\x02i__builtin__\neval\n.", "0x69"},
		"long string":        {"\x80\x02X\xff\xff\xff\x7fab.", "cut short"},
		"long frame":         {"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.", "cut short"},
		"half a name":        {"\x80\x02ctorch\n", "cut short"},
		"empty stack":        {"\x80\x02R.", ""},
		"odd items":          {"\x80\x02}(K\x01u.", "damaged"},
		"another storage":    {"\x80\x02U", "0x55"},
		"unhashable":         {"\x80\x02ccollections\nOrderedDict\n)R}}s.", ""},
		"tensor of thin air": {"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))tRs.", "a tensor in int"},
	} {
		if v, _, err := unpickle([]byte(c.program)); err == nil && each(v, func(string, view) error { return nil }) == nil || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v; want %q", name, v, err, c.want)
		}
	}
}

// A view that claims more than its storage has is refused before anything is copied.
func TestViews(t *testing.T) {
	at := extent{0, 24}
	for name, v := range map[string]view{
		"past the end":     {offset: 5, dims: []int64{2}, strides: []int64{1}},
		"huge":             {dims: []int64{1 << 39, 1 << 39}, strides: []int64{1 << 39, 1}},
		"negative":         {dims: []int64{-1}, strides: []int64{1}},
		"negative stride":  {offset: 3, dims: []int64{3}, strides: []int64{-1}},
		"repeated":         {dims: []int64{1 << 30, 2}, strides: []int64{0, 1}},
		"no stride":        {dims: []int64{2}},
		"negative offset":  {offset: -1, dims: []int64{1}, strides: []int64{1}},
		"overflowing step": {dims: []int64{3}, strides: []int64{1 << 62}},
	} {
		v.storage.dtype = 1
		if x, err := v.tensor(memory(make([]byte, 24)), at); err == nil {
			t.Errorf("%s: became %v", name, x)
		}
	}
}

type memory []byte

func (m memory) Path() string { return "/memory" }

func (m memory) Bytes(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > int64(len(m))-n {
		return nil, errors.New("out of range")
	}
	return m[off : off+n], nil
}

// Whatever the bytes, reading ends, and what it returns lies inside them.
func FuzzRead(f *testing.F) {
	for _, file := range []string{"zip.bin", "legacy.bin", "evil_zip.bin", "evil_protocol0.bin"} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		if i := bytes.Index(data, []byte("\x80\x02")); i >= 0 {
			f.Add(data[i:])
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := Read(memory(data), int64(len(data)))
		if err != nil {
			return
		}
		for name, x := range tensors {
			if _, err := x.Float64s(); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}
