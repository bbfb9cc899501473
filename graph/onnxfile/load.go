package onnxfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph"
)

// A LoadError says why a file can't be read as an ONNX model.
type LoadError struct {
	Path string // "" for a model in memory
	Err  error
}

// Error names the file and what is wrong with it.
func (e *LoadError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("onnxfile: model in memory: %v", e.Err)
	}
	return fmt.Sprintf("onnxfile: load %q: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *LoadError) Unwrap() error { return e.Err }

// Hint says what to try.
func (e *LoadError) Hint() string {
	var replaced *ReplacedError
	if errors.As(e.Err, &replaced) {
		return replaced.Hint()
	}
	var ext *externalError
	if errors.As(e.Err, &ext) {
		return "put the data files that came with the model beside it; they are part of it"
	}
	var file *fs.PathError
	if errors.As(e.Err, &file) {
		return "check the path: it must be a file that can be read"
	}
	if errors.Is(e.Err, errNotModel) || errors.Is(e.Err, errTruncated) {
		return "give a complete .onnx file; if this is one, download or export it again"
	}
	return "onnx.checker.check_model of Python's onnx package tells more about a broken model"
}

var errNotModel = errors.New("not an ONNX model")

// Load reads the model at path. Tensors of a kilobyte or more stay in the file, or in its external data files, and are
// mapped: the files must not be written to while the graph is in use (replacing them by renaming is safe). Nodes that
// stand out of order are sorted. Any failure is a [*LoadError].
func Load(path string) (*graph.Graph, error) {
	src, err := openSource(path)
	if err != nil {
		return nil, &LoadError{path, err}
	}
	g, err := decode(span{data: src.data}, &decoder{src: src, dir: filepath.Dir(src.path)})
	if err == nil {
		err = checkStamp(g, src)
	}
	if err != nil {
		return nil, &LoadError{path, err}
	}
	return g, nil
}

// Unmarshal reads a model from memory, which the graph keeps referring to and the caller must not change. External data
// is looked for in dir; with dir "" a model that has any is refused.
func Unmarshal(data []byte, dir string) (*graph.Graph, error) {
	d := &decoder{}
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, &LoadError{"", err}
		}
		d.dir = abs
	}
	g, err := decode(span{data: data}, d)
	if err != nil {
		return nil, &LoadError{"", err}
	}
	return g, nil
}

func decode(s span, d *decoder) (*graph.Graph, error) {
	m, err := splitModel(s)
	if err != nil {
		return nil, err
	}
	if m.graph == nil || m.rest.GetIrVersion() <= 0 || len(m.rest.OpsetImport) == 0 {
		return nil, fmt.Errorf("%w: it has no graph, no ir_version or no opset_import", errNotModel)
	}
	g, err := d.model(m)
	if err != nil {
		return nil, err
	}
	return g, g.Check()
}
