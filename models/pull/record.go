package pull

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph/onnxfile"
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
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if r.Files[entry.Name()], err = fetch.DigestFile(filepath.Join(j.dir, entry.Name())); err != nil {
			return err
		}
	}
	return fetch.WriteJSON(filepath.Join(j.dir, recordName), r)
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
