package peftgraph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/runtime"
	"github.com/peftgraph/peftgraph/train"
)

// An Engine says where models run, and who hears of it. The zero value takes the libonnxruntime that [runtime.Find] finds and
// its fastest provider. A process has one library: the first that is opened stays until it ends.
type Engine struct {
	Library  string // the libonnxruntime's path; "" is the one that is found
	Provider string // one of [runtime.Providers]; "" or "auto" is the fastest that starts
	Threads  int    // that one operator may use; 0 is one per physical core
	Install  bool   // where no library is found, get one as [runtime.Install] does
	// Note, where set, is told in a line what isn't an error and yet may not be what was meant.
	Note func(line string)
	// Progress, where set, is told how far a step is that may take long; total is −1 while it isn't known.
	Progress func(step string, done, total int64)
}

func (e Engine) notef(format string, args ...any) {
	if e.Note != nil {
		e.Note(fmt.Sprintf(format, args...))
	}
}

// step returns a function that says how far a step is.
func (e Engine) step(name string) func(done, total int) {
	return func(done, total int) {
		if e.Progress != nil {
			e.Progress(name, int64(done), int64(total))
		}
	}
}

// An engine is the runtime that something is computed with.
type engine struct {
	Engine
	*runtime.Runtime
}

// open finds the library, installing it where that is wanted and there is none, and loads it.
func (e Engine) open(ctx context.Context) (*engine, error) {
	lib, err := runtime.Find(e.Library)
	if e.Install && errors.Is(err, runtime.ErrNotFound) {
		e.notef("no onnxruntime library on this machine yet: installing it (peftgraph runtime install)")
		lib, err = runtime.Install(ctx, runtime.InstallOptions{Log: e.Note, Progress: func(done, total int64) {
			if e.Progress != nil {
				e.Progress("downloading onnxruntime", done, total)
			}
		}})
	}
	if err != nil {
		return nil, err
	}
	rt, err := runtime.Open(lib)
	if err != nil {
		return nil, err
	}
	e.Provider = cmp.Or(e.Provider, "auto")
	return &engine{e, rt}, nil
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
	opt.Name, opt.Provider, opt.Threads, opt.ExternalDir = name, e.Provider, e.Threads, dir
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

// A serving is a graph that answers for one task or for several, in onnxruntime.
type serving struct {
	*train.Predictor
	close func()
}

// serve gives a graph with the plan's output to onnxruntime, no other output.
func (e *engine) serve(ctx context.Context, name string, g *graph.Graph, p *inject.Plan) (*serving, error) {
	g.SetOutputs(g.Value(p.Logits))
	g.Prune()
	s, err := e.session(ctx, name, g)
	if err != nil {
		return nil, err
	}
	return &serving{train.NewPredictor(s, g, p), func() { _ = s.Close() }}, nil
}
