package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// MinAPIVersion is the version of onnxruntime's C API that the binding was compiled for (ORT_API_VERSION in its header). A
// library offers every API version up to its own minor version, so the oldest usable release is 1.MinAPIVersion.
const MinAPIVersion = 24

// Info is what a library tells about itself once it is loaded.
type Info struct {
	// Version is onnxruntime's version, such as "1.30.0".
	Version string
	// Providers are the execution providers that the build has, in onnxruntime's order of preference, by its own names
	// ("CUDAExecutionProvider", "CPUExecutionProvider"). It is no promise that each starts on this machine.
	Providers []string
}

// Has reports whether the library has the execution provider that peftgraph calls name ("cpu", "cuda").
func (i Info) Has(name string) bool {
	return slices.ContainsFunc(i.Providers, func(p string) bool { return shortName(p) == name })
}

// Names returns the providers by peftgraph's short names: "CUDAExecutionProvider" is "cuda".
func (i Info) Names() []string {
	names := make([]string, len(i.Providers))
	for k, p := range i.Providers {
		names[k] = shortName(p)
	}
	return names
}

func shortName(provider string) string {
	return strings.ToLower(strings.TrimSuffix(provider, "ExecutionProvider"))
}

// VersionError says that a library is too old for this program.
type VersionError struct {
	Path    string // the library
	Version string // its onnxruntime version
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("library %s is onnxruntime %s; peftgraph needs >= 1.%d (API %[3]d): run `peftgraph runtime install`",
		e.Path, e.Version, MinAPIVersion)
}

// Info loads the library and asks for its version and providers. The error is a [VersionError] where it is too old. The
// library stays mapped until the process ends.
func (l Library) Info() (Info, error) {
	p, err := openProbe(l.Path)
	if err != nil {
		return Info{}, fmt.Errorf("runtime: library %q (from %s) does not load: %w%s", l.Path, l.Origin, err, explainLoad(err.Error()))
	}
	info := Info{Version: p.version()}
	// Asking an old library for a newer API prints a line of its own to stderr, so its version is looked at first.
	if !enough(info.Version) {
		return info, fmt.Errorf("runtime: %w", &VersionError{Path: l.Path, Version: info.Version})
	}
	info.Providers = slices.DeleteFunc(p.providers(), func(name string) bool { return l.lacks(shortName(name)) })
	return info, nil
}

// explainLoad adds what the loader's own words mean where they don't say it.
func explainLoad(reason string) string {
	switch {
	case strings.Contains(reason, "GLIBC"): // and GLIBCXX: "version `GLIBC_2.38' not found"
		return ": this system's C or C++ library is older than this build of onnxruntime needs: use a newer system, or name a library that was built for this one with --ort-lib"
	case strings.Contains(reason, "ld-linux"): // musl: "Error loading shared library ld-linux-x86-64.so.2"
		return ": this build of onnxruntime needs glibc, and this system has another C library: name a library that was built for it with --ort-lib"
	}
	return ""
}

// separate are the providers that live in a library of their own. A libonnxruntime that could use one names it as available,
// even where that file was left out of the package.
var separate = []string{"cuda", "tensorrt", "rocm", "migraphx", "openvino", "dnnl", "cann"}

func (l Library) lacks(provider string) bool {
	if !slices.Contains(separate, provider) {
		return false
	}
	_, err := os.Stat(l.providerFile(provider))
	return err != nil
}

// providerFile is where onnxruntime looks for a provider that is a library of its own.
func (l Library) providerFile(provider string) string {
	return filepath.Join(filepath.Dir(l.Path), fmt.Sprintf(providerPattern, provider))
}

// enough reports whether a version text is at least 1.MinAPIVersion; one that can't be read is left for onnxruntime to judge.
func enough(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return true
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err1 != nil || err2 != nil || major > 1 || (major == 1 && minor >= MinAPIVersion)
}
