package safetensors

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph"
)

// TestBytesEqualTheReference reads what the reference implementation wrote and writes the same bytes.
func TestBytesEqualTheReference(t *testing.T) {
	path := filepath.Join("testdata", "mixed.safetensors")
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := graph.Data[float32](c.Tensors["b.weight"]); err != nil || got[5] != 1.25 {
		t.Errorf("b.weight is %v, %v", got, err)
	}
	if got, err := c.Tensors["é<&>"].Float64s(); err != nil || len(c.Tensors["é<&>"].Dims) != 0 || got[0] != 2.5 {
		t.Errorf("the scalar is %v, %v", got, err)
	}
	var b bytes.Buffer
	if err := Write(&b, c); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("wrote\n%q\nthe reference wrote\n%q", b.Bytes(), want)
	}
}

func TestMalformed(t *testing.T) {
	good, err := os.ReadFile(filepath.Join("testdata", "mixed.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":         {nil, "too short"},
		"header length": {append([]byte{255, 255, 255, 255, 255, 255, 255, 255}, good[8:]...), "not a safetensors file"},
		"cut":           {good[:len(good)-1], "cut short"},
		"no json":       {append(good[:8:8], bytes.Repeat([]byte{'x'}, len(good)-8)...), "header"},
		"dtype":         {bytes.Replace(good, []byte(`"F32"`), []byte(`"F99"`), 1), "not supported"},
		"twice":         {[]byte("\x68\x00\x00\x00\x00\x00\x00\x00" + `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},` + `"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}` + "z"), `two tensors "a"`},
		"shape":         {bytes.Replace(good, []byte(`[2,3]`), []byte(`[2,9]`), 1), "needs 18 elements"},
	} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want an error with the path and %q", name, err, c.want)
		}
	}
}

type memory []byte

func (m memory) Path() string { return "memory" }

func (m memory) Bytes(off, n int64) ([]byte, error) { return m[off : off+n], nil }

func FuzzRead(f *testing.F) {
	good, err := os.ReadFile(filepath.Join("testdata", "mixed.safetensors"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Read(memory(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, n := range c.Names() {
			if _, err := c.Tensors[n].Bytes(); err != nil {
				t.Errorf("%s was accepted and can't be read: %v", n, err)
			}
		}
	})
}
