//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peftgraph/peftgraph/models"
	"github.com/peftgraph/peftgraph/runtime"
)

// A subject is a shape of model that is measured, with the targets that its step has to meet.
type subject struct {
	name, title string
	config      func() models.Config
	target      target
}

// A target is what a step has to reach: a share of the chain in percent at least, times the forward and megabytes at most.
type target struct{ chain, ratio, peak float64 }

var subjects = []subject{
	{"bert-base", "BERT-base", models.BERTBase, target{chain: 75, ratio: 2.2, peak: 950}},
	{"minilm", "MiniLM", models.MiniLM, target{chain: 60, ratio: 2.2, peak: 280}},
}

// leanVocab is the size of the vocabulary with which the target of memory was set. Pages of the word table are mapped as
// words are met, and belong to no one else's memory: they tell how many different words came by.
const leanVocab = 1000

// settings are the command line's.
type settings struct {
	job     job
	only    string
	dir     string
	program string
	profile bool
	sweep   bool
}

func (s settings) run(ctx context.Context, stdout, stderr io.Writer) error {
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s.dir = dir
	}
	lib, err := runtime.Find("")
	if err != nil {
		return err
	}
	info, err := lib.Info()
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(subjects), func(sh subject) bool { return s.only != "" && s.only != sh.name })
	if len(chosen) == 0 {
		return fmt.Errorf("-only %s: no model is called that", s.only)
	}
	var all []measured
	for _, sh := range chosen {
		fmt.Fprintln(stderr, "measuring", sh.title)
		m, err := s.measure(ctx, sh, stderr)
		if err != nil {
			return err
		}
		all = append(all, m)
	}
	s.print(stdout, info, all)
	return nil
}

func (s settings) print(w io.Writer, info runtime.Info, all []measured) {
	printHeading(w, s.job, info)
	printFigures(w, all, figures())
	printServingHeading(w)
	printFigures(w, all, servingFigures())
	if s.program != "" {
		printFigures(w, all, fileFigures())
	}
	for _, m := range all {
		if s.sweep {
			printSweep(w, m)
		}
		if s.profile {
			printProfile(w, m)
		}
	}
}

// measure asks one process for each thing.
func (s settings) measure(ctx context.Context, sh subject, stderr io.Writer) (measured, error) {
	m := measured{shape: sh}
	whole, lean := s.job, s.job
	whole.Shape, whole.Model = sh.name, filepath.Join(s.dir, sh.name+".onnx")
	lean.Shape, lean.Model, lean.Vocab = sh.name, filepath.Join(s.dir, sh.name+"-lean.onnx"), leanVocab
	dropped, sweep := whole, whole
	dropped.Dropout, sweep.Others = 0.1, variants()
	for _, q := range []struct {
		what   string
		job    job
		result any
		wanted bool
	}{
		{"build", whole, new(any), missing(whole.Model)},
		{"build", lean, new(any), missing(lean.Model)},
		{"ratios", whole, &m.ratios, true},
		{"train", whole, &m.train, true},
		{"train", lean, &m.lean, true},
		{"train", dropped, &m.dropped, true},
		{"serving", whole, &m.serving, true},
		{"sweep", sweep, &m.sweep, s.sweep},
		{"profile", whole, &m.profile, s.profile},
	} {
		if !q.wanted {
			continue
		}
		if err := ask(ctx, stderr, q.what, q.job, q.result); err != nil {
			return m, err
		}
	}
	if s.program == "" {
		return m, nil
	}
	f, err := measureFiles(ctx, s.program, whole.Model)
	m.files = &f
	return m, err
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// ask starts a process that measures one thing.
func ask(ctx context.Context, stderr io.Writer, what string, j job, result any) error {
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, self, childVerb, what, string(text))
	cmd.Stdout, cmd.Stderr = &out, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("measuring %s of %s: %w", what, strings.TrimSuffix(filepath.Base(j.Model), ".onnx"), err)
	}
	return json.Unmarshal(out.Bytes(), result)
}

// variants are what -sweep compares, the defaults first.
func variants() []variant {
	with := func(name string, change func(*runtime.Options)) variant {
		o := runtime.Mapped()
		change(&o)
		return variant{Name: name, Options: &o}
	}
	return []variant{
		{Name: "as is"},
		{Name: "FusedMatMul in gradients", Fused: true},
		with("packed weights", func(o *runtime.Options) { o.DisablePrepacking = false }),
		with("memory patterns", func(o *runtime.Options) { o.MemPattern = true }),
		with("all optimizations", func(o *runtime.Options) { o.OptLevel = "all" }),
		with("basic optimizations", func(o *runtime.Options) { o.OptLevel = "basic" }),
		with("with SkipLayerNormFusion", func(o *runtime.Options) { o.DisableOptimizers = nil }),
		with("no spinning", func(o *runtime.Options) { o.Config = map[string]string{"session.intra_op.allow_spinning": "0"} }),
	}
}
