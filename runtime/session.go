package runtime

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/peftgraph/peftgraph/graph"
)

// Session is a model that onnxruntime has loaded. Its methods may be called by several goroutines at once.
type Session struct {
	name     string
	sig      *signature
	provider string
	notes    []string
	pool     pool

	// distrusted is set once a declared output shape has turned out to be wrong; onnxruntime allocates all outputs then.
	distrusted atomic.Bool

	mu  sync.RWMutex // held for reading by each run, so that Close waits for them
	ort *ort.DynamicAdvancedSession
}

// NewSession loads a model from its bytes, which are not needed afterwards. External data is looked for in
// Options.ExternalDir.
func (r *Runtime) NewSession(ctx context.Context, model []byte, opts Options) (*Session, error) {
	opts.Name = cmp.Or(opts.Name, "model")
	return r.newSession(ctx, bytes.NewReader(model), int64(len(model)), opts,
		func(in, out []string, so *ort.SessionOptions) (*ort.DynamicAdvancedSession, error) {
			return ort.NewDynamicAdvancedSessionWithONNXData(model, in, out, so)
		})
}

// NewSessionFromFile loads a model from a file; onnxruntime maps its external data, which is relative to the file's folder.
func (r *Runtime) NewSessionFromFile(ctx context.Context, path string, opts Options) (*Session, error) {
	opts.Name = cmp.Or(opts.Name, filepath.Base(path))
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("runtime: session %q: %w", opts.Name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("runtime: session %q: %w", opts.Name, err)
	}
	return r.newSession(ctx, f, info.Size(), opts,
		func(in, out []string, so *ort.SessionOptions) (*ort.DynamicAdvancedSession, error) {
			return ort.NewDynamicAdvancedSession(path, in, out, so)
		})
}

type loader func(inputs, outputs []string, so *ort.SessionOptions) (*ort.DynamicAdvancedSession, error)

func (r *Runtime) newSession(ctx context.Context, model io.ReaderAt, size int64, opts Options, load loader) (*Session, error) {
	fail := func(err error) (*Session, error) { return nil, fmt.Errorf("runtime: session %q: %w", opts.Name, err) }
	sig, err := readSignature(model, size)
	if err != nil {
		return fail(err)
	}
	candidates, err := r.candidates(cmp.Or(opts.Provider, "cpu"))
	if err != nil {
		return fail(err)
	}
	s := &Session{name: opts.Name, sig: sig}
	for i, p := range candidates {
		if err := context.Cause(ctx); err != nil {
			return fail(err)
		}
		if s.ort, err = r.load(sig, opts, p, load); err == nil {
			s.provider = p.name
			return s, nil
		}
		if i < len(candidates)-1 {
			s.notes = append(s.notes, fmt.Sprintf("%s does not start: %v", p.name, err))
		}
	}
	return fail(err)
}

func (r *Runtime) load(sig *signature, opts Options, p provider, load loader) (*ort.DynamicAdvancedSession, error) {
	so, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer so.Destroy()
	if err := errors.Join(opts.apply(so), r.add(p, so, opts.ProviderOptions)); err != nil {
		return nil, err
	}
	session, err := load(valueNames(sig.inputs), valueNames(sig.outputs), so)
	if err != nil {
		return nil, fmt.Errorf("onnxruntime %s does not load it: %w", r.info.Version, err)
	}
	return session, nil
}

func valueNames(values []ValueInfo) []string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.Name
	}
	return names
}

// Inputs lists what every run must feed, as the model declares it.
func (s *Session) Inputs() []ValueInfo { return slices.Clone(s.sig.inputs) }

// Defaults lists what a run may feed: the inputs that have a value in the model.
func (s *Session) Defaults() []ValueInfo { return slices.Clone(s.sig.defaults) }

// Outputs lists what a run can fetch, as the model declares it.
func (s *Session) Outputs() []ValueInfo { return slices.Clone(s.sig.outputs) }

// Provider is the execution provider in use: what "auto" came to.
func (s *Session) Provider() string { return s.provider }

// Notes tells, for "auto", which providers the library has that did not start, and why.
func (s *Session) Notes() []string { return slices.Clone(s.notes) }

// Close frees the model after the runs in progress. Closing twice is no error.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ort == nil {
		return nil
	}
	err := s.ort.Destroy()
	s.ort = nil
	return err
}

// Run computes the outputs named in fetches, in that order, from the tensors in feeds. No tensor is copied on its way in;
// outputs whose shape the model declares, in numbers or in the names of input dimensions, are written in place too. Feeds are
// checked against the model's inputs first. When ctx ends, a run that fetches all outputs of the model stops at its next node;
// another one ends by itself first. The error is then ctx's.
func (s *Session) Run(ctx context.Context, feeds map[string]*graph.Tensor, fetches []string) ([]*graph.Tensor, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out, err := s.run(ctx, feeds, fetches)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return nil, fmt.Errorf("runtime: session %q: %w", s.name, err)
	}
	return out, nil
}

func (s *Session) run(ctx context.Context, feeds map[string]*graph.Tensor, fetches []string) ([]*graph.Tensor, error) {
	if s.ort == nil {
		return nil, errors.New("it is closed")
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	dims, err := s.check(feeds, fetches)
	if err != nil {
		return nil, err
	}
	c := call{session: s, feeds: feeds, fetches: fetches, dims: dims}
	defer c.release()
	out, err := c.run(ctx)
	if err != nil && wrongShape(err) && !s.distrusted.Swap(true) {
		out, err = c.run(ctx)
	}
	return out, err
}

// wrongShape reports whether a run failed because an output has another shape than declared, in the words of onnxruntime's
// current and of its older releases.
func wrongShape(err error) bool {
	text := err.Error()
	return strings.Contains(text, "but the computed output shape for this run is") || strings.Contains(text, "shape verification failed")
}

// check compares a run's feeds and fetches with the model's interface, so that a mistake is told in its words. It returns the
// sizes of the named input dimensions.
func (s *Session) check(feeds map[string]*graph.Tensor, fetches []string) (map[string]int64, error) {
	dims := map[string]int64{}
	for _, in := range s.sig.inputs {
		t := feeds[in.Name]
		if t == nil {
			return nil, fmt.Errorf("input %s is not fed; fed are %s", in, names(feeds))
		}
		if err := in.accepts(t, dims); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(feeds)) {
		if find(s.sig.inputs, name) != nil {
			continue
		}
		in := find(s.sig.defaults, name)
		if in == nil {
			return nil, fmt.Errorf("no input is named %q; the model has %s", name, strings.Join(valueNames(slices.Concat(s.sig.inputs, s.sig.defaults)), ", "))
		}
		if err := in.accepts(feeds[name], dims); err != nil {
			return nil, err
		}
	}
	for i, name := range fetches {
		if find(s.sig.outputs, name) == nil {
			return nil, fmt.Errorf("no output is named %q; the model has %s", name, strings.Join(valueNames(s.sig.outputs), ", "))
		}
		if slices.Contains(fetches[:i], name) {
			return nil, fmt.Errorf("output %q is fetched twice", name)
		}
	}
	if len(fetches) == 0 {
		return nil, errors.New("nothing is fetched")
	}
	return dims, nil
}

func find(values []ValueInfo, name string) *ValueInfo {
	i := slices.IndexFunc(values, func(v ValueInfo) bool { return v.Name == name })
	if i < 0 {
		return nil
	}
	return &values[i]
}

// conflict is the size of a named dimension that inputs disagree on: onnxruntime lets them, but then the name says nothing.
const conflict = -1

// accepts checks a tensor for an input and notes the sizes of its named dimensions.
func (v ValueInfo) accepts(t *graph.Tensor, dims map[string]int64) error {
	switch {
	case t == nil:
		return fmt.Errorf("input %s is fed with nil", v)
	case t.DType != v.DType:
		return fmt.Errorf("input %s is fed with %s%v: want %s", v, t.DType, t.Dims, v.DType)
	case v.Shape == nil:
		return nil
	case len(t.Dims) != len(v.Shape):
		return fmt.Errorf("input %s is fed with %s%v: want %d dimensions, not %d", v, t.DType, t.Dims, len(v.Shape), len(t.Dims))
	}
	for i, want := range v.Shape {
		got := t.Dims[i]
		if want.Known() && want.N != got {
			return fmt.Errorf("input %s is fed with %s%v: want %d in dimension %d, not %d", v, t.DType, t.Dims, want.N, i, got)
		}
		if want.Sym == "" {
			continue
		}
		if size, seen := dims[want.Sym]; seen && size != got {
			got = conflict
		}
		dims[want.Sym] = got
	}
	return nil
}

// resolve returns the sizes of a declared shape, given those of the inputs' named dimensions; ok is false when one is unknown.
func (v ValueInfo) resolve(dims map[string]int64) (sizes []int64, ok bool) {
	if v.Shape == nil {
		return nil, false
	}
	sizes = make([]int64, len(v.Shape))
	for i, d := range v.Shape {
		sizes[i] = d.N
		if d.Sym != "" {
			size, seen := dims[d.Sym]
			if !seen {
				return nil, false
			}
			sizes[i] = size
		}
		if sizes[i] < 0 {
			return nil, false
		}
	}
	return sizes, true
}
