package runtime

import (
	"context"
	"errors"
	"os/exec"

	"github.com/peftgraph/peftgraph/internal/fetch"
)

// npm gets the package onnxruntime-node, which carries the official CPU libraries of all platforms, through the user's own
// npm, and so from the registry or mirror that it is configured for. Nothing of the package is run.
type npm struct{}

func (npm) name() string { return "npm" }

// npmPlatforms are the folders of the package's libraries.
var npmPlatforms = map[string]string{
	"linux/amd64":   "linux/x64",
	"linux/arm64":   "linux/arm64",
	"darwin/arm64":  "darwin/arm64",
	"windows/amd64": "win32/x64",
	"windows/arm64": "win32/arm64",
}

func (npm) find(b build) (archive, bool) {
	platform, ok := npmPlatforms[b.key()]
	if !ok {
		return archive{}, false
	}
	dir := "package/bin/napi-v*/" + platform + "/"
	a := archive{pkg: "onnxruntime-node@" + b.version, members: []string{dir + "libonnxruntime.so.1"}}
	switch b.goos {
	case "darwin":
		a.members = []string{dir + "libonnxruntime." + b.version + ".dylib"}
	case "windows": // its build of onnxruntime.dll links DirectML.dll, which needs the two others
		a.members = []string{dir + "onnxruntime.dll", dir + "DirectML.dll" + fetch.Optional, dir + "dx*.dll" + fetch.Optional}
	}
	return a, true
}

func (npm) fetch(ctx context.Context, a archive, _ build, dir string, opts InstallOptions) (string, error) {
	exe, err := exec.LookPath("npm")
	if err != nil {
		return "", errors.New("there is no npm on this machine")
	}
	opts.Progress(0, -1)
	if err := fetch.Tool(ctx, dir, exe, "pack", a.pkg, "--ignore-scripts", "--loglevel=error"); err != nil {
		return "", err
	}
	return fetch.OnlyFile(dir, "*.tgz")
}
