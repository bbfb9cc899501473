// Package runtimetest gives tests the libonnxruntime of this machine.
package runtimetest

import (
	"os"
	"testing"

	"github.com/peftgraph/peftgraph/runtime"
)

// Library returns a usable libonnxruntime, found as the program itself finds one. Without one the test is skipped with a
// line that says how to get it; where the environment has CI=true, it fails instead, so that nothing is left out silently.
func Library(t testing.TB) runtime.Library {
	t.Helper()
	lib, err := runtime.Find("")
	if err == nil {
		_, err = lib.Info()
	}
	if err == nil {
		return lib
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI=true, and this test needs onnxruntime: %v", err)
	}
	t.Skipf("SKIPPED, NOT TESTED: this test needs onnxruntime: %v", err)
	return runtime.Library{}
}

// Open returns the opened runtime of the library that [Library] finds.
func Open(t testing.TB) *runtime.Runtime {
	t.Helper()
	r, err := runtime.Open(Library(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
