package graphtest

import (
	"os"
	"path/filepath"
	goruntime "runtime"
	"testing"
)

// Shared returns the files that match a pattern below the folder of graphs and data that others published, which is no part
// of the repository: it lies beside it, or where PEFTGRAPH_SHARED says. Without such files the test is skipped; always names the
// test that checks the same on the repository's own, and where there is none ("") a run with CI=true fails.
func Shared(t testing.TB, pattern, always string) []string {
	t.Helper()
	files := SharedIfAny(pattern)
	if len(files) > 0 {
		return files
	}
	if always == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no %s in %s: set PEFTGRAPH_SHARED", pattern, sharedDir())
		}
		always = "nothing"
	}
	t.Skipf("SKIPPED, NOT TESTED: no %s in %s: set PEFTGRAPH_SHARED; %s checks the same on files of the repository", pattern, sharedDir(), always)
	return nil
}

// SharedIfAny is [Shared] for tests that have other files too.
func SharedIfAny(pattern string) []string {
	files, _ := filepath.Glob(filepath.Join(sharedDir(), pattern))
	return files
}

func sharedDir() string {
	if dir := os.Getenv("PEFTGRAPH_SHARED"); dir != "" {
		return dir
	}
	_, file, _, _ := goruntime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "shared")
}
