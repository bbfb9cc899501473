package runtime

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestReadSignature(t *testing.T) {
	for name, want := range map[string]string{
		"matmul":            `["x" float[batch,3]] [] ["y" float[batch,4] "rowsum" float[rows] "total" float[]]`,
		"defaults":          `[] ["a" float[2] "b" float[2]] ["y" float[2]]`,
		"nonzero":           `["x" float[n]] [] ["y" int64[1,found]]`,
		"external/external": `["x" float[batch,3]] [] ["y" float[batch,4]]`,
		"endless":           `["m" float[64,64]] [] ["y" float[64,64]]`, // not those of the loop's body
	} {
		model, err := os.ReadFile(filepath.Join("testdata", name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := readSignature(bytes.NewReader(model), int64(len(model)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := fmt.Sprint(s.inputs, s.defaults, s.outputs); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		// A file cut anywhere is refused, or read as far as it goes, but never read beyond its end.
		for n := range model {
			readSignature(bytes.NewReader(model[:n]), int64(n))
			if _, err := readSignature(bytes.NewReader(model[:n]), int64(len(model))); err == nil && n < len(model)/2 {
				t.Errorf("%s: half the file is enough", name)
			}
		}
	}
}

func FuzzReadSignature(f *testing.F) {
	models, _ := filepath.Glob("testdata/*.onnx")
	for _, path := range models {
		model, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(model)
	}
	f.Fuzz(func(t *testing.T, model []byte) {
		s, err := readSignature(bytes.NewReader(model), int64(len(model)))
		if err == nil && len(s.outputs) == 0 {
			t.Error("a model without outputs was accepted")
		}
	})
}
