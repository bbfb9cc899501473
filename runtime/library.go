package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The environment variables that name a library, in the order in which [Find] asks for them. The second is the one that
// other onnxruntime bindings read.
const (
	EnvLibrary       = "PEFTGRAPH_ORT_LIB"
	EnvSharedLibrary = "ONNXRUNTIME_SHARED_LIBRARY_PATH"
)

// ErrNotFound is what [Find] returns, wrapped, when there is no libonnxruntime in any of the places where it looks.
var ErrNotFound = errors.New("no onnxruntime library found: run `peftgraph runtime install`, or name one with --ort-lib or " + EnvLibrary)

// Library is a libonnxruntime on this machine. It says nothing about whether the file can be loaded: see [Library.Info].
type Library struct {
	// Path is the absolute path of the shared library.
	Path string
	// Origin says how it was found: "flag", the name of an environment variable, "cache" or "system".
	Origin string
}

func (l Library) String() string { return fmt.Sprintf("%s (from %s)", l.Path, l.Origin) }

// Find returns the library to use: the explicit path, else the one that [EnvLibrary] or [EnvSharedLibrary] names, else the
// newest that [Install] has put into the user's cache, else one in the system's usual places. A path that the user has
// named always wins, even when it is wrong: then the error says so and nothing else is tried. A folder stands for the
// library inside it. Without any library the error is [ErrNotFound].
func Find(explicit string) (Library, error) {
	if explicit != "" {
		return named(explicit, "flag")
	}
	for _, env := range []string{EnvLibrary, EnvSharedLibrary} {
		if path := os.Getenv(env); path != "" {
			return named(path, env)
		}
	}
	if dir, err := CacheDir(); err == nil {
		if path := newestInstalled(dir); path != "" {
			return Library{Path: path, Origin: "cache"}, nil
		}
	}
	for _, dir := range systemDirs() {
		if path := libraryIn(dir); path != "" {
			return Library{Path: path, Origin: "system"}, nil
		}
	}
	return Library{}, fmt.Errorf("runtime: %w", ErrNotFound)
}

// CacheDir is the folder that holds this user's installed libraries: peftgraph/onnxruntime in [os.UserCacheDir].
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("runtime: no folder for cached libraries: %w", err)
	}
	return filepath.Join(dir, "peftgraph", "onnxruntime"), nil
}

// named checks a path that the user gave, and finds the library inside where it is a folder.
func named(path, origin string) (Library, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Library{}, fmt.Errorf("runtime: library %q (from %s): %w", path, origin, err)
	}
	info, err := os.Stat(abs)
	switch {
	case err != nil:
		return Library{}, fmt.Errorf("runtime: library %q (from %s): %w", path, origin, errors.Unwrap(err))
	case !info.IsDir():
		return Library{Path: abs, Origin: origin}, nil
	}
	if lib := libraryIn(abs); lib != "" {
		return Library{Path: lib, Origin: origin}, nil
	}
	return Library{}, fmt.Errorf("runtime: library %q (from %s): the folder holds no %s", path, origin, strings.Join(libraryPatterns, " or "))
}

// libraryIn returns the path of the newest libonnxruntime in dir, "" without one.
func libraryIn(dir string) string {
	var found []string
	for _, pattern := range libraryPatterns {
		matches, _ := filepath.Glob(filepath.Join(dir, pattern))
		found = append(found, matches...)
	}
	// libonnxruntime.so, .so.1 and .so.1.30.0 are usually one file; the longest name also tells its version.
	slices.SortFunc(found, func(a, b string) int { return compareVersions(b, a) })
	for _, path := range found {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// compareVersions orders two texts by the runs of digits in them, as numbers, and treats a longer row of numbers as newer.
func compareVersions(a, b string) int {
	numbers := func(s string) (out []int) {
		for _, run := range strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
			n := 0
			for _, digit := range run {
				n = n*10 + int(digit-'0')
			}
			out = append(out, n)
		}
		return out
	}
	return slices.Compare(numbers(filepath.Base(a)), numbers(filepath.Base(b)))
}
