//go:build linux

package onnxfile

import (
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFullDisk lowers the limit on file sizes, which fails in the middle of a write as a full disk does. The limit leaves the
// log that go test itself keeps of opened files some room.
func TestFullDisk(t *testing.T) {
	g := mustLoad(t, sparseModel(t, 1)) // 4 MB
	dir := t.TempDir()
	path := filepath.Join(dir, "out.onnx")
	writeFile(t, path, []byte("the old file"))
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	errs := []error{Save(g, path, Options{}), Save(g, path, Options{Weights: ExternalData})}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	for _, err := range errs {
		if err == nil || strings.Contains(err.Error(), ".tmp") || !strings.Contains(err.Error(), "out.onnx") {
			t.Errorf("%v", err)
		}
	}
	wantFiles(t, dir, "out.onnx")
	if got := string(readFile(t, path)); got != "the old file" {
		t.Errorf("the old file is now %q", got)
	}
}
