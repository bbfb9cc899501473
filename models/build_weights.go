package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/safetensors"
)

// weights gives the parameters of a model by Hugging Face's names, without the prefix that task models put before the
// encoder's.
type weights interface {
	has(name string) bool
	tensor(name string, dims ...int64) (*graph.Tensor, error)
}

// checkpoint is the tensors of a folder.
type checkpoint struct {
	dir     string
	prefix  string
	tensors map[string]*graph.Tensor
}

const (
	weightsFile = "model.safetensors"
	indexFile   = "model.safetensors.index.json"
)

// openCheckpoint maps model.safetensors, or the shards that its index lists.
func openCheckpoint(dir, prefix string) (*checkpoint, error) {
	c := &checkpoint{dir: dir, prefix: prefix, tensors: map[string]*graph.Tensor{}}
	files, err := weightFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		contents, err := safetensors.Open(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		for name, t := range contents.Tensors {
			c.tensors[name] = t
		}
	}
	return c, nil
}

func weightFiles(dir string) ([]string, error) {
	if exists(dir, weightsFile) {
		return []string{weightsFile}, nil
	}
	text, err := os.ReadFile(filepath.Join(dir, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noWeights(dir)
	}
	if err != nil {
		return nil, err
	}
	var index struct {
		Files map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", indexFile, err)
	}
	var files []string
	for name, file := range index.Files {
		if !filepath.IsLocal(file) {
			return nil, fmt.Errorf("%s: tensor %q is in %q, which leads out of the folder", indexFile, name, file)
		}
		files = append(files, file)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// noWeights says which weights the folder has in place of safetensors.
func noWeights(dir string) error {
	for _, other := range []string{"pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack"} {
		if exists(dir, other) {
			return fmt.Errorf("there is a %s and no %s: convert it with transformers' save_pretrained(…, safe_serialization=True)", other, weightsFile)
		}
	}
	return fmt.Errorf("there is neither a %s nor a %s", weightsFile, indexFile)
}

func exists(dir, file string) bool {
	_, err := os.Stat(filepath.Join(dir, file))
	return err == nil
}

// aliases are the names under which a checkpoint may have a parameter: with the task models' prefix or without, and with
// TensorFlow's names of a LayerNorm's parameters, which BERT's first checkpoints kept.
func (c *checkpoint) aliases(name string) []string {
	out := []string{c.prefix + name, name}
	legacy := strings.NewReplacer("LayerNorm.weight", "LayerNorm.gamma", "LayerNorm.bias", "LayerNorm.beta").Replace(name)
	if legacy != name {
		out = append(out, c.prefix+legacy, legacy)
	}
	return out
}

func (c *checkpoint) find(name string) *graph.Tensor {
	for _, alias := range c.aliases(name) {
		if t := c.tensors[alias]; t != nil {
			return t
		}
	}
	return nil
}

func (c *checkpoint) has(name string) bool { return c.find(name) != nil }

// tensor returns a parameter as float. One of float is the checkpoint's own tensor, so that it can stay in its file; the
// others are widened or narrowed on the heap.
func (c *checkpoint) tensor(name string, dims ...int64) (*graph.Tensor, error) {
	t := c.find(name)
	switch {
	case t == nil:
		return nil, fmt.Errorf("tensor %q is missing among the %d of the checkpoint", name, len(c.tensors))
	case !slices.Equal(t.Dims, dims):
		return nil, fmt.Errorf("tensor %q is %v, and by config.json it should be %v", name, t.Dims, dims)
	case t.DType == graph.Float:
		return t, nil
	case !t.DType.IsFloat():
		return nil, fmt.Errorf("tensor %q is of type %s: quantized checkpoints can't be built", name, t.DType)
	}
	f, err := t.Float64s()
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	return graph.FloatTensor(graph.Float, dims, f), nil
}

// randomWeights draws what a fresh model of Hugging Face's has: matrices from N(0, 0.02²), biases 0, norms 1.
type randomWeights struct{ r *rand.Rand }

const initializerRange = 0.02

func (randomWeights) has(string) bool { return true }

func (w randomWeights) tensor(name string, dims ...int64) (*graph.Tensor, error) {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	data := make([]float32, n)
	for i := range data {
		switch {
		case len(dims) > 1:
			data[i] = float32(w.r.NormFloat64() * initializerRange)
		case strings.HasSuffix(name, ".weight"):
			data[i] = 1
		}
	}
	return graph.TensorOf(dims, data), nil
}
