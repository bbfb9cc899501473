package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
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
		a.members = []string{dir + "onnxruntime.dll", dir + "DirectML.dll" + optional, dir + "dx*.dll" + optional}
	}
	return a, true
}

func (npm) fetch(ctx context.Context, a archive, _ build, dir string, opts InstallOptions) (string, error) {
	exe, err := exec.LookPath("npm")
	if err != nil {
		return "", errors.New("there is no npm on this machine")
	}
	opts.Progress(0, -1)
	if err := runTool(ctx, dir, exe, "pack", a.pkg, "--ignore-scripts", "--loglevel=error"); err != nil {
		return "", err
	}
	return onlyFile(dir, "*.tgz")
}

// runTool runs a package manager in dir, with the user's environment and so their configuration, and puts what it said into
// the error.
func runTool(ctx context.Context, dir, exe string, args ...string) error {
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second // a grandchild may keep the pipes open after a cancel
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(exe), strings.Join(args, " "), err, lastLines(string(out), 3))
	}
	return nil
}

// lastLines joins the last n lines that are not empty: tools put the reason there.
func lastLines(text string, n int) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

func onlyFile(dir, pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		entries, _ := os.ReadDir(dir)
		return "", fmt.Errorf("want one %s, but the download left %v", pattern, entries)
	}
	return found[0], nil
}
