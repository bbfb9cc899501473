package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

const dataCategory = "Data"

// dataFlags say how labelled text is read.
func dataFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "format", Usage: "format of the data files: " + strings.Join(data.Formats(), ", ") + " (default: by the extension)", Category: dataCategory, Action: oneOf("format", data.Formats()...)},
		&cli.StringFlag{Name: "text-column", Usage: "the text's column, by name or number from 1 (default: found by its name)", Category: dataCategory},
		&cli.StringFlag{Name: "pair-column", Usage: "the second text's column; - for none", Category: dataCategory},
		&cli.StringFlag{Name: "label-column", Usage: "the label's column", Category: dataCategory},
		&cli.BoolFlag{Name: "no-header", Usage: "the first row is data", Category: dataCategory},
		&cli.IntFlag{Name: "label-base", Usage: "the number of the first class, 0 or 1, where labels are numbers of classes that have names", Category: dataCategory},
		&cli.BoolFlag{Name: "latin1", Usage: "the files are in ISO 8859-1, not UTF-8", Category: dataCategory},
	}
}

func dataOptions(c *cli.Context) data.Options {
	opt := data.Options{Format: c.String("format"), TextColumn: c.String("text-column"), PairColumn: c.String("pair-column"),
		LabelColumn: c.String("label-column"), NoHeader: c.Bool("no-header"), Latin1: c.Bool("latin1")}
	if c.IsSet("label-base") {
		base := c.Int("label-base")
		opt.LabelBase = &base
	}
	return opt
}

// A reader turns data files into what a model is fed.
type reader struct {
	o         *console
	tokenizer *data.Tokenizer
	maxLength int
	oneLength bool // the model has no mask
}

// newReader loads a tokenizer and checks that it belongs to the model: every id needs a row in the word embeddings.
func newReader(o *console, path string, maxLength int, info models.Info) (*reader, error) {
	const where = "put the model's own tokenizer.json or vocab.txt beside it, or name it with --tokenizer"
	t, err := data.LoadTokenizer(path)
	if err != nil {
		return nil, hintedError{err, where}
	}
	if t.VocabSize() > info.Vocab {
		return nil, hintedError{fmt.Errorf("%s: the tokenizer has %d tokens and the model's vocabulary %d: it belongs to another model", t.Path(), t.VocabSize(), info.Vocab), where}
	}
	return &reader{o, t, min(maxLength, info.Positions), info.Inputs.Mask == ""}, nil
}

// runReader is the reader of a run's own tokenizer.
func runReader(o *console, run *train.Run) (*reader, error) {
	if err := run.CheckTokenizer(); err != nil {
		return nil, err
	}
	return newReader(o, run.TokenizerPath(), run.MaxLength, run.Plan.Encoder)
}

// dataset encodes a set for the task, with its labels where it has any.
func (r *reader) dataset(set *data.Set, of inject.Task) (*data.Dataset, error) {
	t, err := task.Of(of)
	if err != nil {
		return nil, err
	}
	d, err := t.Encode(task.Encoder{Tokenizer: r.tokenizer, MaxLength: r.maxLength}, set, of.Labels)
	if err != nil {
		return nil, err
	}
	d.OneLength = r.oneLength
	if d.Truncated > 0 {
		r.o.note("%s: %d of %d texts are longer than %d tokens and were cut", set.Path, d.Truncated, len(set.Examples), r.maxLength)
	}
	return d, nil
}
