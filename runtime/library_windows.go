package runtime

import (
	"os"
	"path/filepath"
)

// providerPattern is the file name of an execution provider that is a library of its own.
const providerPattern = "onnxruntime_providers_%s.dll"

var libraryPatterns = []string{"onnxruntime.dll"}

// systemDirs leaves System32 out on purpose: Windows keeps an onnxruntime.dll of its own there, for Windows ML, and it is
// years too old.
func systemDirs() []string {
	var dirs []string
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(exe))
	}
	if programs := os.Getenv("ProgramFiles"); programs != "" {
		dirs = append(dirs, filepath.Join(programs, "onnxruntime", "lib"))
	}
	return dirs
}
