package format

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/safetensors"
	"github.com/peftgraph/peftgraph/inject"
)

// Native is peftgraph's own layout: one safetensors file with the trainables by their own names. It holds every plan.
const Native = "peftgraph"

const nativeFile = "peftgraph_adapter.safetensors"

func init() {
	register(Format{
		Name:    Native,
		Summary: "peftgraph's own: " + nativeFile + ", every method and combination",
		Methods: everyMethod,
		Save: func(dir string, p *inject.Plan, values map[string]*graph.Tensor) error {
			c := &safetensors.Contents{Tensors: map[string]*graph.Tensor{}}
			for _, t := range p.Tensors() {
				if values[t.Name] == nil {
					return fmt.Errorf("format: trainable %q has no value", t.Name)
				}
				c.Tensors[t.Name] = values[t.Name]
			}
			return safetensors.Save(filepath.Join(dir, nativeFile), c)
		},
		Load: func(dir string) (*Adapter, error) {
			c, err := safetensors.Open(filepath.Join(dir, nativeFile))
			if err != nil {
				return nil, fmt.Errorf("format: %w", err)
			}
			key := func(_ *inject.Plan, t inject.Trainable) string { return t.Name }
			return &Adapter{Path: dir, Tensors: c.Tensors, Key: key}, nil
		},
		Detect: func(path string) bool {
			_, err := os.Stat(filepath.Join(path, nativeFile))
			return err == nil
		},
	})
}
