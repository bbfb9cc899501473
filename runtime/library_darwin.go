package runtime

import (
	"os"
	"path/filepath"
)

// providerPattern is the file name of an execution provider that is a library of its own.
const providerPattern = "libonnxruntime_providers_%s.dylib"

var libraryPatterns = []string{"libonnxruntime.dylib", "libonnxruntime.*.dylib"}

// systemDirs lists where Homebrew (Apple silicon, then Intel), MacPorts and a user's own build put shared libraries.
func systemDirs() []string {
	return append(filepath.SplitList(os.Getenv("DYLD_LIBRARY_PATH")), "/opt/homebrew/lib", "/usr/local/lib", "/opt/local/lib")
}
