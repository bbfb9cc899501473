package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
)

// A loadedRun is a trained run that is ready to predict.
type loadedRun struct {
	run       *train.Run
	graph     *graph.Graph // injected, with the trained values
	reader    *reader
	predictor *train.Predictor
	close     func()
}

// openTrained loads a run folder, or an injected model as it is, and gives its model to onnxruntime.
func openTrained(c *cli.Context, o *console, path string) (*loadedRun, error) {
	run, trained, err := trainedRun(c, path)
	if err != nil {
		return nil, err
	}
	r, err := runReader(o, run)
	if err != nil {
		return nil, err
	}
	e, err := openEngine(c.Context, c, o)
	if err != nil {
		return nil, err
	}
	g := trained.Clone()
	inject.Deploy(g)
	p, done, err := e.predictor(c.Context, path, g, run.Plan)
	if err != nil {
		return nil, err
	}
	return &loadedRun{run, trained, r, p, done}, nil
}

// trainedRun opens a run folder. An injected model stands for a run that took no step, with the tokenizer beside it.
func trainedRun(c *cli.Context, path string) (*train.Run, *graph.Graph, error) {
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		run, err := train.OpenRun(path)
		if err != nil {
			return nil, nil, err
		}
		g, err := trainedModel(run, c.String("model"))
		return run, g, err
	}
	g, plan, err := loadModel(path)
	if err != nil {
		return nil, nil, err
	}
	if plan == nil || plan.Task.Type == "" {
		return nil, nil, hintedError{fmt.Errorf("%s: neither a run folder nor a model that was injected with a head", path), "the folder that train wrote to"}
	}
	const maxLength = 128
	return &train.Run{Dir: filepath.Dir(path), Plan: plan, MaxLength: maxLength}, g, nil
}

// predictor gives a graph with the plan's logits to onnxruntime, no other output.
func (e *engine) predictor(ctx context.Context, name string, g *graph.Graph, p *inject.Plan) (*train.Predictor, func(), error) {
	g.SetOutputs(g.Value(p.Logits))
	g.Prune()
	s, err := e.session(ctx, name, g)
	if err != nil {
		return nil, nil, err
	}
	return train.NewPredictor(s, g, p), func() { _ = s.Close() }, nil
}

// predict computes the logits of a data set, with a progress bar.
func (l *loadedRun) predict(ctx context.Context, o *console, d *data.Dataset, batch int) ([][]float32, error) {
	b := o.bar("predicting", false)
	defer b.end()
	return l.predictor.Predict(ctx, d, nil, batch, func(done, total int) { b.at(int64(done), int64(total), "") })
}

// modelFlag names the base when it isn't where the run remembers it.
func modelFlag() cli.Flag {
	return &cli.StringFlag{Name: "model", Usage: "the model the run was trained on, where it was moved"}
}
