package onnxfile

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/peftgraph/peftgraph/graph"
	"github.com/peftgraph/peftgraph/graph/onnxfile/internal/onnxpb"
)

// alignment of tensors in a side file: a page, so that each can be mapped.
const alignment = 4096

func externalEntries(location string, offset, length int64) []*onnxpb.StringStringEntryProto {
	return []*onnxpb.StringStringEntryProto{
		entry("location", location),
		entry("offset", strconv.FormatInt(offset, 10)),
		entry("length", strconv.FormatInt(length, 10)),
	}
}

func (opt Options) placer() placer {
	if opt.Weights == Reference {
		return &references{dir: opt.Dir, inline: opt.InlineOutside, locations: map[graph.File]string{}}
	}
	return inModel{}
}

// inModel keeps every tensor in the model.
type inModel struct{}

func (inModel) place(*graph.Tensor) ([]*onnxpb.StringStringEntryProto, error) { return nil, nil }

// references leaves tensors in the files they are in.
type references struct {
	dir       string
	inline    bool
	locations map[graph.File]string // "" for a file outside
}

func (r *references) place(t *graph.Tensor) ([]*onnxpb.StringStringEntryProto, error) {
	ref := t.Ref()
	if ref == nil {
		return nil, nil
	}
	location, ok := r.locations[ref.File]
	if !ok {
		if rel, err := below(r.dir, ref.File.Path()); err == nil {
			location = filepath.ToSlash(rel)
		}
		r.locations[ref.File] = location
	}
	switch {
	case location != "":
		return externalEntries(location, ref.Offset, ref.Length), nil
	case r.inline:
		return nil, nil
	}
	file := ref.File.Path()
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real // where a link leads is what counts
	}
	return nil, &OutsideError{Dir: r.dir, File: file}
}

// files returns what was referred to.
func (r *references) files() []string {
	names := slices.Sorted(maps.Values(r.locations))
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// A sideFile collects the larger tensors of a model, each once.
type sideFile struct {
	location string
	tensors  []*graph.Tensor
	offsets  map[*graph.Tensor]int64
	end      int64
}

func (s *sideFile) place(t *graph.Tensor) ([]*onnxpb.StringStringEntryProto, error) {
	if t.DType == graph.String {
		return nil, nil
	}
	size, err := tensorSize(t)
	if err != nil || size < inlineBelow {
		return nil, err
	}
	off, ok := s.offsets[t]
	if !ok {
		off = (s.end + alignment - 1) / alignment * alignment
		if s.offsets == nil {
			s.offsets = map[*graph.Tensor]int64{}
		}
		s.offsets[t], s.end = off, off+size
		s.tensors = append(s.tensors, t)
	}
	return externalEntries(s.location, off, size), nil
}

// parts returns the content of the file.
func (s *sideFile) parts() []part {
	var out []part
	var at int64
	for _, t := range s.tensors {
		if gap := s.offsets[t] - at; gap > 0 {
			out = append(out, part{data: make([]byte, gap), size: gap})
		}
		size, _ := tensorSize(t) // known since it was placed
		out = append(out, part{tensor: t, size: size})
		at = s.offsets[t] + size
	}
	return out
}
