package runtime

import (
	"os"
	"path/filepath"
)

var libraryPatterns = []string{"libonnxruntime.dylib", "libonnxruntime.*.dylib"}

// systemDirs lists where Homebrew (Apple silicon, then Intel), MacPorts and a user's own build put shared libraries.
func systemDirs() []string {
	return append(filepath.SplitList(os.Getenv("DYLD_LIBRARY_PATH")), "/opt/homebrew/lib", "/usr/local/lib", "/opt/local/lib")
}
