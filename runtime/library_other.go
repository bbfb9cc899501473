//go:build !linux && !darwin && !windows

package runtime

var libraryPatterns = []string{"libonnxruntime.so", "libonnxruntime.so.*"}

func systemDirs() []string { return []string{"/usr/local/lib", "/usr/lib"} }
