package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/internal/atomicfile"
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
	m, err := pull.Get(c.Context, name, pull.Options{Source: c.String("source"), Revision: c.String("revision"),
		Progress: func(file string, done, total int64) { o.progress("downloading", done, total, " "+file) },
		Log:      func(line string) { o.note("%s", line) }})
	o.end()
	if err != nil {
		return err
	}
	if dir := c.String("output"); dir != "" {
		if m, err = copyModel(m, dir); err != nil {
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

// copyModel copies all of a cached model's files: injected models refer to weights in their own folder.
func copyModel(m pull.Model, dir string) (pull.Model, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, err
	}
	files, err := os.ReadDir(m.Dir)
	if err != nil {
		return m, err
	}
	for _, f := range files {
		if !f.Type().IsRegular() || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		if err := copyFile(filepath.Join(m.Dir, f.Name()), filepath.Join(dir, f.Name())); err != nil {
			return m, err
		}
	}
	m.ONNX = filepath.Join(dir, filepath.Base(m.ONNX))
	if m.Tokenizer != "" {
		m.Tokenizer = filepath.Join(dir, filepath.Base(m.Tokenizer))
	}
	m.Dir = dir
	return m, nil
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return atomicfile.Write(to, func(w io.Writer) error {
		_, err := io.Copy(w, src)
		return err
	})
}
