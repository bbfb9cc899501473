package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/models/pull"
)

func pullCommand() *cli.Command {
	return &cli.Command{
		Name:        "pull",
		Usage:       "get a pretrained encoder into the per-user cache",
		ArgsUsage:   "NAME",
		Description: "NAME is " + strings.Join(pull.List(), ", ") + ", or any repository of the hub as organisation/name.",
		Flags: append(outputFlags(),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "also copy the model into this folder"},
			&cli.StringFlag{Name: "source", Value: "auto", Usage: "auto or one of " + strings.Join(pull.Sources(), ", ")},
			&cli.StringFlag{Name: "revision", Usage: "branch, tag or commit of a hub repository"}),
		Action: withPath("model name", runPull),
	}
}

func runPull(c *cli.Context, o *console, name string) error {
	b := o.bar("downloading", true)
	m, err := pull.Get(c.Context, name, pull.Options{Source: c.String("source"), Revision: c.String("revision"),
		Progress: func(file string, done, total int64) { b.at(done, total, " "+file) },
		Log:      func(line string) { o.note("%s", line) }})
	b.end()
	if err != nil {
		return err
	}
	if dir := c.String("output"); dir != "" {
		if m, err = m.CopyTo(dir); err != nil {
			return err
		}
	}
	v := struct {
		Name      string `json:"name"`
		Model     string `json:"model"`
		Tokenizer string `json:"tokenizer,omitempty"`
		Source    string `json:"source"`
	}{m.Name, m.ONNX, m.Tokenizer, m.Source}
	return o.result(v, func(w io.Writer) { fmt.Fprintf(w, "%s\n%s\n", v.Model, v.Tokenizer) })
}
