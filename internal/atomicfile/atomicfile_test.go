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
	if err := os.Mkdir(path+".folder", 0o777); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{WriteFile(path, write), WriteBytes(filepath.Join(path, "none", "f"), nil), WriteBytes(path+".folder", nil)} {
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), ".tmp") {
			t.Errorf("%v", err)
		}
	}
}

// The files of a set are in their places after Commit alone, with the permissions that a new file has.
func TestSet(t *testing.T) {
	for _, together := range []bool{false, true} {
		for _, commit := range []bool{false, true} {
			dir := t.TempDir()
			var s Set
			if together {
				if err := s.Together(filepath.Join(dir, "b")); err != nil {
					t.Fatal(err)
				}
			}
			var at []string
			for _, name := range []string{"a", "b"} {
				f, err := s.Create(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if at = append(at, f.Name()); f.Close() != nil {
					t.Fatal("not closed")
				}
			}
			if (filepath.Dir(at[0]) != dir) != together || (filepath.Base(at[0]) == "a") != together {
				t.Errorf("together %t: %q", together, at)
			}
			want := 0
			if commit {
				if want = 2; s.Commit() != nil {
					t.Fatal("not committed")
				}
			}
			s.Discard()
			left, _ := os.ReadDir(dir)
			if len(left) != want {
				t.Errorf("together %t, commit %t: %d entries are left, want %d", together, commit, len(left), want)
			}
			for _, e := range left {
				plain := filepath.Join(t.TempDir(), "plain")
				if err := os.WriteFile(plain, nil, 0o666); err != nil {
					t.Fatal(err)
				}
				got, _ := e.Info()
				if info, err := os.Stat(plain); err != nil || got.Mode() != info.Mode() {
					t.Errorf("%s has mode %v, a new file %v: %v", e.Name(), got.Mode(), info.Mode(), err)
				}
			}
		}
	}
}
