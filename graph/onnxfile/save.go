package onnxfile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph"
)

// Weights says where the bytes of tensors go when a graph is saved.
type Weights int

const (
	// SelfContained writes one whole file. A model over 2 GB, which no protobuf reader takes, is written as ExternalData
	// instead.
	SelfContained Weights = iota
	// Reference leaves tensors that are in a file where they are and refers to them, so that only new tensors take space.
	// The files must lie in the model's folder or below it, since onnxruntime reads nothing outside.
	Reference
	// ExternalData writes tensors of a kilobyte or more into a side file, "<model>.data", at offsets that are multiples
	// of 4096 so that they can be mapped.
	ExternalData
)

// Options say how a graph is saved. The zero value writes one whole file.
type Options struct {
	Weights Weights
	// Dir is the folder that references are relative to. Only Marshal looks at it; Save refers from the model's folder.
	// With onnxruntime it is the session's session.model_external_initializers_file_folder_path.
	Dir string
	// InlineOutside copies tensors whose file lies outside the folder into the model. Without it they are an *OutsideError.
	InlineOutside bool
	// ValueInfo declares the types of all intermediate values that are known, as a viewer shows them.
	ValueInfo bool
	// Sync waits until the data are on the disk.
	Sync bool

	limit int64 // tests set it lower than maxMessage
}

// maxMessage is the size in bytes of the largest message that protobuf readers take.
const maxMessage = math.MaxInt32

func (opt Options) maxMessage() int64 {
	if opt.limit > 0 {
		return opt.limit
	}
	return maxMessage
}

// An OutsideError says that a model can't refer to a file outside its folder.
type OutsideError struct {
	Dir  string // the model's folder
	File string // the file that holds the tensor
}

// Error names both paths.
func (e *OutsideError) Error() string {
	return fmt.Sprintf("its bytes are in %s, and a model in %s can't refer to a file outside its folder", e.File, e.Dir)
}

// Hint says what to try.
func (e *OutsideError) Hint() string {
	return "write the output beside " + e.File + ", or use --self-contained for one whole file"
}

// An OverwriteError says that saving would replace a file that the graph's tensors are in.
type OverwriteError struct{ Path string }

// Error names the file.
func (e *OverwriteError) Error() string {
	return fmt.Sprintf("%s holds weights of this very model and can't be overwritten", e.Path)
}

// Hint says what to try.
func (e *OverwriteError) Hint() string { return "give the output another name" }

// Save checks g and writes it to path. The file appears whole or not at all, and so does the side file if there is one.
// Errors may wrap an [*OutsideError] or an [*OverwriteError].
func Save(g *graph.Graph, path string, opt Options) error {
	s, err := Stage(g, path, opt)
	if err != nil {
		return err
	}
	return s.Commit()
}

var errTooLarge = errors.New("the model is over 2 GB without the weights that are elsewhere, more than protobuf allows")

// Marshal returns g as one message, for a runtime that takes models from memory. References are relative to opt.Dir,
// which must then be given. ExternalData makes no sense here and is an error, as is a message over 2 GB.
func Marshal(g *graph.Graph, opt Options) ([]byte, error) {
	out, err := marshal(g, opt)
	if err != nil {
		return nil, fmt.Errorf("onnxfile: marshal %q: %w", g.Name, err)
	}
	return out, nil
}

func marshal(g *graph.Graph, opt Options) ([]byte, error) {
	if opt.Weights == ExternalData || opt.Weights == Reference && opt.Dir == "" {
		return nil, errors.New("a model in memory has no folder for external data")
	}
	if opt.Dir != "" {
		abs, err := filepath.Abs(opt.Dir)
		if err != nil {
			return nil, err
		}
		opt.Dir = abs
	}
	b, err := encode(g, opt, opt.placer())
	if err != nil {
		return nil, err
	}
	if b.size > opt.maxMessage() {
		return nil, errTooLarge
	}
	var buf bytes.Buffer
	buf.Grow(int(b.size))
	for _, p := range b.parts {
		data := p.data
		if p.tensor != nil {
			if data, err = p.tensor.Bytes(); err != nil {
				return nil, err
			}
		}
		buf.Write(data)
	}
	return buf.Bytes(), nil
}

// encode checks g and turns it into a message, with references from opt.Dir.
func encode(g *graph.Graph, opt Options, place placer) (*body, error) {
	if err := check(g); err != nil {
		return nil, err
	}
	if x, ok := g.Extra.(*modelExtra); ok && x.dir != "" && x.dir != opt.Dir {
		return nil, fmt.Errorf("its functions, training information or sparse tensors refer to files in %s; it can be saved only there", x.dir)
	}
	e := &encoder{place: place, valueInfo: opt.ValueInfo}
	return e.model(g)
}

// check runs the graph's own check on g and on the subgraphs in it.
func check(g *graph.Graph) error {
	if err := g.Check(); err != nil {
		return err
	}
	for _, n := range g.Nodes() {
		for _, sub := range n.Subgraphs() {
			if err := check(sub); err != nil {
				return fmt.Errorf("subgraph of node %s: %w", n, err)
			}
		}
	}
	return nil
}

// A fileSet holds the distinct files that tensors of a graph are in.
type fileSet map[graph.File]bool

func sources(g *graph.Graph) fileSet {
	files := fileSet{}
	eachTensor(g, func(t *graph.Tensor) {
		if r := t.Ref(); r != nil {
			files[r.File] = true
		}
	})
	return files
}

// ready reports whether path may be written: it is none of the files, and none of them changed under the graph.
func (s fileSet) ready(path string) error {
	target, err := os.Stat(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for f := range s {
		if info, statErr := os.Stat(f.Path()); err == nil && statErr == nil && os.SameFile(target, info) {
			return &OverwriteError{path}
		}
		if src, ok := f.(*source); ok {
			if err := src.changed(); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachTensor calls f for every initializer and tensor attribute of g and its subgraphs.
func eachTensor(g *graph.Graph, f func(*graph.Tensor)) {
	for _, v := range g.Initializers() {
		f(v.Init())
	}
	for _, n := range g.Nodes() {
		for _, a := range n.Attrs {
			if a.T != nil {
				f(a.T)
			}
			for _, t := range a.Tensors {
				f(t)
			}
		}
		for _, sub := range n.Subgraphs() {
			eachTensor(sub, f)
		}
	}
}
