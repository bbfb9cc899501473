package onnxfile

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/peftgraph/peftgraph/graph"
)

// A Staged is a model that is written, can be loaded, and isn't in its place yet: whatever lay there is untouched until
// Commit. One of Commit and Discard must be called.
type Staged struct {
	// Path is where the model can be loaded from meanwhile, on the disk that it is for.
	Path string
	// Bytes is the size of everything written: the model, and its side file if it has one.
	Bytes int64
	// Refers are the files that hold weights of it, relative to its folder: with [Reference] only.
	Refers []string

	target string
	files  writer
}

// Stage is [Save] up to the moment at which the files get their names, so that what is written can be tried first.
func Stage(g *graph.Graph, path string, opt Options) (*Staged, error) {
	s := &Staged{target: path, files: writer{sync: opt.Sync}}
	if err := s.write(g, opt); err != nil {
		s.Discard()
		return nil, s.wrap(err)
	}
	return s, nil
}

// Commit puts the model in its place.
func (s *Staged) Commit() error {
	defer s.Discard()
	return s.wrap(s.files.Commit())
}

// Discard removes what was written. After Commit it does nothing.
func (s *Staged) Discard() { s.files.Discard() }

func (s *Staged) wrap(err error) error {
	if err != nil {
		err = fmt.Errorf("onnxfile: save %q: %w", s.target, err)
	}
	return err
}

func (s *Staged) write(g *graph.Graph, opt Options) error {
	abs, err := filepath.Abs(s.target)
	if err != nil {
		return err
	}
	if info, err := os.Stat(abs); err == nil && info.IsDir() {
		return fmt.Errorf("it is a folder")
	}
	opt.Dir = filepath.Dir(abs)
	files := sources(g)
	if err := files.ready(abs); err != nil {
		return err
	}
	where := opt.placer()
	if g, err = stamped(g, where); err != nil {
		return err
	}
	var b *body
	if opt.Weights != ExternalData {
		if b, err = encode(g, opt, where); err != nil {
			return err
		}
		if r, ok := where.(*references); ok {
			s.Refers = r.files()
		}
	}
	if b == nil || b.size > opt.maxMessage() && opt.Weights == SelfContained {
		if b, err = s.writeSide(g, abs, files, opt); err != nil {
			return err
		}
	}
	if b.size > opt.maxMessage() {
		return errTooLarge
	}
	s.Path, err = s.files.write(abs, b.parts)
	s.Bytes = s.files.size
	return err
}

// writeSide writes the side file and returns the model that refers to it. It does so by name, so both are written into a
// folder where they have their names.
func (s *Staged) writeSide(g *graph.Graph, abs string, files fileSet, opt Options) (*body, error) {
	if err := files.ready(abs + ".data"); err != nil {
		return nil, err
	}
	side := &sideFile{location: filepath.Base(abs) + ".data"}
	b, err := encode(g, opt, side)
	if err != nil {
		return nil, err
	}
	if err := s.files.Together(abs); err != nil {
		return nil, err
	}
	_, err = s.files.write(abs+".data", side.parts())
	return b, err
}
