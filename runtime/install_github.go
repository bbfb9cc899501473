package runtime

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/peftgraph/peftgraph/internal/fetch"
)

// github gets the archives of the project's own releases.
type github struct{ base string }

func (github) name() string { return "github" }

// githubPlatforms are the release's names for the platforms, and the suffix of the files.
var githubPlatforms = map[string][2]string{
	"linux/amd64":        {"linux-x64", "tgz"},
	"linux/arm64":        {"linux-aarch64", "tgz"},
	"darwin/arm64":       {"osx-arm64", "tgz"},
	"windows/amd64":      {"win-x64", "zip"},
	"windows/arm64":      {"win-arm64", "zip"},
	"linux/amd64/cuda":   {"linux-x64-gpu_cuda13", "tgz"},
	"windows/amd64/cuda": {"win-x64-gpu_cuda13", "zip"},
}

func (github) find(b build) (archive, bool) {
	platform, ok := githubPlatforms[b.key()]
	if !ok {
		return archive{}, false
	}
	stem := fmt.Sprintf("onnxruntime-%s-%s", platform[0], b.version)
	members := b.files()
	for i, name := range members {
		// The CUDA archives' folder has been named with and without "_cuda13".
		members[i] = fmt.Sprintf("onnxruntime-*-%s/lib/%s", b.version, name)
	}
	return archive{pkg: stem + "." + platform[1], members: members}, true
}

// key is how the sources' tables name a build's platform.
func (b build) key() string {
	key := b.goos + "/" + b.goarch
	if b.provider != "cpu" {
		key += "/" + b.provider
	}
	return key
}

// files are patterns for the names of a build's shared libraries, libonnxruntime first.
func (b build) files() []string {
	pattern, main := "libonnxruntime_providers_%s.so", "libonnxruntime.so."+b.version
	switch b.goos {
	case "darwin":
		return []string{"libonnxruntime." + b.version + ".dylib"}
	case "windows":
		pattern, main = "onnxruntime_providers_%s.dll", "onnxruntime.dll"
	}
	if b.provider == "cpu" {
		return []string{main, fmt.Sprintf(pattern, "shared") + fetch.Optional}
	}
	return []string{main, fmt.Sprintf(pattern, "shared"), fmt.Sprintf(pattern, b.provider)}
}

func (g github) fetch(ctx context.Context, a archive, b build, dir string, opts InstallOptions) (string, error) {
	url := fmt.Sprintf("%s/microsoft/onnxruntime/releases/download/v%s/%s", g.base, b.version, a.pkg)
	path := filepath.Join(dir, a.pkg)
	_, err := fetch.Download(ctx, url, nil, path, opts.Progress)
	return path, err
}
