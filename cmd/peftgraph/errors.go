package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/train"
)

// Exit statuses, listed in the help.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitDiffers     = 3
	exitInterrupted = 130
)

// A usageError is a command line that can't be understood.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// wrongUsage makes err, unless nil, a usage error with a pointer to the command's help.
func wrongUsage(c *cli.Context, err error) error {
	if err == nil {
		return nil
	}
	return hinted(usageError{err.Error()}, "peftgraph "+c.Command.FullName()+" --help")
}

// hinted gives an error something to try.
func hinted(err error, try string) error { return &peftgraph.HintedError{Err: err, Try: try} }

// exitStatus prints an error with what to try, and returns the status that goes with it.
func exitStatus(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "peftgraph: %s\n", message(err))
	if h := hint(err); h != "" {
		fmt.Fprintf(stderr, "  try: %s\n", h)
	}
	var (
		usage       usageError
		setting     *peftgraph.SettingError
		differs     *peftgraph.DiffersError
		interrupted *train.InterruptedError
	)
	switch {
	case errors.As(err, &usage), errors.As(err, &setting):
		return exitUsage
	case errors.As(err, &differs):
		return exitDiffers
	case errors.As(err, &interrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailure
}

// packages matches the names of packages that errors carry, which tell a programmer where they come from and a user nothing.
var packages = regexp.MustCompile(`(^|: )(?:(?:atomicfile|autodiff|combine|crosscheck|data|folder|format|fetch|folder|gradcheck|graph|inject|mapfile|metric|models|multitask|onnxfile|optim|pull|refeval|rewrite|runtime|safetensors|setting|shape|task|torchfile|train): )+`)

// message is an error's text as a user reads it, on one line.
func message(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	return strings.ReplaceAll(asFlags(packages.ReplaceAllString(err.Error(), "$1")), "\n", "; ")
}

var (
	settings = regexp.MustCompile(`\bsetting ([A-Z]\w*)`)
	words    = regexp.MustCompile(`([a-z])([A-Z])|([A-Z])([A-Z][a-z])`)
)

// asFlags calls the library's settings by their flags: "setting MaxLength" is "--max-length".
func asFlags(text string) string {
	return settings.ReplaceAllStringFunc(text, func(found string) string {
		name := strings.TrimPrefix(found, "setting ")
		return "--" + strings.ToLower(words.ReplaceAllString(name, "$1$3-$2$4"))
	})
}

// hint returns what an error says to try, or what usually helps.
func hint(err error) string {
	switch try := peftgraph.Hint(err); {
	case try != "":
		return asFlags(try)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EFBIG):
		return "free some space, or write to another disk; nothing half-written was left"
	case errors.Is(err, fs.ErrPermission):
		return "check the permissions, or choose another folder"
	case errors.Is(err, fs.ErrNotExist):
		return "check the path"
	}
	return ""
}
