package folder

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph/onnxfile"
)

// A Layout says where in the folder the model lies.
type Layout string

// The layouts.
const (
	// Linked has model.onnx, and a link onnx to the folder itself, so that onnx/model.onnx is the same file: the one layout that
	// all programs take. A link to the file would be a second model to hugot.
	Linked Layout = "linked"
	// Flat has model.onnx alone. transformers.js, which looks into onnx/, needs to be told with {subfolder: ''}.
	Flat Layout = "flat"
	// Subfolder has onnx/model.onnx alone, as repositories of the hub do beside a model of another format. hugot doesn't find it.
	Subfolder Layout = "onnx"
)

// Layouts lists them, the default first.
func Layouts() []Layout { return []Layout{Linked, Flat, Subfolder} }

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

// Named reports whether path is a folder or, where nothing is there, has the name of one: without an extension, or with a
// separator at its end.
func Named(path string) bool {
	if path == "" {
		return false
	}
	if info, err := os.Stat(path); err == nil {
		return info.IsDir()
	}
	return os.IsPathSeparator(path[len(path)-1]) || filepath.Ext(path) == ""
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

// checkWhole refuses a model with weights in other files than its own: who gets the folder doesn't have them.
func checkWhole(path string) error {
	g, err := onnxfile.Load(path)
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	own, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	for _, v := range g.Initializers() {
		if r := v.Init().Ref(); r != nil && r.File.Path() != own && r.File.Path() != own+".data" {
			return fmt.Errorf("folder: %s: weights of it stay in %s, which others who get the folder don't have; export without setting Reference", path, r.File.Path())
		}
	}
	return nil
}

// checkLayout refuses a folder that has a model where another layout has it, which some programs would take for this one.
func checkLayout(dir string, l Layout) error {
	sub := filepath.Join(dir, onnxDir)
	if info, err := os.Lstat(sub); l == Linked && err == nil && info.Mode()&os.ModeSymlink == 0 {
		return fmt.Errorf("folder: %s is there already, and is no link; remove it, or choose layout %s", sub, Flat)
	}
	other := ModelPath(dir, Subfolder)
	if l == Subfolder {
		other = ModelPath(dir, Flat)
	}
	if _, err := os.Stat(other); err == nil && !sameFolder(dir, sub) {
		return fmt.Errorf("folder: %s is there already, and some programs would load that one; remove it, or choose another folder", other)
	}
	return nil
}

// link makes dir/onnx a link to dir. linked is false where the system has no links, or its user may make none.
func link(dir string) bool {
	path := filepath.Join(dir, onnxDir)
	if _, err := os.Lstat(path); err == nil {
		return sameFolder(path, dir)
	}
	return os.Symlink(".", path) == nil
}
