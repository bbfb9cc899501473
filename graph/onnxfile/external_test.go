package onnxfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

// external is dense() with w in a file.
func external(location string, offset, length int64) *onnxpb.ModelProto {
	m := dense()
	locate(m.Graph.Initializer[0], externalEntries(location, offset, length))
	return m
}

func TestExternalData(t *testing.T) {
	raw := append([]byte("skip"), weights("w", 1).RawData...)
	short := external("w.bin", 4, 0)
	short.Graph.Initializer[0].ExternalData = short.Graph.Initializer[0].ExternalData[:2] // no length
	for name, m := range map[string]*onnxpb.ModelProto{
		"beside": external("w.bin", 4, 4096), "below": external("sub/w.bin", 4, 4096), "odd path": external("./sub/../w.bin", 4, 4096), "no length": short,
	} {
		path := stored(t, m)
		dir := filepath.Dir(path)
		if err := os.Mkdir(filepath.Join(dir, "sub"), 0o777); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "w.bin"), raw)
		writeFile(t, filepath.Join(dir, "sub", "w.bin"), raw)
		g := mustLoad(t, path)
		w := g.Value("w").Init()
		if b, err := w.Bytes(); err != nil || string(b) != string(raw[4:]) || w.Ref() == nil {
			t.Errorf("%s: wrong bytes, %v", name, err)
		}
		out := filepath.Join(dir, "out.onnx")
		if err := Save(g, out, Options{Weights: Reference}); err != nil {
			t.Fatal(err)
		}
		if name != "odd path" {
			saved := parsed(t, out)
			if len(saved.MetadataProps) != 1 || saved.MetadataProps[0].GetKey() != stampKey {
				t.Errorf("%s: metadata %v", name, saved.MetadataProps)
			}
			saved.MetadataProps = nil
			wantEqual(t, encoded(t, m), encoded(t, saved))
		}
		if err := Save(g, out, Options{}); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, encoded(t, dense()), readFile(t, out))
	}
}

func TestExternalDataIsRefused(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.bin")
	writeFile(t, outside, make([]byte, 4096))
	for name, c := range map[string]struct {
		m    *onnxpb.ModelProto
		want string
	}{
		"absolute":   {external(outside, 0, 4096), "below the model's folder"},
		"escaping":   {external("../w.bin", 0, 4096), "below the model's folder"},
		"roundabout": {external("sub/../../w.bin", 0, 4096), "below the model's folder"},
		"link":       {external("link.bin", 0, 4096), "is a link to"},
		"missing":    {external("missing.bin", 0, 4096), "there is no file"},
		"folder":     {external("sub", 0, 4096), "not a regular file"},
		"offset":     {external("w.bin", 8000, 4096), "bytes 8000 to 12096 are wanted and the file has 4096"},
		"overflow":   {external("w.bin", 1<<62, 1<<62+1<<61), "are wanted"},
		"negative":   {external("w.bin", -1, 4096), `offset "-1"`},
		"length":     {external("w.bin", 0, 4092), "needs 1024 elements of 4 bytes, has 4092"},
		"nowhere":    {external("", 0, 4096), "no location"},
	} {
		path := stored(t, c.m)
		dir := filepath.Dir(path)
		if err := os.Symlink(outside, filepath.Join(dir, "link.bin")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "sub"), 0o777); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "w.bin"), make([]byte, 4096))
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `initializer "w"`) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error with %q that names the file and the tensor", name, err, c.want)
		}
	}
}

// TestLinkedModel lays files out as Hugging Face's cache does: links in one folder to blobs in another.
func TestLinkedModel(t *testing.T) {
	root := t.TempDir()
	blobs, snapshot := filepath.Join(root, "blobs"), filepath.Join(root, "snapshot")
	for _, dir := range []string{blobs, snapshot} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(blobs, "1"), encoded(t, external("model.onnx_data", 0, 4096)))
	writeFile(t, filepath.Join(blobs, "2"), weights("w", 1).RawData)
	for name, blob := range map[string]string{"model.onnx": "1", "model.onnx_data": "2"} {
		if err := os.Symlink(filepath.Join("..", "blobs", blob), filepath.Join(snapshot, name)); err != nil {
			t.Fatal(err)
		}
	}
	g := mustLoad(t, filepath.Join(snapshot, "model.onnx"))
	if b, err := g.Value("w").Init().Bytes(); err != nil || string(b) != string(weights("w", 1).RawData) {
		t.Errorf("wrong bytes, %v", err)
	}
	// onnxruntime resolves links too, so nothing in the links' folder can refer to the blobs.
	var outside *OutsideError
	if err := Save(g, filepath.Join(snapshot, "out.onnx"), Options{Weights: Reference}); !errors.As(err, &outside) || filepath.Base(outside.File) != "2" {
		t.Errorf("%v", err)
	}
}
