package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/runtime"
)

// onePath returns the command's only positional argument.
func onePath(c *cli.Context, what string) (string, error) {
	if c.NArg() != 1 {
		return "", wrongUsage(c, fmt.Errorf("%s: want one %s, got %d arguments", c.Command.Name, what, c.NArg()))
	}
	return c.Args().First(), nil
}

// loadModel loads a model and the plan it carries; the plan is nil for a model that isn't injected.
func loadModel(path string) (*graph.Graph, *inject.Plan, error) {
	g, err := onnxfile.Load(path)
	if err != nil {
		return nil, nil, err
	}
	plan, err := inject.ReadPlan(g)
	var none *inject.NoPlanError
	if errors.As(err, &none) {
		return g, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, plan, nil
}

// recognise finds the encoder in a graph that was loaded from path.
func recognise(path string, g *graph.Graph) (*models.Encoder, error) {
	enc, err := models.Recognise(g)
	if err != nil {
		hint := "an encoder of the BERT family in float32, as PyTorch's exporters or Optimum write it"
		if why := (*models.NotRecognisedError)(nil); errors.As(err, &why) && why.Hint != "" {
			hint = why.Hint
		}
		return nil, hintedError{fmt.Errorf("%s: %w", path, err), hint}
	}
	return enc, nil
}

// saveModel writes a model, with the folder it is to lie in, and says what it wrote. A folder made for nothing is taken away
// again.
func saveModel(g *graph.Graph, path string, opt onnxfile.Options) (*onnxfile.Staged, error) {
	undo, err := makeFolder(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	s, err := onnxfile.Stage(g, path, opt)
	if err == nil {
		err = s.Commit()
	}
	if err != nil {
		undo()
	}
	return s, err
}

// makeFolder makes a folder with its parents. undo takes those away that were missing, as far as they are empty.
func makeFolder(dir string) (undo func(), err error) {
	var made []string
	for d := filepath.Clean(dir); d != filepath.Dir(d); d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil {
			break
		}
		made = append(made, d)
	}
	undo = func() {
		for _, d := range made {
			_ = os.Remove(d)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		undo()
		return nil, err
	}
	return undo, nil
}

// withPath is the action of a command that works on its only positional argument.
func withPath(what string, run func(c *cli.Context, o *console, path string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		path, err := onePath(c, what)
		if err != nil {
			return err
		}
		return run(c, newConsole(c), path)
	}
}

// runtimeFlags choose the library and the provider.
func runtimeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "provider", Value: "auto", Usage: "where to compute: cpu, cuda or auto", Category: "Runtime", Action: oneOf("provider", append(runtime.Providers(), "auto")...)},
		&cli.IntFlag{Name: "threads", Usage: "threads one operator may use; 0 is one per physical core", Category: "Runtime"},
		ortLibFlag(),
	}
}

func ortLibFlag() cli.Flag {
	return &cli.StringFlag{Name: "ort-lib", Usage: "the libonnxruntime to use (also " + runtime.EnvLibrary + ")", Category: "Runtime"}
}

// An engine is the runtime a command computes with.
type engine struct {
	*runtime.Runtime
	provider string
	threads  int
}

// openEngine finds the library, installing it on a machine that has none, and loads it.
func openEngine(ctx context.Context, c *cli.Context, o *console) (*engine, error) {
	lib, err := runtime.Find(c.String("ort-lib"))
	if errors.Is(err, runtime.ErrNotFound) {
		o.note("no onnxruntime library on this machine yet: installing it (peftgraph runtime install)")
		lib, err = install(ctx, o, runtime.InstallOptions{})
	}
	if err != nil {
		return nil, err
	}
	rt, err := runtime.Open(lib)
	if err != nil {
		return nil, err
	}
	return &engine{rt, c.String("provider"), c.Int("threads")}, nil
}

// session gives a graph to onnxruntime. Weights that lie in files stay there, mapped: g is described by a few hundred
// kilobytes that refer to them.
func (e *engine) session(ctx context.Context, name string, g *graph.Graph) (*runtime.Session, error) {
	if err := onnxfile.InPlace(g); err != nil {
		return nil, err
	}
	dir := weightsDir(g)
	model, err := onnxfile.Marshal(g, onnxfile.Options{Weights: onnxfile.Reference, Dir: dir, InlineOutside: true})
	if err != nil {
		return nil, err
	}
	opt := runtime.Mapped()
	opt.Name, opt.Provider, opt.Threads, opt.ExternalDir = name, e.provider, e.threads, dir
	return e.NewSession(ctx, model, opt)
}

// weightsDir returns the folder that holds most of the weights' bytes.
func weightsDir(g *graph.Graph) string {
	bytes := map[string]int64{}
	best := "."
	for _, v := range g.Initializers() {
		if ref := v.Init().Ref(); ref != nil {
			d := filepath.Dir(ref.File.Path())
			if bytes[d] += ref.Length; bytes[d] > bytes[best] {
				best = d
			}
		}
	}
	return best
}
