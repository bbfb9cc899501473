package fetch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Tool runs a package manager in dir, with the user's environment and so their configuration, and puts what it said last
// into the error. A cancelled ctx kills it.
func Tool(ctx context.Context, dir, exe string, args ...string) error {
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second // a grandchild may keep the pipes open after a cancel
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("fetch: %s %s: %w: %s", filepath.Base(exe), strings.Join(args, " "), err, lastLines(string(out), 3))
	}
	return nil
}

// lastLines joins the last n lines that are not empty: tools put the reason there.
func lastLines(text string, n int) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// Pip returns how to call pip, nil without one. A Python without the module pip is common, so each is asked.
func Pip(ctx context.Context) []string {
	for _, command := range [][]string{{"python3", "-m", "pip"}, {"python", "-m", "pip"}, {"pip3"}, {"pip"}} {
		exe, err := exec.LookPath(command[0])
		if err != nil {
			continue
		}
		command[0] = exe
		if exec.CommandContext(ctx, exe, append(command[1:], "--version")...).Run() == nil {
			return command
		}
	}
	return nil
}

// OnlyFile returns the one file in dir that matches pattern: what a package manager downloaded.
func OnlyFile(dir, pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		entries, _ := os.ReadDir(dir)
		return "", fmt.Errorf("fetch: want one %s, but the download left %v", pattern, entries)
	}
	return found[0], nil
}
