package mapfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := f.Bytes(3, 4); err != nil || string(b) != "3456" || cap(b) != 4 {
		t.Errorf("got %q of capacity %d, %v", b, cap(b), err)
	}
	for _, r := range [][2]int64{{8, 3}, {-1, 2}, {0, -1}, {11, 0}, {1, 1 << 62}} {
		if _, err := f.Bytes(r[0], r[1]); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Bytes(%d, %d): got %v, want an error with the path", r[0], r[1], err)
		}
	}
	if err := os.WriteFile(path+"0", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(path + "0"); err != nil || f.Size() != 0 {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := Open(filepath.Dir(path)); err == nil {
		t.Error("a folder was mapped")
	}
}
