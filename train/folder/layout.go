package folder

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
)

// A Layout says where in the folder the model lies.
type Layout string

// The layouts.
const (
	// Subfolder has onnx/model.onnx and no other: the one layout that all programs take. hugot takes any file that is the only
	// one, Optimum and sentence-transformers look into the folder's folders too, transformers.js looks there alone.
	Subfolder Layout = "onnx"
	// Flat has model.onnx. transformers.js needs to be told, with {subfolder: ''}.
	Flat Layout = "flat"
	// Linked has model.onnx, and onnx/model.onnx as a link to it: for who looks for the one or the other. hugot takes it for two
	// models and needs to be told, with OnnxFilename.
	Linked Layout = "linked"
)

// Layouts lists them, the default first.
func Layouts() []Layout { return []Layout{Subfolder, Flat, Linked} }

const (
	modelName = "model.onnx"
	onnxDir   = "onnx"
)

// ModelPath is where the export writes the model of a folder.
func ModelPath(dir string, l Layout) string {
	if l == Subfolder {
		return filepath.Join(dir, onnxDir, modelName)
	}
	return filepath.Join(dir, modelName)
}

// FindModel returns the model of a folder, in whichever layout it has.
func FindModel(dir string) (string, error) {
	for _, path := range []string{ModelPath(dir, Flat), ModelPath(dir, Subfolder)} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("folder: %s holds neither %s nor %s/%s", dir, modelName, onnxDir, modelName)
}

// checkWhole refuses a model with weights in other files than a program that gets the folder expects, and a link to one with
// any: what it refers to is looked for beside the link.
func checkWhole(path string, l Layout) error {
	g, err := onnxfile.Load(path)
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	own, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	for _, v := range g.Initializers() {
		file := fileOf(v.Init())
		switch {
		case file == "" || file == own:
		case file != own+".data":
			return fmt.Errorf("folder: %s: weights of it stay in %s, which others who get the folder don't have; export without --reference", path, file)
		case l == Linked:
			return fmt.Errorf("folder: %s: it is so large that its weights are in a file beside it, where a link doesn't find them; layout %s or %s", path, Subfolder, Flat)
		}
	}
	return nil
}

func fileOf(t *graph.Tensor) string {
	if r := t.Ref(); r != nil {
		return r.File.Path()
	}
	return ""
}

// link makes onnx/model.onnx a link to ../model.onnx.
func link(dir string) error {
	path := ModelPath(dir, Subfolder)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("folder: %w", err)
	}
	if err := os.Symlink(filepath.Join("..", modelName), path); err != nil {
		return fmt.Errorf("folder: %w; this system has no links: layout %s or %s", err, Subfolder, Flat)
	}
	return nil
}
