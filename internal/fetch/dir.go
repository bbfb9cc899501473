package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/internal/atomicfile"
)

// PartPrefix begins the names of folders that a download is still filling.
const PartPrefix = ".part-"

// Sweep removes what downloads that were killed left in a cache folder. The caller holds the folder's lock.
func Sweep(cache string) {
	left, _ := filepath.Glob(filepath.Join(cache, PartPrefix+"*"))
	for _, path := range left {
		os.RemoveAll(path)
	}
}

// Fill replaces the folder dst, anywhere below cache, by what fill puts into dir; work is a folder for archives and the like,
// which goes away. Nothing changes until fill has returned, nor after an error or a cancel.
func Fill(ctx context.Context, cache, dst string, fill func(work, dir string) error) error {
	part, err := os.MkdirTemp(cache, PartPrefix+"*")
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	defer os.RemoveAll(part)
	work, dir := filepath.Join(part, "work"), filepath.Join(part, "done")
	if err := errors.Join(os.Mkdir(work, 0o755), os.Mkdir(dir, 0o755)); err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	if err := fill(work, dir); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return replaceDir(dir, dst)
}

// replaceDir renames the folder src to dst and removes a damaged dst before.
func replaceDir(src, dst string) error {
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	if err := os.RemoveAll(dst); err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	if err := os.Rename(src, dst); err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	return nil
}

// Complete returns an error that names the first of the files in dir that is not there at its full size. It reads no
// contents.
func Complete(dir string, files map[string]Digest) error {
	for name, want := range files {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("%s is missing", path)
		}
		if info.Size() != want.Size {
			return fmt.Errorf("%s has %d bytes instead of %d", path, info.Size(), want.Size)
		}
	}
	return nil
}

// ReadJSON fills v with the contents of a file.
func ReadJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("fetch: %s: %w", path, err)
	}
	return nil
}

// WriteJSON writes v, whole or not at all.
func WriteJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("fetch: %s: %w", path, err)
	}
	return atomicfile.WriteBytes(path, append(text, '\n'))
}
