package fetch

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph/atomicfile"
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

// ReplaceDir renames the folder src to dst and removes a damaged dst before. Both are on one file system.
func ReplaceDir(src, dst string) error {
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

// WriteJSON writes v, whole or not at all.
func WriteJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("fetch: %s: %w", path, err)
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}
