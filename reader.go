package peftgraph

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/inject"
	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/train"
	"github.com/peftgraph/peftgraph/train/data"
	"github.com/peftgraph/peftgraph/train/task"
)

// DefaultMaxLength is how many tokens a text has before it is cut, where nothing else is said.
const DefaultMaxLength = 128

// A reader turns data files into what a model is fed.
type reader struct {
	tokenizer *data.Tokenizer
	maxLength int
	oneLength bool // the model has no mask
}

// newReader loads a tokenizer and checks that it belongs to the model: every id needs a row in the word embeddings.
func newReader(path string, maxLength int, info models.Info) (*reader, error) {
	const where = "put the model's own tokenizer.json or vocab.txt beside it, or name it with setting Tokenizer"
	if maxLength == 0 {
		maxLength = DefaultMaxLength
	}
	t, err := data.LoadTokenizer(path)
	if err != nil {
		return nil, hinted(err, where)
	}
	if t.VocabSize() > info.Vocab {
		return nil, hinted(fmt.Errorf("%s: the tokenizer has %d tokens and the model's vocabulary %d: it belongs to another model", t.Path(), t.VocabSize(), info.Vocab), where)
	}
	return &reader{t, min(maxLength, info.Positions), info.Inputs.Mask == ""}, nil
}

// runReader is the reader of a run's own tokenizer.
func runReader(run *train.Run) (*reader, error) {
	if err := run.CheckTokenizer(); err != nil {
		return nil, err
	}
	return newReader(run.TokenizerPath(), run.MaxLength, run.Plan.Encoder)
}

// dataset encodes a set for the task, with its labels where it has any.
func (r *reader) dataset(e Engine, set *data.Set, of inject.Task) (*data.Dataset, error) {
	d, err := encode(task.Encoder{Tokenizer: r.tokenizer, MaxLength: r.maxLength}, set, of)
	if err != nil {
		return nil, err
	}
	d.OneLength = r.oneLength
	if d.Truncated > 0 {
		r.noteCut(e, set.Path, d.Truncated, len(set.Examples))
	}
	return d, nil
}

// noteCut says how many texts of something, which may have no name, were cut.
func (r *reader) noteCut(e Engine, of string, n, all int) {
	if of != "" {
		of += ": "
	}
	e.notef("%s%d of %d texts are longer than %d tokens and were cut", of, n, all, r.maxLength)
}

// columns returns the reader's options that a run was trained with.
func columns(run *train.Run) data.Options {
	return data.Options{Schema: schema(run.Plan.Task), Format: run.Data.Format, TextColumn: run.Data.Text, PairColumn: run.Data.Pair,
		LabelColumn: run.Data.Label, LabelBase: run.Data.Base, NoHeader: !run.Data.Header, Join: run.Data.Join, Strict: run.Data.Strict,
		Latin1: run.Data.Latin1}
}

// readAs is how the run's own data was read, where the options say nothing else; its columns' names hold in another format too.
// Files that aren't the run's own may be of another format: see [data.Options.For].
func readAs(opt data.Options, run *train.Run) data.Options {
	as, asked := columns(run), opt
	asked.Strict, asked.Latin1, asked.NoLabel, asked.Join = false, false, false, ""
	if asked == (data.Options{}) && run.Data.Format != "" {
		as.Strict, as.Latin1, as.NoLabel, as.Join = as.Strict || opt.Strict, as.Latin1 || opt.Latin1, opt.NoLabel, cmp.Or(opt.Join, as.Join)
		return as
	}
	opt.Schema = as.Schema
	if asked.Format = ""; asked == (data.Options{}) && run.Data.Header {
		opt.TextColumn, opt.PairColumn, opt.LabelColumn, opt.LabelBase = as.TextColumn, as.PairColumn, as.LabelColumn, as.LabelBase
		opt.Join = cmp.Or(opt.Join, as.Join)
	}
	return opt
}

// readLike reads files as likeRun says.
func readLike(opt data.Options, run *train.Run, paths []string) (*data.Set, error) {
	return data.ReadEach(paths, likeRun(opt, run))
}

// likeRun returns what readAs says for a file, in the format that its own name says unless one was asked for.
func likeRun(opt data.Options, run *train.Run) func(path string) data.Options {
	as := readAs(opt, run)
	return func(path string) data.Options {
		of, own := as, slices.Contains(slices.Concat(run.TrainPaths(), run.EvalPaths()), absolute(path))
		if named := opt.Format != "" || own && run.Data.Forced || extension(path) == extension(run.TrainFile); !named {
			of = as.For(path)
		}
		of.Latin1 = opt.Latin1 || own && as.Latin1 // another file may be in another encoding, and wouldn't look so
		return of
	}
}

// extension is what a file's name says of its format.
func extension(path string) string {
	return filepath.Ext(strings.TrimSuffix(strings.ToLower(path), ".gz"))
}

// absolute is a path as a run folder has it.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil && path != data.Stdin {
		return abs
	}
	return path
}

// madeUp is a data set of random tokens with texts of several lengths, for comparing without data.
func madeUp(vocab, length int) *data.Dataset {
	const examples = 16
	rng := rand.New(rand.NewPCG(1, 2))
	d := &data.Dataset{}
	for i := range examples {
		n := max(2, length*(i+1)/examples)
		e := data.Encoding{IDs: make([]int64, n), TypeIDs: make([]int64, n)}
		for k := range e.IDs {
			e.IDs[k] = rng.Int64N(int64(vocab))
		}
		d.Encodings = append(d.Encodings, e)
	}
	return d
}
