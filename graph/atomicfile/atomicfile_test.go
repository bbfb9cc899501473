package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFailureLeavesTheOldFileAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := WriteBytes(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	err := Write(path, func(w io.Writer) error {
		if _, err := w.Write([]byte("new")); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Errorf("the old file became %q", got)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d entries stay, want 1", len(left))
	}
	if err := WriteBytes(filepath.Join(dir, "none", "f"), nil); err == nil {
		t.Error("wrote into a folder that does not exist")
	}
}

// Errors name the file that was asked for: the temporary one is gone by the time they are read.
func TestErrorsNameTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write := func(f *os.File) error {
		_ = f.Close()
		_, err := f.Write([]byte("x"))
		return err
	}
	for _, err := range []error{WriteFile(path, write), WriteBytes(filepath.Join(path, "none", "f"), nil)} {
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), ".tmp") {
			t.Errorf("%v", err)
		}
	}
}
