//go:build !unix

package mapfile

import (
	"io"
	"os"
)

// Map reads the first size bytes of f: weights take memory where no mapping is available.
func Map(f *os.File, size int64) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(f, data)
	return data, err
}
