package models

import (
	"slices"
	"strings"
)

// roles are the linear maps of a layer by what they do, whatever a family calls them.
var roles = []struct {
	name string
	of   func(*family) string
	in   func(*Layer) *Linear
}{
	{"query", func(f *family) string { return f.query }, func(l *Layer) *Linear { return &l.Query }},
	{"key", func(f *family) string { return f.key }, func(l *Layer) *Linear { return &l.Key }},
	{"value", func(f *family) string { return f.value }, func(l *Layer) *Linear { return &l.Value }},
	{"attention-output", func(f *family) string { return f.attentionOutput }, func(l *Layer) *Linear { return &l.AttentionOutput }},
	{"ffn-in", func(f *family) string { return f.intermediate }, func(l *Layer) *Linear { return &l.Intermediate }},
	{"ffn-out", func(f *family) string { return f.dense }, func(l *Layer) *Linear { return &l.Dense }},
}

// Roles returns the names of the linear maps of a layer by what they do.
func Roles() (names []string) {
	for _, r := range roles {
		names = append(names, r.name)
	}
	return names
}

// InRole returns the linear maps of the encoder's layers that do what name says: a role, or what any family calls one.
func (e *Encoder) InRole(name string) (out []*Linear) {
	for _, r := range roles {
		if r.name != name && !slices.ContainsFunc(Families(), func(f string) bool {
			path := r.of(families[f])
			return path == name || strings.HasSuffix(path, "."+name)
		}) {
			continue
		}
		for i := range e.Layers {
			out = append(out, r.in(&e.Layers[i]))
		}
	}
	return out
}
