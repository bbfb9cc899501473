package pull

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/internal/atomicfile"
	"github.com/peftgraph/peftgraph/internal/fetch"
	"github.com/peftgraph/peftgraph/models"
)

const (
	recordName = "pull.json" // in each model's folder; a folder without one is not a model
	onnxName   = "model.onnx"
)

// record says where a model in the cache came from and what belongs to it.
type record struct {
	Name     string                  `json:"name"`
	Source   string                  `json:"source"`
	Revision string                  `json:"revision,omitempty"`
	Files    map[string]fetch.Digest `json:"files"`
}

func (j *job) writeRecord(m model, source string) error {
	r := record{Name: m.name, Source: source, Revision: j.commit, Files: map[string]fetch.Digest{}}
	err := filepath.WalkDir(j.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(j.dir, path)
		if err != nil {
			return err
		}
		r.Files[filepath.ToSlash(name)], err = fetch.DigestFile(path)
		return err
	})
	if err != nil {
		return err
	}
	return fetch.WriteJSON(filepath.Join(j.dir, recordName), r)
}

// place returns where a file of the model goes, in a folder that is there.
func (j *job) place(name string) (string, error) {
	path := filepath.Join(j.dir, filepath.FromSlash(name))
	return path, os.MkdirAll(filepath.Dir(path), 0o755)
}

// CopyTo copies all files of a cached model into a folder, and returns the model there: injected models refer to weights in
// their own folder.
func (m Model) CopyTo(dir string) (Model, error) {
	var r record
	err := fetch.ReadJSON(filepath.Join(m.Dir, recordName), &r)
	if err != nil {
		return m, fmt.Errorf("pull: %w", err)
	}
	to := job{dir: dir}
	for _, name := range append(slices.Sorted(maps.Keys(r.Files)), recordName) {
		path, err := to.place(name)
		if err == nil {
			err = copyFile(filepath.Join(m.Dir, filepath.FromSlash(name)), path)
		}
		if err != nil {
			return m, fmt.Errorf("pull: %w", err)
		}
	}
	m.ONNX = filepath.Join(dir, filepath.Base(m.ONNX))
	if m.Tokenizer != "" {
		m.Tokenizer = filepath.Join(dir, filepath.Base(m.Tokenizer))
	}
	m.Dir = dir
	return m, nil
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return atomicfile.Write(to, func(w io.Writer) error {
		_, err := io.Copy(w, src)
		return err
	})
}

var errOtherSource = errors.New("it came from another source")

// cached returns the model in dir when every file of it is there at its full size.
func cached(m model, dir string, opts Options) (Model, error) {
	var r record
	if err := fetch.ReadJSON(filepath.Join(dir, recordName), &r); err != nil {
		return Model{}, err
	}
	switch {
	case opts.Source != "auto" && opts.Source != r.Source:
		return Model{}, errOtherSource
	case r.Files[onnxName].Size == 0:
		return Model{}, fmt.Errorf("%s: no %s", dir, onnxName)
	}
	if err := fetch.Complete(dir, r.Files); err != nil {
		return Model{}, err
	}
	got := Model{Name: m.name, Dir: dir, ONNX: filepath.Join(dir, onnxName), Source: r.Source, Cached: true}
	for _, name := range []string{"tokenizer.json", "vocab.txt"} {
		if _, ok := r.Files[name]; ok && got.Tokenizer == "" {
			got.Tokenizer = filepath.Join(dir, name)
		}
	}
	return got, nil
}

// buildONNX makes model.onnx from the checkpoint where the source has none of its own.
func (j *job) buildONNX() error {
	path := filepath.Join(j.dir, onnxName)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	j.Log("building model.onnx from the checkpoint")
	g, err := models.Build(j.dir, models.BuildOptions{})
	if err != nil {
		return err
	}
	return onnxfile.Save(g, path, onnxfile.Options{Weights: onnxfile.Reference})
}
