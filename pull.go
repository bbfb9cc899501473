package peftgraph

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/peftgraph/peftgraph/internal/atomicfile"
	"github.com/peftgraph/peftgraph/models/pull"
)

// Pull gets a pretrained encoder by its name (see [pull.List]) or as organisation/name into the per-user cache and, unless dir
// is "", a copy of it into dir, where it can be injected: injected models refer to weights in their own folder.
func Pull(ctx context.Context, name, dir string, opt pull.Options) (pull.Model, error) {
	m, err := pull.Get(ctx, name, opt)
	if err != nil || dir == "" {
		return m, err
	}
	return copyModel(m, dir)
}

// copyModel copies all of a cached model's files.
func copyModel(m pull.Model, dir string) (pull.Model, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, err
	}
	files, err := os.ReadDir(m.Dir)
	if err != nil {
		return m, err
	}
	for _, f := range files {
		if !f.Type().IsRegular() || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		if err := copyFile(filepath.Join(m.Dir, f.Name()), filepath.Join(dir, f.Name())); err != nil {
			return m, err
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
