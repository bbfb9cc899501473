// Peftgraph fine-tunes BERT-family ONNX models with LoRA and other parameter-efficient methods, without Python: it injects
// trainable parameters into a graph, trains them on a stock onnxruntime, and exports deployable graphs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	goruntime "runtime/debug"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

func main() {
	ignoreFileLimit()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := doMain(ctx, stop, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// doMain runs one command line and returns its exit status. stop is called once ctx is cancelled, so that a second Ctrl-C
// ends the process at once.
func doMain(ctx context.Context, stop func(), args []string, stdin io.Reader, stdout, stderr io.Writer) (status int) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(stderr, "peftgraph: internal error: %v\n  this is a bug; run again with PEFTGRAPH_TRACE=1 and report what it prints\n", r)
			if os.Getenv("PEFTGRAPH_TRACE") != "" {
				fmt.Fprintf(stderr, "%s\n", goruntime.Stack())
			}
			status = exitFailure
		}
	}()
	context.AfterFunc(ctx, stop)
	app := newApp(stdin, stdout, stderr)
	app.Metadata = map[string]any{argsKey: args}
	return exitStatus(app.RunContext(ctx, reorder(app, args)), stderr)
}

// argsKey is where an app has the arguments that it was run with.
const argsKey = "args"

// commandLine is the command as it can be pasted into a shell; "" where an app was run otherwise than by doMain.
func commandLine(c *cli.Context) string {
	args, _ := c.App.Metadata[argsKey].([]string)
	var words []string
	for i, a := range args {
		if i == 0 {
			a = c.App.Name
		}
		words = append(words, shellQuoted(a))
	}
	return strings.Join(words, " ")
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:                      "peftgraph",
		Usage:                     "fine-tune BERT-family ONNX models with LoRA and friends, on a stock onnxruntime",
		Version:                   version(),
		Description:               "Exit status: 0 done, 1 failed, 2 wrong usage, 3 the compared outputs differ, 130 interrupted.",
		Reader:                    stdin,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true, // texts have commas
		Commands: []*cli.Command{
			inspectCommand(), injectCommand(), trainCommand(), evalCommand(), predictCommand(), exportCommand(),
			verifyCommand(), gradcheckCommand(), adaptersCommand(), runtimeCommand(), pullCommand(),
		},
		ExitErrHandler: func(*cli.Context, error) {}, // exitStatus prints errors, once
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return usageError{err.Error()} },
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("%q is no command of peftgraph; see peftgraph --help", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, cmd := range app.Commands {
		finish(cmd)
	}
	return app
}

// finish gives a command, and its own, what all share.
func finish(cmd *cli.Command) {
	cmd.OnUsageError = func(c *cli.Context, err error, _ bool) error {
		return wrongUsage(c, err)
	}
	cmd.HideHelpCommand = true
	for _, sub := range cmd.Subcommands {
		finish(sub)
	}
}

func version() string {
	info, ok := goruntime.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "0.1.0-dev"
	}
	return info.Main.Version
}
