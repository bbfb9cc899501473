//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package onnxfile

import (
	"io"
	"os"
)

// mapFile reads the whole file: weights take memory where no mapping is available.
func mapFile(f *os.File, size int64) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(f, data)
	return data, err
}
