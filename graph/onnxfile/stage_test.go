package onnxfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A staged model can be loaded with all that it refers to, while the files in its place are the old ones.
func TestStage(t *testing.T) {
	for name, opt := range map[string]Options{
		"self-contained": {}, "reference": {Weights: Reference}, "side file": {Weights: ExternalData}, "too large": {limit: 8192},
	} {
		t.Run(name, func(t *testing.T) {
			base := stored(t, everything())
			g := mustLoad(t, base)
			dir := filepath.Dir(base)
			path := filepath.Join(dir, "out.onnx")
			side := opt.Weights == ExternalData || opt.limit > 0
			old := []string{"model.onnx", "out.onnx"}
			if side {
				old = append(old, "out.onnx.data")
			}
			for _, f := range old[1:] {
				writeFile(t, filepath.Join(dir, f), []byte("old"))
			}
			for _, commit := range []bool{false, true} {
				s, err := Stage(g, path, opt)
				if err != nil {
					t.Fatal(err)
				}
				sameWeights(t, g, mustLoad(t, s.Path))
				if got := string(readFile(t, path)); got != "old" {
					t.Errorf("the old file is now %q", got)
				}
				if !commit {
					s.Discard()
					wantFiles(t, dir, old...)
					continue
				}
				if err := s.Commit(); err != nil {
					t.Fatal(err)
				}
				s.Discard()
				var bytes int
				for _, f := range old[1:] {
					bytes += len(readFile(t, filepath.Join(dir, f)))
				}
				if s.Bytes != int64(bytes) {
					t.Errorf("%d bytes, and the files have %d", s.Bytes, bytes)
				}
			}
			wantFiles(t, dir, old...)
			sameWeights(t, g, mustLoad(t, path))
		})
	}
}

func TestFolderInThePlace(t *testing.T) {
	path := stored(t, dense())
	dir := filepath.Join(filepath.Dir(path), "out.onnx")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Stage(mustLoad(t, path), dir, Options{}); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("%v", err)
	}
	wantFiles(t, filepath.Dir(path), "model.onnx", "out.onnx")
}

// A model that refers to another's weights knows them again, whatever the file that holds them is called and weighs.
func TestReplacedWeights(t *testing.T) {
	base := stored(t, everything())
	out := filepath.Join(filepath.Dir(base), "out.onnx")
	if err := Save(mustLoad(t, base), out, Options{Weights: Reference}); err != nil {
		t.Fatal(err)
	}
	g := mustLoad(t, out)
	if err := InPlace(g); err != nil {
		t.Error(err)
	}
	right := readFile(t, base)
	wrong := bytes.Clone(right)
	at := bytes.Index(right, weights("w", 1).RawData)
	wrong[at+2000] ^= 1
	if err := os.Rename(base, base+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(base, wrong, 0o666); err != nil {
		t.Fatal(err)
	}
	var replaced *ReplacedError
	_, err := Load(out)
	if !errors.As(err, &replaced) || replaced.Tensor != "w" || filepath.Base(replaced.File) != "model.onnx" {
		t.Errorf("one bit of the weights: %v", err)
	}
	var load *LoadError
	if !errors.As(err, &load) || !strings.Contains(load.Hint(), "original") {
		t.Errorf("the hint of %v", err)
	}
	if err := InPlace(g); err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("another file under the name: %v", err)
	}
	if err := Unchanged(g); err != nil {
		t.Errorf("the file that is open is as it was: %v", err)
	}
	whole := filepath.Join(filepath.Dir(base), "whole.onnx")
	if err := Save(g, whole, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, stamped := mustLoad(t, whole).Meta(stampKey); stamped {
		t.Error("a whole file carries digests of what lies in it")
	}
}
