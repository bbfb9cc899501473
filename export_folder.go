package peftgraph

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/peftgraph/peftgraph/models/pull"
	"github.com/peftgraph/peftgraph/train/folder"
	"github.com/peftgraph/peftgraph/train/task"
)

// alone says why nothing can go beside the model; "" for no reason that the options have.
func (opt *ExportOptions) alone() string {
	switch {
	case opt.Reference:
		return "weights of the model stay in the base's file, which who gets the folder doesn't have"
	case opt.KeepOutputs:
		return "the base's own outputs keep their names"
	case filepath.Base(opt.Path) != filepath.Base(folder.ModelPath("", folder.Flat)):
		return "other programs look for model.onnx"
	}
	return ""
}

// only tells why nothing goes beside the model, unless that is what was asked for.
func (opt *ExportOptions) only(why string) {
	if !opt.Bare {
		opt.notef("only the model is written, without the files for other programs: %s", why)
	}
}

// chooseBeside decides what goes beside the model, and finds out now what would be wrong with it.
func (x *export) chooseBeside() error {
	if x.opt.All || x.opt.Bare {
		return nil
	}
	if why := x.opt.alone(); why != "" {
		x.opt.only(why)
		return nil
	}
	c, err := x.contents()
	if err != nil {
		return err
	}
	switch err := folder.Check(x.besideIn(), x.opt.Layout, c); {
	case err == nil:
		x.beside = &c
	case x.opt.folder != "":
		return hinted(err, "another folder, or setting Bare for the model alone")
	default:
		x.opt.only(strings.TrimPrefix(err.Error(), "folder: "))
	}
	return nil
}

// besideIn is the folder of the only model.
func (x *export) besideIn() string {
	if x.opt.folder != "" {
		return x.opt.folder
	}
	return filepath.Dir(x.opt.Path)
}

// writeBeside writes what goes beside the model.
func (x *export) writeBeside(res *ExportedForm) (err error) {
	if x.beside == nil {
		return nil
	}
	dir := x.besideIn()
	if res.Layout, err = folder.Write(dir, x.opt.Layout, *x.beside); err != nil {
		return fmt.Errorf("%s is written, but not what goes beside it: %w", x.opt.Path, err)
	}
	res.Folder = filepath.Clean(dir)
	return nil
}

// contents are what the run knows of its model.
func (x *export) contents() (folder.Contents, error) {
	r, t := x.run, x.targets[0]
	base, err := r.model, error(nil)
	if base == "" {
		base, err = r.ModelPath()
	}
	if err != nil {
		return folder.Contents{}, err
	}
	c := folder.Contents{Info: t.info, Task: t.task, Base: base, Tokenizer: r.reader.tokenizer.Path(), MaxLength: r.reader.maxLength}
	c.Card = folder.Card{Head: r.Plan.Head.Kind, Methods: r.Plan.Methods, Merged: t.merged, Trained: int64(r.Plan.Parameters()),
		Total: r.Plan.Encoder.Parameters, Settings: r.settings(), Command: x.opt.Command, Program: x.opt.Program}
	if from, ok := pull.About(filepath.Dir(base)); ok {
		c.Card.Base = folder.Base(from)
	}
	for _, f := range r.DataFiles() {
		c.Card.Data = append(c.Card.Data, folder.Data{UsedFor: f.UsedFor, Name: filepath.Base(f.Path), SHA256: f.SHA256})
	}
	c.Card.Metrics, c.Card.Decides, err = r.reached()
	return c, err
}

// settings are those of the training, by their flags, and the epoch that was best; nil for a model that took no step.
func (r *Run) settings() map[string]string {
	s := r.Settings
	if s.Epochs == 0 {
		return nil
	}
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	return map[string]string{"epochs": strconv.Itoa(s.Epochs), "best epoch": strconv.Itoa(r.BestEpoch), "batch-size": strconv.Itoa(s.BatchSize),
		"accumulate": strconv.Itoa(s.Accumulate), "lr": number(s.LearningRate), "weight-decay": number(s.WeightDecay), "warmup": number(s.Warmup),
		"clip": number(s.ClipNorm), "optimizer": s.Optimizer, "schedule": s.Schedule, "seed": strconv.FormatUint(s.Seed, 10)}
}

// reached are the metrics that the run was judged by, and the one that decided; none where it was judged by its loss.
func (r *Run) reached() (task.Scores, string, error) {
	of, err := task.Of(r.Plan.Task)
	if err != nil {
		return nil, "", err
	}
	for _, name := range of.Metrics() {
		if _, ok := r.Best[name]; ok {
			return r.Best, name, nil
		}
	}
	return nil, "", nil
}
