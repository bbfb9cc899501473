//go:build !linux && !darwin && !windows

package runtime

const providerPattern = "libonnxruntime_providers_%s.so"

var libraryPatterns = []string{"libonnxruntime.so", "libonnxruntime.so.*"}

func systemDirs() []string { return []string{"/usr/local/lib", "/usr/lib"} }
