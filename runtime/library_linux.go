package runtime

import (
	"os"
	"path/filepath"
)

// providerPattern is the file name of an execution provider that is a library of its own.
const providerPattern = "libonnxruntime_providers_%s.so"

var libraryPatterns = []string{"libonnxruntime.so", "libonnxruntime.so.*"}

// systemDirs lists where a package manager, or a user with root's rights, puts shared libraries.
func systemDirs() []string {
	dirs := filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))
	dirs = append(dirs, "/usr/local/lib", "/usr/local/lib64", "/usr/lib64", "/usr/lib")
	multiarch, _ := filepath.Glob("/usr/lib/*-linux-gnu")
	return append(append(dirs, multiarch...), "/opt/onnxruntime/lib", "/home/linuxbrew/.linuxbrew/lib")
}
