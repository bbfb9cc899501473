package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/runtime"
)

func runtimeCommand() *cli.Command {
	return &cli.Command{
		Name:  "runtime",
		Usage: "find or install libonnxruntime",
		Action: func(c *cli.Context) error {
			return usagef("want runtime install or runtime info; see peftgraph runtime --help")
		},
		Subcommands: []*cli.Command{
			{
				Name:  "install",
				Usage: "get libonnxruntime into the per-user cache, checked by its hash",
				Flags: append(outputFlags(),
					&cli.StringFlag{Name: "version", Usage: "onnxruntime's version", Value: runtime.DefaultVersion},
					&cli.StringFlag{Name: "provider", Usage: "cpu or cuda", Value: "cpu"},
					&cli.StringFlag{Name: "source", Usage: "auto or one of " + strings.Join(runtime.Sources(), ", "), Value: "auto"}),
				Action: func(c *cli.Context) error {
					o := newConsole(c)
					lib, err := install(c.Context, o, runtime.InstallOptions{Version: c.String("version"), Provider: c.String("provider"), Source: c.String("source")})
					if err != nil {
						return err
					}
					return describe(o, lib)
				},
			},
			{
				Name:  "info",
				Usage: "say which libonnxruntime is used and which providers it offers",
				Flags: append(outputFlags(), ortLibFlag()),
				Action: func(c *cli.Context) error {
					lib, err := runtime.Find(c.String("ort-lib"))
					if err != nil {
						return err
					}
					return describe(newConsole(c), lib)
				},
			},
		},
	}
}

func install(ctx context.Context, o *console, opts runtime.InstallOptions) (runtime.Library, error) {
	defer o.end()
	opts.Progress = func(done, total int64) { o.progress("downloading onnxruntime", done, total, "") }
	opts.Log = func(line string) { o.note("%s", line) }
	return runtime.Install(ctx, opts)
}

func describe(o *console, lib runtime.Library) error {
	info, err := lib.Info()
	if err != nil {
		return err
	}
	v := struct {
		Path      string   `json:"path"`
		Origin    string   `json:"origin"`
		Version   string   `json:"version"`
		Providers []string `json:"providers"`
	}{lib.Path, lib.Origin, info.Version, info.Names()}
	return o.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "library    %s (%s)\nversion    %s\nproviders  %s\n", v.Path, v.Origin, v.Version, strings.Join(v.Providers, ", "))
	})
}
