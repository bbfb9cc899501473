package runtime

import (
	"context"
	"errors"

	"github.com/peftgraph/peftgraph/internal/fetch"
)

// pip gets the wheels onnxruntime and onnxruntime-gpu through the user's own pip, and so from the index or mirror that it is
// configured for. Nothing of the wheel is run, so the user's version of Python does not matter.
type pip struct{}

func (pip) name() string { return "pip" }

// pipPlatforms are the wheels' platform tags, newest first.
var pipPlatforms = map[string][]string{
	"linux/amd64":        {"manylinux_2_28_x86_64", "manylinux_2_27_x86_64"},
	"linux/arm64":        {"manylinux_2_28_aarch64", "manylinux_2_27_aarch64"},
	"darwin/arm64":       {"macosx_14_0_arm64", "macosx_13_0_arm64", "macosx_13_0_universal2"},
	"windows/amd64":      {"win_amd64"},
	"windows/arm64":      {"win_arm64"},
	"linux/amd64/cuda":   {"manylinux_2_28_x86_64", "manylinux_2_27_x86_64"},
	"windows/amd64/cuda": {"win_amd64"},
}

func (pip) find(b build) (archive, bool) {
	if pipPlatforms[b.key()] == nil {
		return archive{}, false
	}
	a := archive{pkg: "onnxruntime==" + b.version, members: b.files()}
	if b.provider == "cuda" {
		a.pkg = "onnxruntime-gpu==" + b.version
	}
	for i, name := range a.members {
		a.members[i] = "onnxruntime/capi/" + name
	}
	return a, true
}

func (pip) fetch(ctx context.Context, a archive, b build, dir string, opts InstallOptions) (string, error) {
	command := fetch.Pip(ctx)
	if command == nil {
		return "", errors.New("there is no pip on this machine")
	}
	// The wheel for one version of Python, whichever the user has, so that its checksum can be pinned.
	args := append(command[1:], "download", "--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.12",
		"--disable-pip-version-check", "--no-input", "--quiet", "--dest", dir)
	for _, tag := range pipPlatforms[b.key()] {
		args = append(args, "--platform", tag)
	}
	opts.Progress(0, -1)
	if err := fetch.Tool(ctx, dir, command[0], append(args, a.pkg)...); err != nil {
		return "", err
	}
	return fetch.OnlyFile(dir, "*.whl")
}
