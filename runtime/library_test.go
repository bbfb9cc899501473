package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// isolate keeps this machine's own settings out of a test.
func isolate(t *testing.T) {
	t.Helper()
	t.Setenv(EnvLibrary, "")
	t.Setenv(EnvSharedLibrary, "")
	t.Setenv("LD_LIBRARY_PATH", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("LocalAppData", t.TempDir())
}

func touch(t *testing.T, path string) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("x"), 0o644)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindOrder(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	flag, own, shared := touch(t, dir+"/flag.so"), touch(t, dir+"/own.so"), touch(t, dir+"/shared.so")
	t.Setenv(EnvSharedLibrary, shared)
	if lib, err := Find(""); err != nil || lib != (Library{shared, EnvSharedLibrary}) {
		t.Errorf("Find = %v, %v", lib, err)
	}
	t.Setenv(EnvLibrary, own)
	if lib, err := Find(""); err != nil || lib != (Library{own, EnvLibrary}) {
		t.Errorf("Find = %v, %v", lib, err)
	}
	if lib, err := Find(flag); err != nil || lib != (Library{flag, "flag"}) {
		t.Errorf("Find = %v, %v", lib, err)
	}
}

func TestFindNeverFallsBackFromANamedPath(t *testing.T) {
	isolate(t)
	t.Setenv(EnvLibrary, touch(t, t.TempDir()+"/good.so"))
	for path, want := range map[string]string{
		t.TempDir() + "/none.so": "no such file",
		t.TempDir():              "the folder holds no",
	} {
		_, err := Find(path)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) || errors.Is(err, ErrNotFound) {
			t.Errorf("Find(%q) = %v, want %q", path, err, want)
		}
	}
}

func TestFindInFolder(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	name := strings.Replace(libraryPatterns[len(libraryPatterns)-1], "*", "1.30.0", 1)
	want := touch(t, filepath.Join(dir, name))
	touch(t, filepath.Join(dir, "libonnxruntime_providers_shared.so"))
	touch(t, filepath.Join(dir, "libother.so.1.31.0"))
	if lib, err := Find(dir); err != nil || lib.Path != want {
		t.Errorf("Find = %v, %v; want %s", lib, err, want)
	}
}

func TestFindNothing(t *testing.T) {
	isolate(t)
	for _, dir := range systemDirs() {
		if path := libraryIn(dir); path != "" {
			lib, err := Find("")
			if err != nil || lib != (Library{path, "system"}) {
				t.Errorf("Find = %v, %v; want the system's %s", lib, err, path)
			}
			return
		}
	}
	if _, err := Find(""); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "peftgraph runtime install") {
		t.Errorf("error = %v, want %v with a hint", err, ErrNotFound)
	}
}

func TestCompareVersions(t *testing.T) {
	for _, pair := range [][2]string{
		{"libonnxruntime.so", "libonnxruntime.so.1"},
		{"libonnxruntime.so.1", "libonnxruntime.so.1.9.0"},
		{"libonnxruntime.so.1.9.0", "libonnxruntime.so.1.30.0"},
		{"1.30.0", "1.30.1"},
	} {
		if compareVersions(pair[0], pair[1]) >= 0 || compareVersions(pair[1], pair[0]) <= 0 {
			t.Errorf("%s is not older than %s", pair[0], pair[1])
		}
	}
}

func TestEnough(t *testing.T) {
	for version, want := range map[string]bool{"1.17.3": false, "1.23.9": false, "1.24.0": true, "1.30.0": true, "2.0.0": true, "1.30.0-dev": true, "nightly": true} {
		if enough(version) != want {
			t.Errorf("enough(%q) = %t", version, !want)
		}
	}
}

func TestInfoOfWhatIsNoLibrary(t *testing.T) {
	path := touch(t, t.TempDir()+"/libonnxruntime.so")
	if _, err := (Library{path, "flag"}).Info(); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "does not load") {
		t.Errorf("error = %v", err)
	}
}
