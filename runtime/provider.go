package runtime

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// provider is one of onnxruntime's execution providers, under the name that a user types.
type provider struct {
	name string
	// rank orders what "auto" tries: the highest first.
	rank int
	// add puts the provider into session options, with onnxruntime's own options for it.
	add func(o *ort.SessionOptions, options map[string]string) error
	// hint says what to do when it is missing or does not start.
	hint string
}

var providers = map[string]provider{}

// register adds a provider; each one's file calls it.
func register(p provider) {
	if _, ok := providers[p.name]; ok {
		panic("runtime: provider registered twice: " + p.name)
	}
	providers[p.name] = p
}

// Providers lists the names that Options.Provider takes, besides "auto".
func Providers() []string { return slices.Sorted(maps.Keys(providers)) }

// candidates returns the providers to try in turn for a name: one, or for "auto" all that the library has been built with.
func (r *Runtime) candidates(name string) ([]provider, error) {
	if name == "auto" {
		var out []provider
		for _, p := range providers {
			if r.info.Has(p.name) {
				out = append(out, p)
			}
		}
		slices.SortFunc(out, func(a, b provider) int { return b.rank - a.rank })
		return out, nil
	}
	p, ok := providers[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("provider %q: want auto or one of %s", name, strings.Join(Providers(), ", "))
	case !r.info.Has(name):
		return nil, fmt.Errorf("provider %q: library %s (onnxruntime %s) has only %s; %s",
			name, r.lib.Path, r.info.Version, strings.Join(r.info.Names(), ", "), p.hint)
	}
	return []provider{p}, nil
}

// add puts a provider into session options. Where that fails, onnxruntime does not say which library is missing; the loader does.
func (r *Runtime) add(p provider, so *ort.SessionOptions, options map[string]string) error {
	err := p.add(so, options)
	if err == nil {
		return nil
	}
	if slices.Contains(separate, p.name) {
		if _, why := loadLibrary(r.lib.providerFile(p.name)); why != nil {
			err = fmt.Errorf("%w: %w", err, why)
		}
	}
	return fmt.Errorf("provider %q of library %s: %w; %s", p.name, r.lib.Path, err, p.hint)
}
