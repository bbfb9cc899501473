package format

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/internal/atomicfile"
	"github.com/peftgraph/peftgraph/internal/mapfile"
)

// ONNXAdapter is the name of onnxruntime's own adapter file: tensors that a session takes for the graph inputs of the same
// names. `peftgraph export --adapter-inputs` writes the graph that has those inputs, one for each trainable of the plan.
//
// The file has no room for anything but tensors, and onnxruntime refuses a tensor that is no input of the model. The plan
// is therefore kept beside it, in NAME.onnx_adapter.json; onnxruntime alone doesn't need it, peftgraph does.
const ONNXAdapter = "onnx-adapter"

const onnxAdapterExt = ".onnx_adapter"

func init() {
	register(Format{
		Name:    ONNXAdapter,
		Summary: "onnxruntime's LoraAdapter: NAME" + onnxAdapterExt + ", every method, for a model with --adapter-inputs",
		Ext:     onnxAdapterExt,
		Methods: everyMethod,
		Save:    saveONNXAdapter,
		Load:    loadONNXAdapter,
		Detect: func(path string) bool {
			info, err := os.Stat(path)
			return err == nil && !info.IsDir() && strings.HasSuffix(path, onnxAdapterExt)
		},
	})
}

func saveONNXAdapter(path string, p *inject.Plan, values map[string]*graph.Tensor) error {
	if filepath.Ext(path) != onnxAdapterExt {
		return fmt.Errorf("format: %s: the name of an onnxruntime adapter ends in %s", path, onnxAdapterExt)
	}
	tensors := map[string]*graph.Tensor{}
	for _, t := range p.Tensors() {
		if values[t.Name] == nil {
			return fmt.Errorf("format: trainable %q has no value", t.Name)
		}
		tensors[t.Name] = values[t.Name]
	}
	data, err := encodeAdapter(tensors)
	if err != nil {
		return fmt.Errorf("format: %s: %w", path, err)
	}
	return atomicfile.WriteBytes(path, data)
}

func loadONNXAdapter(path string) (*Adapter, error) {
	f, err := mapfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("format: %w", err)
	}
	tensors, err := decodeAdapter(f, f.Size())
	if err != nil {
		return nil, fmt.Errorf("format: %s: %w", path, err)
	}
	key := func(_ *inject.Plan, t inject.Trainable) string { return t.Name }
	return &Adapter{Path: path, Tensors: tensors, Key: key}, nil
}
